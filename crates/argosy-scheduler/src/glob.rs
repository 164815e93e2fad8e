//! Globs over unit names, as fleet's `Conflicts=` has them (Go's path.Match).

/// Tells whether the whole of `name` matches `pattern`: `*` any run of characters, `?` any one,
/// `[a-z]` and `[^a-z]` a class, `\` takes the next character literally. A malformed pattern
/// matches nothing but itself.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    pattern == name || match_here(pattern.as_bytes(), name.as_bytes()).unwrap_or(false)
}

/// Unit names are ASCII, so bytes are characters. `None`: the pattern is malformed. Only the
/// last `*` seen is ever tried again, which keeps it linear in the product of both lengths.
fn match_here(pattern: &[u8], name: &[u8]) -> Option<bool> {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, n + 1));
            p += 1;
            continue;
        }
        if p == pattern.len() && n == name.len() {
            return Some(true);
        }
        if let (true, Some(character)) = (p < pattern.len(), name.get(n)) {
            let (fits, length) = match_one(&pattern[p..], *character)?;
            if fits {
                (p, n) = (p + length, n + 1);
                continue;
            }
        }
        match retry {
            Some((star, from)) if from <= name.len() => {
                (p, n) = (star, from);
                retry = Some((star, from + 1));
            }
            _ => return Some(false),
        }
    }
}

/// Matches one character with the element at the beginning of the pattern; returns whether it
/// fits and how long the element is.
fn match_one(pattern: &[u8], character: u8) -> Option<(bool, usize)> {
    match pattern[0] {
        b'?' => Some((true, 1)),
        b'\\' => pattern.get(1).map(|literal| (*literal == character, 2)),
        b'[' => match_class(pattern, character),
        literal => Some((literal == character, 1)),
    }
}

fn match_class(pattern: &[u8], character: u8) -> Option<(bool, usize)> {
    let negated = pattern.get(1) == Some(&b'^');
    let mut at = if negated { 2 } else { 1 };
    let (first, mut fits) = (at, false);
    loop {
        if pattern.get(at)? == &b']' && at > first {
            return Some((fits != negated, at + 1));
        }
        let (low, after) = class_character(pattern, at)?;
        let (high, after) = match pattern.get(after) {
            Some(b'-') => class_character(pattern, after + 1)?,
            _ => (low, after),
        };
        fits |= (low..=high).contains(&character);
        at = after;
    }
}

fn class_character(pattern: &[u8], at: usize) -> Option<(u8, usize)> {
    match pattern.get(at)? {
        b'-' | b']' => None,
        b'\\' => pattern.get(at + 1).map(|literal| (*literal, at + 2)),
        character => Some((*character, at + 1)),
    }
}

#[cfg(test)]
mod tests;
