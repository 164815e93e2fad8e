//! What the units of the tests run.

use std::error::Error;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Prints numbered lines, one write each, at a rate; the last one without an end.
pub(crate) fn lines(name: &str, count: &str, per_second: &str) -> Result<ExitCode, Box<dyn Error>> {
    let (count, per_second): (u64, u64) = (count.parse()?, per_second.parse()?);
    let started = Instant::now();
    let mut output = std::io::stdout().lock();
    for number in 1..=count {
        let due = Duration::from_micros(number * 1_000_000 / per_second);
        if let Some(early) = due.checked_sub(started.elapsed())
            && early > Duration::from_millis(10)
        {
            std::thread::sleep(early);
        }
        let end = if number < count { "\n" } else { "" };
        write!(output, "{name} {number:08} {:030}{end}", 0)?;
        output.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Sends one message to the notify socket.
pub(crate) fn notify(text: &str) -> Result<ExitCode, Box<dyn Error>> {
    let path = std::env::var("NOTIFY_SOCKET")?;
    UnixDatagram::unbound()?.send_to(text.as_bytes(), path)?;
    Ok(ExitCode::SUCCESS)
}

/// Sends numbered messages to the notify socket, as fast as they are taken.
pub(crate) fn notify_flood(count: &str) -> Result<ExitCode, Box<dyn Error>> {
    let path = std::env::var("NOTIFY_SOCKET")?;
    let socket = UnixDatagram::unbound()?;
    for number in 0..count.parse::<u64>()? {
        socket.send_to(format!("STATUS={number}").as_bytes(), &path)?;
    }
    Ok(ExitCode::SUCCESS)
}
