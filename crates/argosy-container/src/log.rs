//! What a container has printed, kept beside it, for containers whose output nobody else keeps.
//!
//! Lines are in the form of Kubernetes' Container Runtime Interface: a time, the stream, `F` for a
//! whole line or `P` for the beginning of one, and the text.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::monitor::Stream;

/// Size at which a file becomes the older one, and the older one goes: at most twice as much is
/// kept of a container.
const FILE_BYTES_MAX: u64 = 10 << 20;

/// Longest line that is kept in one piece, as with docker.
const LINE_MAX: usize = 16 << 10;

/// Writes down what a container prints.
#[derive(Debug)]
pub(crate) struct LogWriter {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// What each stream has begun and not ended: output, error.
    begun: [Vec<u8>; 2],
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("older")
}

/// It is appended to, and holds whatever a program has printed.
fn options() -> OpenOptions {
    let mut options = File::options();
    options.append(true).mode(0o600);
    options
}

impl LogWriter {
    pub(crate) fn open(path: PathBuf) -> io::Result<LogWriter> {
        let file = options().create(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(LogWriter { path, file, bytes, begun: Default::default() })
    }

    /// Takes what was printed. What the disk does not take is lost, and the container goes on.
    pub(crate) fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let mut begun = std::mem::take(&mut self.begun[index(stream)]);
        begun.extend_from_slice(bytes);
        let mut rest = &begun[..];
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n');
            match end {
                Some(end) if end <= LINE_MAX => {
                    self.line(stream, true, &rest[..end]);
                    rest = &rest[end + 1..];
                }
                _ if rest.len() > LINE_MAX => {
                    self.line(stream, false, &rest[..LINE_MAX]);
                    rest = &rest[LINE_MAX..];
                }
                _ => break,
            }
        }
        self.begun[index(stream)] = rest.to_vec();
    }

    /// Writes down what has begun and will not be ended.
    pub(crate) fn finish(&mut self) {
        for stream in [Stream::Output, Stream::Error] {
            let begun = std::mem::take(&mut self.begun[index(stream)]);
            if !begun.is_empty() {
                self.line(stream, false, &begun);
            }
        }
    }

    fn line(&mut self, stream: Stream, whole: bool, text: &[u8]) {
        let name = if stream == Stream::Output { "stdout" } else { "stderr" };
        let mark = if whole { "F" } else { "P" };
        let mut line = format!("{:.9} {name} {mark} ", Timestamp::now()).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        if self.bytes + line.len() as u64 > FILE_BYTES_MAX {
            self.turn();
        }
        if self.file.write_all(&line).is_ok() {
            self.bytes += line.len() as u64;
        }
    }

    /// Begins a new file. If that cannot be, the present one goes on and grows.
    fn turn(&mut self) {
        let made = fs::rename(&self.path, older(&self.path))
            .and_then(|()| options().create_new(true).open(&self.path));
        if let Ok(file) = made {
            self.file = file;
            self.bytes = 0;
        }
    }
}

fn index(stream: Stream) -> usize {
    usize::from(stream == Stream::Error)
}

/// A line, or a part of one, that a container has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When, as RFC 3339 has it.
    pub time: String,
    /// Whether it was printed as an error.
    pub is_error: bool,
    /// Whether the line ends here.
    pub whole: bool,
    pub text: Vec<u8>,
}

/// Reads what a container has printed, from the beginning of what is kept.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    /// What is read first, and then the newer one.
    files: Vec<BufReader<File>>,
    part: Vec<u8>,
}

