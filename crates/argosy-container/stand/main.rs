//! The helper as a program of its own, and a companion that does what its file says.

use std::fs;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|it| it == "companion") {
        let Some(request) = arguments.next() else { return ExitCode::FAILURE };
        return companion(&request.to_string_lossy());
    }
    argosy_container::helper_main(std::env::args_os().skip(1), &mut ())
}

/// Leaves its own number and the namespace it got beside its file, says the words in it, and stays.
fn companion(request: &str) -> ExitCode {
    let (Ok(words), Ok(given)) = (fs::read_to_string(request), fs::read_link("/proc/self/fd/3"))
    else {
        return ExitCode::FAILURE;
    };
    let seen = format!("{} {}\n", std::process::id(), given.display());
    let written = fs::write(format!("{request}.new"), seen)
        .and_then(|()| fs::rename(format!("{request}.new"), format!("{request}.seen")));
    if written.is_err() {
        return ExitCode::FAILURE;
    }
    let said = fs::File::options().write(true).open("/proc/self/fd/4");
    if said.and_then(|mut to| writeln!(to, "{words}")).is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::park();
    }
}
