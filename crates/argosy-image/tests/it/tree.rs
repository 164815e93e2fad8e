//! What a directory holds, in full, so that two can be compared file by file.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use argosy_image::{Digest, Image};

use crate::tools::{folder, run, text};

/// Each path and all that is known about it, as text.
pub(crate) fn snapshot(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut inodes: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut items: Vec<PathBuf> =
            std::fs::read_dir(&folder).unwrap().map(|item| item.unwrap().path()).collect();
        items.sort();
        for path in items {
            let below = path.strip_prefix(root).unwrap().to_owned();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let kind = meta.file_type();
            let what = if kind.is_dir() {
                folders.push(path.clone());
                "folder".to_owned()
            } else if kind.is_symlink() {
                format!("link to {:?}", std::fs::read_link(&path).unwrap())
            } else if kind.is_file() {
                let first = inodes.entry(meta.ino()).or_insert_with(|| below.clone());
                let linked =
                    if meta.nlink() > 1 { format!(" same as {first:?}") } else { String::new() };
                format!("file {}{linked}", Digest::sha256(&std::fs::read(&path).unwrap()).short())
            } else if kind.is_fifo() {
                "pipe".to_owned()
            } else {
                format!("device {:x} block {}", meta.rdev(), kind.is_block_device())
            };
            // A folder's time says when its parts were written, which engines do in their own order.
            let time = if kind.is_dir() { 0 } else { meta.mtime() };
            let text = format!(
                "{what} mode {:o} owner {}:{} time {time}{}",
                meta.mode() & 0o7777,
                meta.uid(),
                meta.gid(),
                attributes(&path),
            );
            found.insert(below, text);
        }
    }
    found
}

fn attributes(path: &Path) -> String {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut text = String::new();
    let mut names: Vec<&[u8]> = names[..length].split(|byte| *byte == 0).collect();
    names.sort();
    for name in names {
        // What engines keep for themselves.
        let own = [
            &b"user.containers"[..],
            b"trusted.overlay",
            b"user.rootlesscontainers",
            b"user.umoci",
        ];
        if name.is_empty() || own.iter().any(|own| name.starts_with(own)) {
            continue;
        }
        let mut value = vec![0; 4096];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
        text += &format!(" {}={:?}", String::from_utf8_lossy(name), &value[..length]);
    }
    text
}

/// Fails with the differences alone.
pub(crate) fn assert_same(ours: &Path, theirs: &Path) {
    let (ours, theirs) = (snapshot(ours), snapshot(theirs));
    let mut different = Vec::new();
    for path in ours.keys().chain(theirs.keys()) {
        if ours.get(path) != theirs.get(path) {
            different.push(format!(
                "{path:?}\n   ours   {:?}\n   theirs {:?}",
                ours.get(path),
                theirs.get(path)
            ));
        }
    }
    different.dedup();
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(!ours.is_empty(), "there is something to compare");
}

/// An image's layers stacked by overlayfs, until it is dropped.
pub(crate) struct Mounted {
    folder: tempfile::TempDir,
}

impl Mounted {
    pub(crate) fn new(image: &Image) -> Self {
        let folder = folder();
        let (merged, empty) = (folder.path().join("merged"), folder.path().join("empty"));
        std::fs::create_dir(&merged).unwrap();
        std::fs::create_dir(&empty).unwrap();
        let mut layers: Vec<&str> = image.layers.iter().map(|layer| text(layer)).collect();
        // Overlayfs wants two at least.
        layers.insert(0, text(&empty));
        layers.reverse();
        let options = format!("lowerdir={}", layers.join(":"));
        run("mount", &["-t", "overlay", "overlay", "-o", &options, text(&merged)]);
        Self { folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("merged")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[text(&self.path())]);
    }
}
