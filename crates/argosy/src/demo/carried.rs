//! This program and the shared libraries it needs, as the files of an image: all that the
//! demonstration carries, so that no registry is asked.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use argosy_image::PlacedFile;

use crate::program::RUNNING;

/// Where the unit files name the program.
pub(super) const PROGRAM: &str = "/usr/bin/argosy";
/// Where its libraries are in the image, whatever this computer has them in.
pub(super) const LIBRARIES: &str = "/lib";

/// What stands in elf(5).
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
/// Longest name that is read.
const NAME_MAX: usize = 4096;
/// Largest table that is read: libraries have some tens of entries of 16 bytes.
const TABLE_MAX: u64 = 64 << 10;

/// Returns what an image needs for this program to run.
pub(super) fn files() -> io::Result<Vec<PlacedFile>> {
    let mut files = vec![PlacedFile { source: RUNNING.into(), target: PROGRAM.into() }];
    // A program that nothing is linked to has no loader.
    let Some(loader) = Elf::open(Path::new(RUNNING))?.interpreter()? else { return Ok(files) };
    let loaded = fs::canonicalize(&loader)?;
    let own = fs::read_link(RUNNING)?;
    files.push(PlacedFile { source: loaded.clone(), target: loader });
    for source in executable(&fs::read_to_string("/proc/self/maps")?) {
        if source == own || source == loaded {
            continue;
        }
        let name = Elf::open(&source)?.library_name()?;
        let name = name.or_else(|| source.file_name().map(OsStr::to_owned)).unwrap_or_default();
        files.push(PlacedFile { source, target: Path::new(LIBRARIES).join(name) });
    }
    Ok(files)
}

/// The files of which this process executes code (proc_pid_maps(5)), each once.
fn executable(maps: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let is_code = words.nth(1).is_some_and(|it| it.contains('x'));
        // What is not from a file has no path, or one in brackets; a path may have blanks.
        let path = line.find('/').map(|at| PathBuf::from(&line[at..]));
        if let Some(path) = path.filter(|path| is_code && !paths.contains(path)) {
            paths.push(path);
        }
    }
    paths
}

/// A program or library for 64 bits, lower byte first.
struct Elf {
    file: File,
    /// Kind, offset, address and length of each.
    segments: Vec<[u64; 4]>,
}

impl Elf {
    fn open(path: &Path) -> io::Result<Elf> {
        let file = File::open(path)?;
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0)?;
        if !header.starts_with(b"\x7fELF\x02\x01") {
            let message = format!("{} is no program for 64 bits", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let (begin, count) = (word(&header, 32), usize::from(header[56]));
        let mut table = vec![0; count * PROGRAM_HEADER];
        file.read_exact_at(&mut table, begin)?;
        let segments = table.chunks_exact(PROGRAM_HEADER).map(|it| {
            let kind = word(it, 0) & u64::from(u32::MAX);
            [kind, word(it, 8), word(it, 16), word(it, 32)]
        });
        let segments = segments.collect();
        Ok(Elf { file, segments })
    }

    fn interpreter(&self) -> io::Result<Option<PathBuf>> {
        let found = self.segments.iter().find(|[kind, ..]| *kind == PT_INTERP);
        found.map(|[_, offset, ..]| self.text(*offset).map(PathBuf::from)).transpose()
    }

    /// The name under which others need a library.
    fn library_name(&self) -> io::Result<Option<std::ffi::OsString>> {
        let Some([_, offset, _, bytes]) = self.segments.iter().find(|it| it[0] == PT_DYNAMIC)
        else {
            return Ok(None);
        };
        let mut table = vec![0; usize::try_from(*bytes.min(&TABLE_MAX)).unwrap_or_default()];
        self.file.read_exact_at(&mut table, *offset)?;
        let entry = |tag: u64| {
            let mut entries = table.chunks_exact(16);
            entries.find(|it| word(it, 0) == tag).map(|it| word(it, 8))
        };
        let (Some(name), Some(texts)) = (entry(DT_SONAME), entry(DT_STRTAB)) else {
            return Ok(None);
        };
        let holds = |[kind, _, address, bytes]: &&[u64; 4]| {
            *kind == PT_LOAD && (*address..address.saturating_add(*bytes)).contains(&texts)
        };
        let Some([_, offset, address, _]) = self.segments.iter().find(holds) else {
            return Ok(None);
        };
        self.text((texts - address).saturating_add(*offset).saturating_add(name)).map(Some)
    }

    /// Reads a text up to the zero behind it.
    fn text(&self, offset: u64) -> io::Result<std::ffi::OsString> {
        let mut bytes = vec![0; NAME_MAX];
        let read = self.file.read_at(&mut bytes, offset)?;
        let end = bytes[..read].iter().position(|it| *it == 0);
        let end = end.ok_or(io::ErrorKind::InvalidData)?;
        Ok(OsStr::from_bytes(&bytes[..end]).to_owned())
    }
}

/// Eight bytes as a number.
fn word(bytes: &[u8], at: usize) -> u64 {
    let eight = bytes.get(at..at + 8).and_then(|it| it.try_into().ok());
    eight.map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    //! Tests of what this very program needs.

    use super::*;

    #[test]
    fn code_is_found_among_what_is_mapped() {
        let maps = "55d0-55d1 r--p 00000000 fe:00 7 /a program\n\
            55d1-55d2 r-xp 00001000 fe:00 7                  /a program\n\
            7f00-7f01 rw-p 00000000 00:00 0\n\
            7f01-7f02 r-xp 00000000 fe:00 8 /lib/libc.so.6\n\
            7f02-7f03 r-xp 00002000 fe:00 8 /lib/libc.so.6\n\
            7f03-7f04 r--p 00000000 fe:00 9 /data\n\
            7ffc-7ffd r-xp 00000000 00:00 0 [vdso]\n";
        assert_eq!(executable(maps), [Path::new("/a program"), Path::new("/lib/libc.so.6")]);
    }

    #[test]
    fn the_program_its_loader_and_its_libraries_are_found() {
        let files = files().unwrap();
        assert_eq!(files[0].target, Path::new(PROGRAM));
        let targets: Vec<String> = files.iter().map(|it| it.target.display().to_string()).collect();
        // Tests are built for this machine, with its C library.
        assert!(targets.iter().any(|it| it.contains("/ld-")), "{targets:?}");
        assert!(targets.iter().any(|it| it == "/lib/libc.so.6"), "{targets:?}");
        assert!(files.iter().all(|it| it.source.is_file()), "{files:?}");
    }
}
