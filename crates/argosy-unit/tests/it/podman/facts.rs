//! What a generated service says, in words that both sides share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use argosy_model::UnitName;
use argosy_unit::{Specifiers, UnitFile, lower};

/// Keys of `[Service]` of which the last one counts.
const SINGLE: [&str; 8] = [
    "Type",
    "NotifyAccess",
    "KillMode",
    "Restart",
    "SyslogIdentifier",
    "RemainAfterExit",
    "Delegate",
    "TimeoutStartSec",
];

/// Lists of units in `[Unit]`.
const LISTS: [&str; 6] = ["After", "Before", "BindsTo", "PartOf", "Requires", "Wants"];

/// Flags of podman that take no value.
const SWITCHES: [&str; 15] = [
    "--all-tags",
    "--disable-dns",
    "--env-host",
    "--force",
    "--http-proxy",
    "--ignore",
    "--init",
    "--internal",
    "--ipv6",
    "--read-only",
    "--read-only-tmpfs",
    "--replace",
    "--rm",
    "--tls-verify",
    "--volumes",
];

/// How Podman stops a container.
const REMOVE: &str = "container rm \"--force\" \"--ignore\" \"--volumes\"";

/// Writes the facts of a service file, one per line.
pub(super) fn of(service: &str, text: &str) -> String {
    let (file, problems) = UnitFile::parse(service, text);
    assert_eq!(problems, [], "{text}");
    let mut lines: BTreeSet<String> = BTreeSet::new();
    let mut single: BTreeMap<&str, String> = BTreeMap::new();
    let mut commands: Vec<String> = Vec::new();
    for directive in file.directives() {
        let (key, value) = (directive.key.as_str(), directive.value.as_str());
        match directive.section.as_str() {
            "Unit" if key == "SourcePath" => {}
            "Unit" if key == "RequiresMountsFor" => {
                lines.insert(format!("{key}={}", value.replace("\\x20", " ").trim_matches('"')));
            }
            "Unit" if LISTS.contains(&key) => {
                // A template stands for the same instance. In a pod it would be one that is
                // named after the pod.
                let words = value.split_whitespace().map(|word| word.replace("@%i.", "@."));
                let in_pod = |word: &str| matches!(key, "Wants" | "Before") && word.contains("@.");
                for word in words.filter(|word| !in_pod(word)) {
                    lines.insert(format!("{key}={word}"));
                }
            }
            "Service" if key.starts_with("Exec") => {
                let mut facts = command(service, value);
                if key == "ExecStop" {
                    // Ours stops it by its own signal, and its end removes it.
                    facts = facts.replace(REMOVE, "container stop \"--ignore\"");
                }
                commands.push(format!("{key}: {facts}"));
            }
            "Service" if value.starts_with("PODMAN_SYSTEMD_UNIT=") || key == "PIDFile" => {}
            "Service" if SINGLE.contains(&key) => {
                single.insert(key, value.to_owned());
            }
            "Unit" | "Service" | "Install" => {
                lines.insert(format!("{key}={value}"));
            }
            _ => {}
        }
    }
    lines.remove("RequiresMountsFor=%t/containers");
    // A pod of ours says itself when it has started.
    if single.get("Type").is_some_and(|value| value == "forking") {
        single.insert("Type", "notify".to_owned());
        single.insert("NotifyAccess", "all".to_owned());
    }
    lines.extend(single.into_iter().map(|(key, value)| format!("{key}={value}")));
    // Between different keys the order says nothing.
    commands.sort_by_key(|line| line.split(':').next().map(str::to_owned));
    let mut out = format!("{service}\n");
    for line in lines.into_iter().chain(commands) {
        writeln!(out, "{line}").expect("a string takes all");
    }
    out
}

/// Writes a command line: verb, flags sorted by name, the rest.
fn command(service: &str, line: &str) -> String {
    let unit = UnitName::new(service).expect("it names a service");
    let text = format!("[Service]\nType=oneshot\nExecStart={line}\n");
    let (file, _) = UnitFile::parse(service, &text);
    let (spec, problems) = lower(&file, &unit, &Specifiers::default());
    let spec = spec.unwrap_or_else(|| panic!("{line}\n{problems:#?}"));
    let [command] = spec.service.exec_start.as_slice() else { panic!("one command: {line}") };
    let prefix = if command.prefix.ignore_failure { "-" } else { "" };
    let mut words: Vec<String> = command.argv.clone();
    match words.remove(0).as_str() {
        "/usr/bin/podman" => podman(&mut words),
        "/usr/bin/argosy" => {}
        _ => return line.to_owned(),
    }
    let verbs = words.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
    let mut flags: Vec<(String, String)> = Vec::new();
    let mut rest = words.split_off(2).into_iter();
    let mut operands: Vec<String> = Vec::new();
    while let Some(word) = rest.next() {
        if !word.starts_with("--") || matches!(verbs.as_str(), "container exec") {
            operands.push(word);
            operands.extend(rest.by_ref());
            break;
        }
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), format!("={value}")),
            None if SWITCHES.contains(&word.as_str()) => (word, String::new()),
            None => {
                let value = rest.next().unwrap_or_else(|| panic!("{word} needs a value"));
                (word, format!("={value}"))
            }
        };
        flags.push((flag, value));
    }
    flags.retain(|(flag, _)| !flag.starts_with("--infra-") && flag != "--cgroups");
    // Podman looks for it when it generates, the engine when it starts.
    flags.retain(|(_, value)| value != "=/dev/no-such-device");
    // Flags of a subnet belong together; else only the order of one flag's values counts.
    let place = |flag: &str| match flag {
        "--gateway" | "--ip-range" => "--subnet".to_owned(),
        flag => flag.to_owned(),
    };
    flags.sort_by_key(|(flag, _)| place(flag));
    let flags: Vec<String> =
        flags.into_iter().map(|(flag, value)| format!("{:?}", format!("{flag}{value}"))).collect();
    format!("{prefix}{verbs} {} {operands:?}", flags.join(" "))
}

/// Turns podman's words into those of our engine.
fn podman(words: &mut Vec<String>) {
    if matches!(words[0].as_str(), "run" | "rm" | "exec" | "kill") {
        words.insert(0, "container".to_owned());
    }
    let is = |words: &[String], verbs: &[&str]| words.iter().take(2).eq(verbs.iter());
    if is(words, &["container", "rm"]) {
        assert_eq!(words[2..5], ["-v", "-f", "-i"]);
        words.splice(2..5, ["--force", "--ignore", "--volumes"].map(str::to_owned));
    }
    if is(words, &["pod", "start"]) {
        words.insert(2, "--sdnotify=started".to_owned());
    }
    // Up to the image, where the words of the container begin.
    let mut index = 2;
    while index < words.len() && words[index].starts_with('-') {
        match words[index].as_str() {
            // Ours stays in the foreground: its process is the unit's.
            "-d" => {
                words.remove(index);
                continue;
            }
            "-v" => words[index] = "--volume".to_owned(),
            "--sdnotify=conmon" => words[index] = "--sdnotify=started".to_owned(),
            _ => {}
        }
        let alone = words[index].contains('=') || SWITCHES.contains(&words[index].as_str());
        index += if alone { 1 } else { 2 };
    }
}
