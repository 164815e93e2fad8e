//! What unit files are read by is what the command line takes.

use std::collections::BTreeSet;

use crate::args::Arguments;

/// Returns the options of a command that have no value, or only one behind `=`.
fn flags(words: &[&str]) -> BTreeSet<String> {
    let mut whole = Arguments::whole();
    whole.build();
    let command = words.iter().fold(&whole, |it, word| it.find_subcommand(word).unwrap());
    let options = command.get_arguments().filter(|it| !it.is_positional());
    let without =
        options.filter(|it| !it.get_action().takes_values() || it.is_require_equals_set());
    let names = without.flat_map(|it| {
        let long = it.get_long_and_visible_aliases().unwrap_or_default();
        let long = long.into_iter().map(|name| format!("--{name}"));
        let short = it.get_short_and_visible_aliases().unwrap_or_default();
        long.chain(short.into_iter().map(|name| format!("-{name}"))).collect::<Vec<_>>()
    });
    names.collect()
}

#[test]
fn images_are_found_behind_exactly_the_options_that_there_are() {
    for (words, known) in argosy_unit::ENGINE_FLAGS {
        let known: BTreeSet<String> = known.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(known, flags(words), "{words:?}");
    }
    assert!(flags(&["container", "run"]).contains("--rm"));
    assert!(!flags(&["container", "run"]).contains("--name"));
}
