//! docker's frames: the stream's number, three zeros, the length in four bytes, and so many bytes.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Towards a container: its input, the size of its terminal, and the end of its input.
pub(super) const INPUT: u8 = 0;
pub(super) const SIZE: u8 = 3;
pub(super) const END: u8 = 4;

/// From one.
pub(super) const OUTPUT: u8 = 1;
pub(super) const ERROR: u8 = 2;

/// Most that is passed on at once: less than a monitor takes in one frame.
pub(super) const CHUNK: usize = 16 << 10;
/// Largest frame of a monitor, which reads less of a container at once.
const FRAME_MAX: usize = 1 << 20;

const HEADER: usize = 8;

/// Returns a frame.
pub(super) fn frame(stream: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER + bytes.len());
    frame.extend([stream, 0, 0, 0]);
    frame.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(bytes);
    frame
}

/// Which of a container's streams somebody wants to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) input: bool,
    pub(super) output: bool,
    pub(super) error: bool,
}

impl Wanted {
    pub(super) fn has(self, stream: u8) -> bool {
        match stream {
            ERROR => self.error,
            _ => self.output,
        }
    }
}

/// Passes one stream on until it ends, in frames unless it is a terminal's.
pub(super) async fn pass_on(
    mut from: impl AsyncRead + Unpin,
    to: &tokio::sync::Mutex<impl AsyncWrite + Unpin>,
    stream: u8,
    raw: bool,
) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK];
    loop {
        let length = match from.read(&mut bytes).await {
            // A terminal whose other ends are all closed.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => 0,
            result => result?,
        };
        if length == 0 {
            return Ok(());
        }
        let mut to = to.lock().await;
        match raw {
            true => to.write_all(&bytes[..length]).await?,
            false => to.write_all(&frame(stream, &bytes[..length])).await?,
        }
        to.flush().await?;
    }
}

/// Passes a monitor's words on: frames, of which those that are wanted, or a terminal's bytes.
pub(super) async fn pass_words_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    wanted: Wanted,
    raw: bool,
) -> io::Result<()> {
    if raw {
        tokio::io::copy(&mut from, &mut to).await?;
        return Ok(());
    }
    let mut header = [0; HEADER];
    loop {
        match from.read_exact(&mut header).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            result => drop(result?),
        }
        let [stream, _, _, _, a, b, c, d] = header;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > FRAME_MAX {
            return Err(io::Error::other("the container's monitor sends no frames"));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body).await?;
        if wanted.has(stream) {
            to.write_all(&frame(stream, &body)).await?;
            to.flush().await?;
        }
    }
}

/// Passes input on to a monitor, and its end.
pub(super) async fn pass_input_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK];
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 {
            return to.write_all(&frame(END, &[])).await;
        }
        to.write_all(&frame(INPUT, &bytes[..length])).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_dockers_and_only_those_that_are_wanted_pass() {
        let words = [frame(OUTPUT, b"out"), frame(ERROR, b"bad"), frame(OUTPUT, b"")].concat();
        assert_eq!(words[..11], [1, 0, 0, 0, 0, 0, 0, 3, b'o', b'u', b't']);
        let wanted = |output, error| Wanted { input: false, output, error };
        for (wanted, raw, passed) in [
            (wanted(true, true), false, words.clone()),
            (wanted(false, true), false, frame(ERROR, b"bad")),
            (wanted(true, false), true, words.clone()),
        ] {
            let mut to = Vec::new();
            pass_words_on(&words[..], &mut to, wanted, raw).await.unwrap();
            assert_eq!(to, passed);
        }
        let mut to = Vec::new();
        pass_input_on(&b"in"[..], &mut to).await.unwrap();
        assert_eq!(to, [frame(INPUT, b"in"), frame(END, b"")].concat());
        let large = [1, 0, 0, 0, 255, 0, 0, 0];
        assert!(pass_words_on(&large[..], &mut to, wanted(true, true), false).await.is_err());
    }
}
