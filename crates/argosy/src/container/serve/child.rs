//! Commands of this program, each as a process of its own. Whoever makes a container is told by its id,
//! and whoever starts one hands its lock on: neither goes with a process that does other things, too.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::super::Engine;
use super::answer::Refusal;
use crate::program;

/// With this alone the program reads its command line from its standard input: arguments can be read by
/// everybody, and a container's variables may be secrets.
const SPOKEN: &str = "container-words";
/// Largest command line that is read so: more than the body of a request that it is made of.
const SPOKEN_MAX: u64 = 16 << 20;

/// What commands need to know of the server's own environment; what else is in it is nobody's business,
/// the unit that the server may be above all.
const ENVIRONMENT: [&str; 4] = ["PATH", "HOME", "XDG_DATA_HOME", "LANG"];

/// Returns the command line to read: that of the process, or what it is told on its standard input.
pub(crate) fn spoken(line: Vec<OsString>) -> Vec<OsString> {
    if line.len() != 2 || line[1].as_bytes() != SPOKEN.as_bytes() {
        return line;
    }
    let mut text = Vec::new();
    let read = std::io::stdin().take(SPOKEN_MAX).read_to_end(&mut text);
    match read.ok().and_then(|_| serde_json::from_slice::<Vec<String>>(&text).ok()) {
        Some(words) => words.into_iter().map(OsString::from).collect(),
        // An unknown command, which is what it is for people.
        None => line,
    }
}

/// Returns the words of a command of `argosy container` for this engine.
fn words(engine: &Engine, more: &[String]) -> Vec<String> {
    let data = engine.containers.data_dir.parent().unwrap_or(&engine.containers.data_dir);
    let text = |path: &std::path::Path| path.display().to_string();
    let mut words = vec!["--runtime-dir".to_owned(), text(&engine.runtime_dir)];
    words.extend(["container", "--data-dir"].map(str::to_owned));
    words.push(text(data));
    words.extend_from_slice(more);
    words
}

fn program() -> Command {
    let mut command = Command::new(program::on_disk());
    command.arg0("argosy").env_clear();
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Returns a command of `argosy container` for this engine, without input.
pub(super) fn command(engine: &Engine, more: &[&str]) -> Command {
    let more: Vec<String> = more.iter().map(|it| (*it).to_owned()).collect();
    let mut command = program();
    command.args(words(engine, &more)).stdin(Stdio::null());
    command
}

/// How a command has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl From<std::process::Output> for Ended {
    fn from(output: std::process::Output) -> Ended {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ended {
            code: output.status.code().unwrap_or(i32::from(u8::MAX)),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Ended {
    /// Returns why it failed, in one line.
    pub(super) fn why(&self) -> String {
        why(&self.stderr)
    }
}

/// Returns what a failed command has said, in one line.
pub(super) fn why(said: &str) -> String {
    let plain = |line: &str| {
        let line = line.strip_prefix("error: ").or(line.strip_prefix("argosy: ")).unwrap_or(line);
        line.strip_prefix("help: ").unwrap_or(line).trim().to_owned()
    };
    let lines: Vec<String> = said.lines().map(plain).filter(|it| !it.is_empty()).collect();
    match lines.is_empty() {
        true => "the command has said nothing".to_owned(),
        false => lines.join("; "),
    }
}

pub(super) fn not_run(error: &std::io::Error) -> Refusal {
    Refusal::failed(format!("cannot run {}: {error}", program::on_disk().display()))
}

/// Runs a command whose words nobody else is to see.
pub(super) async fn run_unseen(engine: &Engine, more: &[String]) -> Result<Ended, Refusal> {
    let mut line = vec!["argosy".to_owned()];
    line.extend(words(engine, more));
    let line = Value::from(line).to_string();
    let mut command = program();
    command.arg(SPOKEN).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| not_run(&error))?;
    if let Some(mut input) = child.stdin.take() {
        // One that has ended already says why.
        drop(input.write_all(line.as_bytes()).await);
    }
    child.wait_with_output().await.map(Ended::from).map_err(|error| not_run(&error))
}

/// Runs a command to its end.
pub(super) async fn run(engine: &Engine, more: &[&str]) -> Result<Ended, Refusal> {
    command(engine, more).output().await.map(Ended::from).map_err(|error| not_run(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_taken_as_it_is_unless_it_is_spoken() {
        let line: Vec<OsString> = ["argosy", "container", "ps"].map(Into::into).into();
        assert_eq!(spoken(line.clone()), line);
        let longer: Vec<OsString> = ["argosy", SPOKEN, "x"].map(Into::into).into();
        assert_eq!(spoken(longer.clone()), longer);
    }

    #[test]
    fn what_a_command_has_said_becomes_one_line() {
        let said = "argosy: cannot execute x: there is none\nerror: container c did not start\n";
        assert_eq!(why(said), "cannot execute x: there is none; container c did not start");
        assert_eq!(why("error: a\nhelp: b"), "a; b");
        assert_eq!(why(" \n"), "the command has said nothing");
    }
}
