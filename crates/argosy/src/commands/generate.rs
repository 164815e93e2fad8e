//! Completion scripts and man pages, from the definitions of the command line.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use clap::{Arg, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::args::Arguments;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

pub(crate) fn completion(shell: clap_complete::Shell, printer: &Printer) -> Result<(), Failure> {
    let mut command = Arguments::whole();
    // It panics where it cannot write, as on a pipe that nobody reads.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "argosy", &mut script);
    printer.bytes(&script)
}

pub(crate) fn man_pages(directory: &Path) -> Result<(), Failure> {
    pages(directory).map_err(|error| {
        Failure::new(
            Exit::BadInput,
            format!("cannot write man pages into {}: {error}", directory.display()),
        )
    })
}

fn pages(directory: &Path) -> io::Result<()> {
    // `argosy help X` has no page beside that of X.
    let mut whole = Arguments::whole().disable_help_subcommand(true);
    whole.build();
    let version = format!("argosy {}", whole.get_version().unwrap_or_default());
    let mut left = vec![&whole];
    while let Some(command) = left.pop() {
        let man = Man::new(command.clone()).source(version.as_str());
        let mut file = File::create(directory.join(man.get_filename()))?;
        page(&man, command, &mut file)?;
        left.extend(command.get_subcommands().filter(|it| !it.is_hide_set()));
    }
    Ok(())
}

/// As man(7) orders the sections; examples and values are where people look for them.
fn page(man: &Man, command: &Command, out: &mut dyn Write) -> io::Result<()> {
    man.render_title(out)?;
    man.render_name_section(out)?;
    synopsis(command).to_writer(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.get_subcommands().any(|it| !it.is_hide_set()) {
        man.render_subcommands_section(out)?;
    }
    examples(command).to_writer(out)
}

fn synopsis(command: &Command) -> Roff {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut line = vec![bold(name)];
    let shown = || command.get_arguments().filter(|it| !it.is_hide_set());
    for option in shown().filter(|it| !it.is_positional()) {
        line.extend([roman(if option.is_required_set() { " " } else { " [" })]);
        line.extend(option_words(option));
        line.extend([roman(if option.is_required_set() { "" } else { "]" })]);
    }
    for value in shown().filter(|it| it.is_positional()) {
        let (open, close) = if value.is_required_set() { (" ", "") } else { (" [", "]") };
        let more = value.get_num_args().is_some_and(|it| it.max_values() > 1);
        line.extend([roman(open), italic(value_name(value))]);
        line.extend([roman(if more { "..." } else { "" }), roman(close)]);
    }
    if command.has_subcommands() {
        let (open, close) =
            if command.is_subcommand_required_set() { (" ", "") } else { (" [", "]") };
        line.extend([roman(open), italic("COMMAND"), roman(close)]);
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text(line);
    roff
}

/// `-o|--output FORM`.
fn option_words(option: &Arg) -> Vec<Inline> {
    let mut words = Vec::new();
    let short = option.get_short().map(|it| format!("-{it}"));
    let long = option.get_long().map(|it| format!("--{it}"));
    for (number, word) in short.into_iter().chain(long).enumerate() {
        if number > 0 {
            words.push(roman("|"));
        }
        words.push(bold(word));
    }
    if option.get_action().takes_values() {
        words.extend([roman(" "), italic(value_name(option))]);
    }
    words
}

fn value_name(argument: &Arg) -> String {
    let names = argument.get_value_names().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(|it| it.as_str()).collect();
    if names.is_empty() { argument.get_id().as_str().to_uppercase() } else { names.join(" ") }
}

/// The lines of the help's examples, without their heading.
fn examples(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let Some(text) = command.get_after_help().map(ToString::to_string) else { return roff };
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in text.lines().skip(1) {
        roff.text([roman(line.trim_start())]);
    }
    roff.control("fi", []);
    roff
}

#[cfg(test)]
mod tests {
    //! Tests of what man pages say where.

    use super::*;

    #[test]
    fn a_page_has_the_values_of_options_and_the_examples() {
        let dir = tempfile::tempdir().unwrap();
        pages(dir.path()).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let page = read("argosy-cluster-join.1");
        let after = |heading: &str| page.split_once(heading).unwrap().1.to_owned();
        let synopsis = after(".SH SYNOPSIS\n");
        let synopsis = synopsis.lines().next().unwrap();
        assert!(synopsis.contains("token\\-file\\fR \\fIFILE\\fR]"), "{synopsis}");
        assert!(!synopsis.contains("local"), "{synopsis}");
        let examples = after(".SH EXAMPLES\n.nf\n");
        assert!(examples.starts_with("argosy cluster join \\-\\-name m2"), "{examples}");
        assert!(!page.contains(".SH EXTRA"), "{page}");
        assert!(read("argosy.1").contains("argosy\\-man\\-pages(1)"));
        assert!(!dir.path().join("argosy-demo-unit.1").exists());
        assert!(dir.path().join("argosy-man-pages.1").exists());
    }
}