impl LogReader {
    /// Opens the log at a path; a container that keeps none has an empty one.
    pub(crate) fn open(path: PathBuf) -> io::Result<LogReader> {
        let mut files = Vec::new();
        // The newer one first: if it becomes the older one just now, it is read twice by no one.
        for path in [path.clone(), older(&path)] {
            match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => files.push(BufReader::new(result?)),
            }
        }
        if let [newer, older] = &files[..]
            && is_same(newer.get_ref(), older.get_ref())?
        {
            files.pop();
        }
        Ok(LogReader { path, files, part: Vec::new() })
    }

    /// Returns the next line; `None` if there is none yet.
    pub fn next_line(&mut self) -> io::Result<Option<LogLine>> {
        loop {
            let has_newer = self.files.len() > 1;
            let Some(file) = self.files.last_mut() else {
                if !self.follow_turn(None)? {
                    return Ok(None);
                }
                continue;
            };
            file.read_until(b'\n', &mut self.part)?;
            if self.part.ends_with(b"\n") {
                let line = parse(&self.part);
                self.part.clear();
                if line.is_some() {
                    return Ok(line);
                }
                continue;
            }
            if has_newer {
                self.part.clear();
                self.files.pop();
                continue;
            }
            let at = file.stream_position()?;
            if !self.follow_turn(Some(at))? {
                return Ok(None);
            }
        }
    }

    /// Goes on in a file that has taken the place of the one that was read to its end.
    fn follow_turn(&mut self, read_to: Option<u64>) -> io::Result<bool> {
        let current = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            result => result?,
        };
        if let (Some(read_to), Some(file)) = (read_to, self.files.last_mut()) {
            if is_same(file.get_ref(), &current)? {
                return Ok(false);
            }
            // What came into the old one between the last look and its turn.
            if file.get_ref().metadata()?.len() > read_to {
                file.seek(SeekFrom::Start(read_to))?;
                return Ok(true);
            }
        }
        self.files = vec![BufReader::new(current)];
        Ok(true)
    }
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let name = |file: &File| file.metadata().map(|it| (it.dev(), it.ino()));
    Ok(name(one)? == name(other)?)
}

fn parse(line: &[u8]) -> Option<LogLine> {
    let mut parts = line.strip_suffix(b"\n")?.splitn(4, |byte| *byte == b' ');
    let mut word = || std::str::from_utf8(parts.next()?).ok();
    let time = word()?.to_owned();
    let is_error = word()? == "stderr";
    let whole = word()? == "F";
    Some(LogLine { time, is_error, whole, text: parts.next()?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::{LINE_MAX, LogReader, LogWriter};
    use crate::monitor::Stream;

    fn read(reader: &mut LogReader) -> Vec<(String, bool, bool)> {
        let lines = std::iter::from_fn(|| reader.next_line().unwrap());
        lines
            .map(|it| (String::from_utf8_lossy(&it.text).into_owned(), it.is_error, it.whole))
            .collect()
    }

    #[test]
    fn lines_come_back_by_stream_whole_or_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = LogWriter::open(path.clone()).unwrap();
        writer.take(Stream::Output, b"one\ntw");
        writer.take(Stream::Error, b"bad\n");
        writer.take(Stream::Output, b"o\n");
        writer.take(Stream::Output, &[b'x'; LINE_MAX + 3]);
        writer.finish();
        let mut reader = LogReader::open(path).unwrap();
        let found = read(&mut reader);
        assert_eq!(found[0], ("one".to_owned(), false, true));
        assert_eq!(found[1], ("bad".to_owned(), true, true));
        assert_eq!(found[2], ("two".to_owned(), false, true));
        assert_eq!((found[3].0.len(), found[3].2), (LINE_MAX, false));
        assert_eq!(found[4], ("xxx".to_owned(), false, false));
        assert_eq!(found.len(), 5);
        writer.take(Stream::Output, b"more\n");
        assert_eq!(read(&mut reader), [("more".to_owned(), false, true)]);
    }

    #[test]
    fn a_log_is_bounded_and_whoever_follows_misses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut writer = LogWriter::open(path.clone()).unwrap();
        let mut follower = LogReader::open(path.clone()).unwrap();
        let mut count = 0;
        let text = "y".repeat(8 << 10);
        for number in 0..4_000 {
            writer.take(Stream::Output, format!("{number} {text}\n").as_bytes());
            for (line, ..) in read(&mut follower) {
                assert!(line.starts_with(&format!("{count} ")));
                count += 1;
            }
        }
        assert_eq!(count, 4_000);
        let mut kept = LogReader::open(path.clone()).unwrap();
        assert_eq!(read(&mut kept).last().unwrap().0, format!("3999 {text}"));
        let size = |path: &std::path::Path| std::fs::metadata(path).unwrap().len();
        assert!(size(&path) + size(&super::older(&path)) <= 2 * super::FILE_BYTES_MAX);
    }
}
