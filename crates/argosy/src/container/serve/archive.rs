//! Files from and to a container, as archives of tar: docker's `cp`. A process of its own does it, which
//! goes to a mount namespace of its own for containers that do not run.

use std::io;
use std::path::Path;
use std::process::Stdio;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;

use super::Server;
use super::answer::{Answer, Body, Refusal, empty, fallible_stream, typed};
use super::call::Call;
use super::child::{command, not_run, why};
use super::containers::known;
use super::frames::CHUNK;

/// What tells docker's clients about the file that they ask for.
const STAT: &str = "x-docker-container-path-stat";
/// Length of an archive's first header, and of those that say a long name.
const HEADER: usize = 512;
/// Most of an archive that is read to find its first file: headers of a long name before it.
const HEAD_MAX: usize = 64 << 10;

/// Go's bits of a file's kind, which docker's clients read.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_PIPE: u32 = 1 << 25;

/// Begins to pack what is at a path.
async fn pack(server: &Server, call: &Call, name: &str) -> Result<(Child, Vec<u8>), Refusal> {
    let (id, _) = known(&server.engine, name).await?;
    let path = path(call)?;
    let from = format!("{id}:{path}");
    let mut command = command(&server.engine, &["cp", "--archive", "--", &from, "-"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| not_run(&error))?;
    let mut head = Vec::new();
    let Some(stdout) = child.stdout.as_mut() else {
        return Err(Refusal::failed("the copy has no output"));
    };
    while first_file(&head).is_none() && head.len() < HEAD_MAX {
        let mut block = [0; HEADER];
        match stdout.read_exact(&mut block).await {
            Ok(_) => head.extend_from_slice(&block),
            Err(_) => {
                let output = child.wait_with_output().await.map_err(|error| not_run(&error))?;
                let said = why(&String::from_utf8_lossy(&output.stderr));
                let message = format!("Could not find the file {path} in container {name}: {said}");
                return Err(Refusal::new(StatusCode::NOT_FOUND, message));
            }
        }
    }
    Ok((child, head))
}

fn path(call: &Call) -> Result<String, Refusal> {
    let path = call.query.get("path");
    path.map(str::to_owned).ok_or_else(|| Refusal::bad("the parameter path is missing"))
}

/// Returns what an archive's beginning says of its first file, in the form that clients want.
fn first_file(head: &[u8]) -> Option<HeaderValue> {
    let mut archive = tar::Archive::new(head);
    let entry = archive.entries().ok()?.next()?.ok()?;
    let header = entry.header();
    let kind = match header.entry_type() {
        tar::EntryType::Directory => GO_DIRECTORY,
        tar::EntryType::Symlink => GO_SYMLINK,
        tar::EntryType::Char | tar::EntryType::Block => GO_DEVICE,
        tar::EntryType::Fifo => GO_PIPE,
        _ => 0,
    };
    let link = entry.link_name().ok().flatten().map(|it| it.display().to_string());
    let name = entry.path().ok()?.file_name().map(|it| it.to_string_lossy().into_owned());
    let seconds = i64::try_from(header.mtime().ok()?).ok()?;
    let value = json!({
        "name": name.unwrap_or_else(|| "/".to_owned()),
        "size": header.size().ok()?,
        "mode": (header.mode().ok()? & 0o777) | kind,
        "mtime": jiff::Timestamp::from_second(seconds).ok()?.to_string(),
        "linkTarget": link.unwrap_or_default(),
    });
    let text = base64::engine::general_purpose::STANDARD.encode(value.to_string());
    HeaderValue::from_str(&text).ok()
}

fn with_stat(mut response: Response<Body>, head: &[u8]) -> Response<Body> {
    if let Some(value) = first_file(head) {
        response.headers_mut().insert(HeaderName::from_static(STAT), value);
    }
    response
}

/// Tells what is at a path.
pub(super) async fn stat(server: &Server, call: &Call, name: &str) -> Answer {
    // The rest of it is not packed: the process ends when it is let go of.
    let (_child, head) = pack(server, call, name).await?;
    Ok(with_stat(empty(StatusCode::OK), &head))
}

/// Sends what is at a path.
pub(super) async fn get(server: &Server, call: &Call, name: &str) -> Answer {
    let (mut child, head) = pack(server, call, name).await?;
    let (sender, response) = fallible_stream("application/x-tar");
    let response = with_stat(response, &head);
    server.tasks.spawn(async move {
        let Some(mut stdout) = child.stdout.take() else { return };
        if sender.send(Ok(Bytes::from(head))).await.is_err() {
            return;
        }
        let mut bytes = vec![0; CHUNK];
        let broken = loop {
            match stdout.read(&mut bytes).await {
                Ok(0) => break why_not_whole(child).await,
                Ok(length) => {
                    let piece = Bytes::copy_from_slice(&bytes[..length]);
                    if sender.send(Ok(piece)).await.is_err() {
                        return;
                    }
                }
                Err(error) => break Some(error.to_string()),
            }
        };
        if let Some(why) = broken {
            crate::printer::note(&format!("an archive breaks off: {why}"));
            // The answer has begun: its client is told by an end that is none.
            drop(sender.send(Err(io::Error::other(why))).await);
        }
    });
    Ok(response)
}

/// Returns why a process has failed whose output has ended.
async fn why_not_whole(child: Child) -> Option<String> {
    match child.wait_with_output().await {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(why(&String::from_utf8_lossy(&output.stderr))),
        Err(error) => Some(error.to_string()),
    }
}

/// Puts an archive's files below a directory.
pub(super) async fn put(server: &Server, call: Call, name: &str) -> Answer {
    let (id, _) = known(&server.engine, name).await?;
    let directory = path(&call)?;
    if Path::new(&directory).is_relative() && directory.is_empty() {
        return Err(Refusal::bad("the parameter path is no path"));
    }
    let to = format!("{id}:{directory}");
    let kept = call.query.is_on("copyUIDGID");
    let mut words = vec!["cp"];
    words.extend(kept.then_some("--archive"));
    words.extend(["--", "-", &to]);
    let mut command = command(&server.engine, &words);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| not_run(&error))?;
    let mut body = call.request.into_body();
    if let Some(mut input) = child.stdin.take() {
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Refusal::bad(format!("the archive breaks off: {error}")))?;
            // One that reads no more has failed, and says why.
            if let Ok(data) = frame.into_data()
                && input.write_all(&data).await.is_err()
            {
                break;
            }
        }
    }
    let output = child.wait_with_output().await.map_err(|error| not_run(&error))?;
    match output.status.success() {
        true => Ok(typed(empty(StatusCode::OK), "text/plain")),
        false => Err(Refusal::bad(why(&String::from_utf8_lossy(&output.stderr)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_described_by_the_beginning_of_its_archive() {
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        header.set_mtime(1);
        let mut builder = tar::Builder::new(Vec::new());
        let long = format!("{}/end", "x".repeat(200));
        builder.append_data(&mut header, &long, &b"abc"[..]).unwrap();
        let archive = builder.into_inner().unwrap();
        assert!(first_file(&archive[..HEADER]).is_none(), "the name is not there yet");
        let told = first_file(&archive[..4 * HEADER]).unwrap();
        let told = base64::engine::general_purpose::STANDARD.decode(told.as_bytes()).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(
            (&told["name"], &told["size"], &told["mode"]),
            (&"end".into(), &3.into(), &0o644.into())
        );
    }
}
