//! Paths of the v2 API, and which keys they can name.

/// Most parts of a path. Listings and their JSON nest as deep as the paths do.
pub(super) const PATH_PARTS_MAX: usize = 128;

/// Cleans a path as etcd does (Go's `path.Clean` below `/`) and returns its parts.
pub(super) fn parts(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

/// Returns a key as a path if the v2 API can name it: UTF-8, beginning with `/`, made of parts
/// that cleaning leaves alone, and not too many of them.
pub(super) fn of_key(key: &[u8]) -> Option<&str> {
    let path = str::from_utf8(key).ok()?;
    let mut count = 0;
    for part in path.strip_prefix('/')?.split('/') {
        count += 1;
        if matches!(part, "" | "." | "..") || count > PATH_PARTS_MAX {
            return None;
        }
    }
    Some(path)
}
