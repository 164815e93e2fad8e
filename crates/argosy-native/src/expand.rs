//! Variables in command lines: `${NAME}`, `$NAME` and `$$` of systemd.service(5).

use std::collections::BTreeMap;

/// Substitutes variables in the words of a command line.
///
/// `${NAME}` stands for the value within its word. `$NAME` as a whole word stands for the value
/// split at white space, for no word at all when it is empty; within a word it stands for the
/// value as `${NAME}` does. `$$` is a dollar sign. A variable that is not set is empty.
pub(crate) fn expand(words: &[String], variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut expanded = Vec::with_capacity(words.len());
    for word in words {
        match word.strip_prefix('$').filter(|name| is_name(name)) {
            Some(name) => {
                let value = variables.get(name).map_or("", String::as_str);
                expanded.extend(value.split_ascii_whitespace().map(str::to_owned));
            }
            None => expanded.push(expand_word(word, variables)),
        }
    }
    expanded
}

fn expand_word(word: &str, variables: &BTreeMap<String, String>) -> String {
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let value = |name: &str| variables.get(name).map_or("", String::as_str);
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}'))
            && is_name(name)
        {
            text.push_str(value(name));
            rest = after;
        } else {
            let end = rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if is_name(name) {
                text.push_str(value(name));
                rest = after;
            } else {
                text.push('$');
            }
        }
    }
    text.push_str(rest);
    text
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(is_name_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &[&str]) {
        let variables = [("ONE", "one"), ("TWO", "two two"), ("EMPTY", "")];
        let variables = variables.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(expand(&words, &variables), expected);
    }

    #[test]
    fn the_examples_of_the_manual() {
        check(&["echo", "$ONE", "$TWO", "${TWO}"], &["echo", "one", "two", "two", "two two"]);
        check(&["a", "$EMPTY", "${EMPTY}", "$UNSET"], &["a", ""]);
        check(&["x${ONE}y", "x$ONE", "x$ONE/y"], &["xoney", "xone", "xone/y"]);
    }

    #[test]
    fn dollars_that_are_no_variable_stay() {
        check(
            &["$$", "$$ONE", "a$$b", "$", "$1", "${}", "${A"],
            &["$", "$ONE", "a$b", "$", "$1", "${}", "${A"],
        );
    }
}
