//! Which of the options that every command takes mean nothing to a command: they are not shown in
//! its help.

use clap::Command;

const SOCKET: &str = "socket";
const CONTEXT: &str = "context";
const RUNTIME_DIR: &str = "runtime_dir";
const LOCAL: &str = "local";
const OUTPUT: &str = "output";

/// What is not shown of a command, and of those below it.
fn unused(command: &str) -> &'static [&'static str] {
    match command {
        // They are refused with it: `session::refuse_local`.
        "cluster" | "token" | "list-machines" | "submit" | "apply" | "destroy" | "scale"
        | "daemon-reexec" => &[LOCAL],
        "verify" => &[LOCAL],
        "daemon-reload" | "reload" | "reset-failed" => &[CONTEXT],
        "kill" => &[CONTEXT, OUTPUT],
        "context" | "demo" => &[SOCKET, CONTEXT, RUNTIME_DIR, LOCAL],
        "supervisor" => &[SOCKET, CONTEXT, LOCAL, OUTPUT],
        "daemon" => &[CONTEXT, LOCAL, OUTPUT],
        "proxy" => &[LOCAL, OUTPUT],
        "completion" | "man-pages" => &[SOCKET, CONTEXT, RUNTIME_DIR, LOCAL, OUTPUT],
        _ => &[],
    }
}

/// Gives each command hidden ones in place of the global options that it does not use.
pub(super) fn within(mut command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    for name in names {
        let hidden = unused(&name);
        let hidden = command.get_arguments().filter(|it| hidden.contains(&it.get_id().as_str()));
        let hidden: Vec<_> = hidden.map(|it| it.clone().hide(true)).collect();
        command = command.mut_subcommand(name, |it| it.args(hidden));
    }
    command
}

#[cfg(test)]
mod tests {
    //! Tests of what help shows, and of what still works.

    use clap::FromArgMatches;

    use crate::args::Arguments;

    fn help(words: &str) -> String {
        let words = words.split(' ').chain(["--help"]);
        Arguments::whole().try_get_matches_from(words).unwrap_err().to_string()
    }

    #[test]
    fn help_shows_no_option_that_means_nothing() {
        for words in ["argosy apply", "argosy scale", "argosy cluster init", "argosy demo kill"] {
            assert!(!help(words).contains("--local"), "{words}");
        }
        assert!(!help("argosy completion").contains("--socket"));
        for words in ["argosy start", "argosy why", "argosy"] {
            assert!(help(words).contains("--local"), "{words}");
        }
        assert!(help("argosy apply").contains("--context"));
    }

    #[test]
    fn a_hidden_option_is_still_read_wherever_it_stands() {
        for line in ["--local token list", "token --local list", "token list --local"] {
            let words = ["argosy"].into_iter().chain(line.split(' '));
            let matches = Arguments::whole().try_get_matches_from(words).unwrap();
            assert!(Arguments::from_arg_matches(&matches).unwrap().global.local, "{line}");
        }
    }

    #[test]
    fn defaults_are_shown_as_they_are_written() {
        let help = help("argosy supervisor");
        for default in [
            "127.0.0.1:2379,127.0.0.1:4001",
            "/etc/argosy/units:/run/argosy/units:/usr/lib/argosy/units",
        ] {
            assert!(help.contains(&format!("[default: {default}]")), "{help}");
            let option = if default.starts_with('/') { "--unit-path" } else { "--client-listen" };
            let read = |words: &[&str]| {
                let words = ["argosy", "supervisor"].iter().chain(words);
                let matches = Arguments::whole().try_get_matches_from(words).unwrap();
                format!("{:?}", Arguments::from_arg_matches(&matches).unwrap().command)
            };
            assert_eq!(read(&[option, default]), read(&[]));
        }
    }
}
