//! The supervisor's side of a spool.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use argosy_model::UnitName;

use super::format::{HEADER, Header, MAX_DATA, segment_path, segments};
use super::{SPOOL_DIRECTORY, SpoolError, SpoolFrame};

/// Bytes read from a segment at once; holds at least one whole frame.
const READ_SIZE: usize = 2 * (HEADER + MAX_DATA);

/// Reads one unit's spool by position.
#[derive(Debug)]
pub struct SpoolReader {
    directory: PathBuf,
    position: u64,
    segment: Option<(u64, File)>,
}

impl SpoolReader {
    /// Starts at a position where a frame begins: [`crate::SpoolRange::begin`] or a
    /// [`SpoolFrame::next`].
    pub fn new(runtime_dir: &Path, unit: &UnitName, position: u64) -> SpoolReader {
        let directory = runtime_dir.join(SPOOL_DIRECTORY).join(unit.as_str());
        SpoolReader { directory, position, segment: None }
    }

    /// Returns where the next frame is read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Returns the frames up to `end`, that of the last [`crate::SpoolRange`] received, stopping after at least `max_bytes` of data. Empty when there is
    /// nothing before `end`.
    ///
    /// # Errors
    /// After an error the position is that of the first frame not returned by an earlier call.
    pub fn read(&mut self, end: u64, max_bytes: usize) -> Result<Vec<SpoolFrame>, SpoolError> {
        let before = self.position;
        let mut frames = Vec::new();
        let mut read = 0;
        while self.position < end && read < max_bytes.max(1) {
            match self.read_once(end, &mut frames) {
                Ok(bytes) => read += bytes,
                Err(error) => {
                    self.position = before;
                    return Err(error);
                }
            }
        }
        Ok(frames)
    }

    /// Reads a batch of whole frames from one segment; returns their bytes.
    fn read_once(&mut self, end: u64, frames: &mut Vec<SpoolFrame>) -> Result<usize, SpoolError> {
        let wanted = usize::try_from(end - self.position).unwrap_or(READ_SIZE).min(READ_SIZE);
        let mut bytes = vec![0; wanted];
        let mut length = match &self.segment {
            Some((base, file)) => self.read_segment(*base, file, &mut bytes)?,
            None => 0,
        };
        if length == 0 {
            let (base, file) = self.open_segment()?;
            length = self.read_segment(base, &file, &mut bytes)?;
            self.segment = Some((base, file));
        }
        let mut rest = &bytes[..length];
        while let Some((header, behind)) = rest.split_first_chunk::<HEADER>() {
            let header = Header::decode(header, self.position).ok_or_else(|| self.no_frame())?;
            let Some((data, behind)) = behind.split_at_checked(header.length) else { break };
            self.position = header.next();
            frames.push(header.with_data(data.to_vec()));
            rest = behind;
        }
        let taken = length - rest.len();
        if taken == 0 { Err(self.no_frame()) } else { Ok(taken) }
    }

    fn read_segment(&self, base: u64, file: &File, into: &mut [u8]) -> Result<usize, SpoolError> {
        let mut filled = 0;
        while filled < into.len() {
            let at = self.position - base + filled as u64;
            match file.read_at(&mut into[filled..], at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let path = segment_path(&self.directory, base);
                    return Err(SpoolError::File { what: "read", path, source });
                }
            }
        }
        Ok(filled)
    }

    /// Opens the segment that holds the position.
    fn open_segment(&self) -> Result<(u64, File), SpoolError> {
        let failed =
            |path: &Path, source| SpoolError::File { what: "open", path: path.to_owned(), source };
        let bases = segments(&self.directory).map_err(|source| failed(&self.directory, source))?;
        let base = bases.into_iter().rev().find(|base| *base <= self.position);
        let base = base.ok_or_else(|| SpoolError::NoSegment {
            path: self.directory.clone(),
            position: self.position,
        })?;
        let path = segment_path(&self.directory, base);
        let file = File::open(&path).map_err(|source| failed(&path, source))?;
        Ok((base, file))
    }

    fn no_frame(&self) -> SpoolError {
        let base = self.segment.as_ref().map_or(self.position, |(base, _)| *base);
        SpoolError::NoFrame { path: segment_path(&self.directory, base), position: self.position }
    }
}
