//! The globs of fleet's `Conflicts=`: `*`, `?`, `[a-z]`, `\x` (Go's path.Match, whose `*`
//! does not cross a `/`; unit names have none).

/// A pattern is not valid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadGlob {
    /// `[` without its `]`, or with nothing between.
    Class,
    /// A backslash at the end.
    Escape,
}

enum Part {
    Any,
    One,
    Literal(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// A pattern over unit names.
pub(crate) struct Glob {
    parts: Vec<Part>,
}

impl Glob {
    /// Reads a pattern.
    pub(crate) fn new(pattern: &str) -> Result<Glob, BadGlob> {
        let mut parts = Vec::new();
        let mut rest = pattern.chars().peekable();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => Part::Literal(rest.next().ok_or(BadGlob::Escape)?),
                '[' => class(&mut rest)?,
                _ => Part::Literal(c),
            });
        }
        Ok(Glob { parts })
    }

    /// Tells whether the whole of `name` matches.
    pub(crate) fn matches(&self, name: &str) -> bool {
        // reached[i]: the parts before i match what was read so far.
        let mut reached = vec![false; self.parts.len() + 1];
        reached[0] = true;
        self.skip_stars(&mut reached);
        for c in name.chars() {
            let mut next = vec![false; self.parts.len() + 1];
            for (index, part) in self.parts.iter().enumerate() {
                if !reached[index] {
                    continue;
                }
                match part {
                    Part::Any => next[index] = true,
                    part => next[index + 1] |= part.takes(c),
                }
            }
            self.skip_stars(&mut next);
            reached = next;
        }
        reached[self.parts.len()]
    }

    fn skip_stars(&self, reached: &mut [bool]) {
        for (index, part) in self.parts.iter().enumerate() {
            if matches!(part, Part::Any) {
                reached[index + 1] |= reached[index];
            }
        }
    }
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Part::Any | Part::One => true,
            Part::Literal(wanted) => *wanted == c,
            Part::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Part, BadGlob> {
    let negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next().ok_or(BadGlob::Class)? {
            ']' if !ranges.is_empty() => return Ok(Part::Class { negated, ranges }),
            ']' | '-' => return Err(BadGlob::Class),
            '\\' => rest.next().ok_or(BadGlob::Escape)?,
            c => c,
        };
        let high = match rest.next_if_eq(&'-') {
            None => low,
            Some(_) => match rest.next().ok_or(BadGlob::Class)? {
                ']' | '-' => return Err(BadGlob::Class),
                '\\' => rest.next().ok_or(BadGlob::Escape)?,
                c => c,
            },
        };
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests;
