//! Variables in command lines: `${NAME}`, `$NAME` and `$$` of systemd.service(5).

use std::collections::BTreeMap;

/// Substitutes variables in the words of a command line, as systemd 252 does.
///
/// `${NAME}` stands for the value within its word. `$NAME` stands for something as a whole word
/// only: for the value split at white space outside quotes, for no word at all when it is empty
/// or not set; within a word it is left to whoever reads the word, such as a shell. `$$` is a
/// dollar sign.
pub(crate) fn expand(words: &[String], variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut expanded = Vec::with_capacity(words.len());
    for word in words {
        match word.strip_prefix('$').filter(|name| !name.starts_with(['{', '$'])) {
            Some(name) => {
                if let Some(value) = variables.get(name) {
                    split(value, &mut expanded);
                }
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
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}'))
            // What a shell means by `${NAME:-word}` is the shell's affair.
            && !name.contains(':')
        {
            text.push_str(variables.get(name).map_or("", String::as_str));
            rest = after;
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    text
}

/// Splits a value at white space. Quotes keep words together and go, as does a backslash before
/// any character; a quote that is never closed ends with the value.
fn split(value: &str, words: &mut Vec<String>) {
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, c) if c.is_ascii_whitespace() => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (_, '\\') => word.get_or_insert_default().extend(characters.next()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &[&str]) {
        let variables = [
            ("ONE", "one"),
            ("TWO", "two two"),
            ("QUOTED", "'one' \"two two\" t\\ oo '' \"open"),
            ("EMPTY", ""),
        ];
        let variables = variables.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(expand(&words, &variables), expected);
    }

    #[test]
    fn the_examples_of_the_manual() {
        check(&["echo", "$ONE", "$TWO", "${TWO}"], &["echo", "one", "two", "two", "two two"]);
        check(&["a", "$EMPTY", "${EMPTY}", "$UNSET"], &["a", ""]);
        check(&["$QUOTED", "x${ONE}y"], &["one", "two two", "t oo", "", "open", "xoney"]);
    }

    #[test]
    fn within_a_word_a_name_without_braces_is_left_to_the_shell() {
        let script = "for i in 1 2 3; do echo i=$i $ONE; done";
        check(&["sh", "-c", script], &["sh", "-c", script]);
        check(&["x$ONE", "x$ONE/${ONE}", "/$1"], &["x$ONE", "x$ONE/one", "/$1"]);
        check(&["x${ONE:-y}", "x${UNSET}y"], &["x${ONE:-y}", "xy"]);
    }

    #[test]
    fn dollars_that_are_no_variable() {
        check(&["$$", "$$ONE", "a$$b", "a$", "${A"], &["$", "$ONE", "a$b", "a$", "${A"]);
    }
}
