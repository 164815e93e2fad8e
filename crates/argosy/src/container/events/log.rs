//! The file of events: a line in JSON for each, added by any process, read by any number of others.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use argosy_container::{Hold, private_directory, try_lock};

use super::Event;

/// Largest file, of which there are two: together some ten thousand events.
const BYTES_MAX: u64 = 2 << 20;
/// Longest line: many labels fit.
const LINE_MAX: usize = 64 << 10;

/// Where events are noted.
#[derive(Debug, Clone)]
pub(in crate::container) struct Events {
    directory: PathBuf,
}

impl Events {
    pub(in crate::container) fn at(directory: PathBuf) -> Events {
        Events { directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.join("log")
    }

    /// What was noted before the file began anew.
    fn older(&self) -> PathBuf {
        self.directory.join("log.1")
    }

    /// Notes an event, if that can be done.
    pub(super) fn add(&self, event: &Event) {
        let Ok(mut line) = serde_json::to_vec(event) else { return };
        line.push(b'\n');
        if line.len() <= LINE_MAX {
            drop(self.write(&line));
        }
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        let open = || File::options().create(true).append(true).mode(0o600).open(self.path());
        let mut file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                private_directory(&self.directory)?;
                open()?
            }
            result => result?,
        };
        // One call: whole, whoever writes at the same time.
        file.write_all(line)?;
        if file.metadata()?.len() > BYTES_MAX {
            self.begin_anew(&file)?;
        }
        Ok(())
    }

    /// Sets a full file aside, unless somebody else has, or is about it.
    fn begin_anew(&self, full: &File) -> io::Result<()> {
        let lock = try_lock(&self.directory.join("lock"), Hold::Alone);
        let Ok(Some(_lock)) = lock else { return Ok(()) };
        if fs::metadata(self.path())?.ino() == full.metadata()?.ino() {
            fs::rename(self.path(), self.older())?;
        }
        Ok(())
    }

    /// Begins to read with what is noted from now on.
    pub(in crate::container) fn read_new(&self) -> io::Result<Reader> {
        let mut reader = Reader { events: self.clone(), file: None, pending: Vec::new() };
        match File::open(self.path()) {
            Ok(mut file) => {
                file.seek(SeekFrom::End(0))?;
                reader.file = Some(BufReader::new(file));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(reader)
    }

    /// Begins to read, with the oldest event that is still there.
    pub(in crate::container) fn read(&self) -> io::Result<Reader> {
        let mut reader = Reader { events: self.clone(), file: None, pending: Vec::new() };
        match File::open(self.older()) {
            Ok(file) => reader.file = Some(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(reader)
    }
}

/// Reads events in the order in which they were noted, those to come included.
#[derive(Debug)]
pub(in crate::container) struct Reader {
    events: Events,
    file: Option<BufReader<File>>,
    /// The beginning of a line of which the rest is being written.
    pending: Vec<u8>,
}

impl Reader {
    /// Returns the next event; `None` if there is none for now.
    pub(in crate::container) fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            if let Some(file) = &mut self.file {
                file.read_until(b'\n', &mut self.pending)?;
                if self.pending.ends_with(b"\n") {
                    let line = std::mem::take(&mut self.pending);
                    // What a full disk has cut is none.
                    match serde_json::from_slice(&line) {
                        Ok(event) => return Ok(Some(event)),
                        Err(_) => continue,
                    }
                }
            }
            if !self.turn_over()? {
                return Ok(None);
            }
        }
    }

    /// Goes on with the file that is written now, if it is another one.
    fn turn_over(&mut self) -> io::Result<bool> {
        let next = match File::open(self.events.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            result => result?,
        };
        let number = |file: &File| file.metadata().map(|it| it.ino());
        if let Some(file) = &self.file
            && number(file.get_ref())? == number(&next)?
        {
            return Ok(false);
        }
        self.file = Some(BufReader::new(next));
        self.pending.clear();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::super::Actor;
    use super::*;

    fn event(number: i64, filler: usize) -> Event {
        let text = "x".repeat(filler);
        let attributes = Map::from_iter([("filler".to_owned(), text.into())]);
        Event {
            kind: "container".into(),
            action: "start".into(),
            actor: Actor { id: "c".into(), attributes },
            scope: "local".into(),
            time: number,
            time_nano: number * 1_000_000_000,
        }
    }

    #[test]
    fn whoever_reads_sees_every_event_once_also_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::at(dir.path().join("events"));
        let mut reader = events.read().unwrap();
        assert_eq!(reader.next().unwrap(), None);
        // Several files full, read as they come.
        let mut seen = Vec::new();
        for number in 0..200 {
            events.add(&event(number, 60_000));
            if number % 3 == 0 {
                while let Some(event) = reader.next().unwrap() {
                    seen.push(event.time);
                }
            }
        }
        while let Some(event) = reader.next().unwrap() {
            seen.push(event.time);
        }
        assert_eq!(seen, (0..200).collect::<Vec<_>>());
        // Whoever comes later sees the last of them, and no more than two files are kept.
        let mut late = events.read().unwrap();
        let mut last = Vec::new();
        while let Some(event) = late.next().unwrap() {
            last.push(event.time);
        }
        assert!(last.len() < 100 && last.ends_with(&[198, 199]), "{last:?}");
        assert!(last.windows(2).all(|it| it[0] + 1 == it[1]), "{last:?}");
        let names = fs::read_dir(&events.directory).unwrap().count();
        assert_eq!(names, 3, "two files and a lock");
    }

    #[test]
    fn a_line_that_is_too_long_or_cut_is_no_event() {
        let dir = tempfile::tempdir().unwrap();
        let events = Events::at(dir.path().to_owned());
        events.add(&event(1, LINE_MAX));
        events.add(&event(2, 0));
        fs::OpenOptions::new()
            .append(true)
            .open(events.path())
            .unwrap()
            .write_all(b"{\"Type\": \"cont")
            .unwrap();
        let mut new = events.read_new().unwrap();
        let mut reader = events.read().unwrap();
        assert_eq!(reader.next().unwrap().unwrap().time, 2);
        assert_eq!(reader.next().unwrap(), None);
        events.add(&event(3, 0));
        events.add(&event(4, 0));
        assert_eq!(reader.next().unwrap().unwrap().time, 4);
        // Whoever begins behind the cut sees what the others take for the rest of it.
        let seen = [(); 2].map(|()| new.next().unwrap().unwrap().time);
        assert_eq!(seen, [3, 4]);
        assert_eq!(new.next().unwrap(), None);
    }
}
