//! Directories are found by their paths, forgotten with all below them, and counted.

use std::convert::Infallible;

use super::*;

const LOOK: Look = Look { mode: 0o755, modified: (0, 0) };

fn names(path: &str) -> Vec<&[u8]> {
    path.split('/').map(str::as_bytes).collect()
}

fn all(directories: &Directories) -> Vec<String> {
    let mut found = Vec::new();
    let each = |path: &[u8], _| {
        found.push(String::from_utf8(path.to_vec()).unwrap());
        Ok::<_, Infallible>(())
    };
    directories.each_upwards(each).unwrap();
    found
}

fn all_implied(implied: &Implied) -> Vec<String> {
    let mut found = Vec::new();
    let each = |path: &[u8]| {
        found.push(String::from_utf8(path.to_vec()).unwrap());
        Ok::<_, Infallible>(())
    };
    implied.each_upwards(each).unwrap();
    found
}

#[test]
fn what_is_below_comes_first_and_is_forgotten_with_what_is_above() {
    let mut directories = Directories::new(Memory::of(1 << 20), LOOK);
    for path in ["a", "a/b", "a/b/c", "ab", "a/d"] {
        directories.describe(&names(path), LOOK).unwrap();
    }
    assert_eq!(all(&directories), ["ab", "a/d", "a/b/c", "a/b", "a", ""]);
    directories.forget(&names("a/b"));
    directories.forget(&names("never/was"));
    assert_eq!(all(&directories), ["ab", "a/d", "a", ""]);
    directories.describe(&names("a/b"), LOOK).unwrap();
    assert_eq!(all(&directories), ["ab", "a/d", "a/b", "a", ""], "and nothing in it");
    // Only on the way: it was not made by this name.
    directories.describe(&names("link/x"), LOOK).unwrap();
    assert_eq!(all(&directories), ["link/x", "ab", "a/d", "a/b", "a", ""]);
}

#[test]
fn those_that_are_implied_are_kept_with_what_they_cost() {
    let memory = Memory::of(20 * DIRECTORY_BYTES);
    let left = || memory.left.load(Ordering::Relaxed);
    let whole = left();
    let mut directories = Directories::new(memory.clone(), LOOK);
    for path in ["a", "a/b", "x", "x/y"] {
        directories.imply(&names(path), LOOK).unwrap();
    }
    // Their entries come later.
    for path in ["a", "x", "x/y", "z"] {
        directories.describe(&names(path), LOOK).unwrap();
    }
    directories.imply(&names("gone"), LOOK).unwrap();
    directories.imply(&names("gone/too"), LOOK).unwrap();
    directories.forget(&names("gone"));
    let implied = directories.implied();
    assert_eq!(all_implied(&implied), ["a/b"]);
    assert!(!implied.is_empty());
    assert_eq!(whole - left(), cost(b"a") + cost(b"b"));
    drop(implied);
    assert_eq!(left(), whole);
    let none = Directories::new(memory.clone(), LOOK).implied();
    assert!(none.is_empty());
}

#[test]
fn layers_of_one_operation_share_what_there_is() {
    let memory = Memory::of(5 * DIRECTORY_BYTES);
    let mut one = Directories::new(memory.clone(), LOOK);
    one.imply(&names("a/b"), LOOK).unwrap();
    let implied = one.implied();
    let mut other = Directories::new(memory, LOOK);
    other.imply(&names("a/b"), LOOK).unwrap();
    let refused = other.imply(&names("c"), LOOK);
    assert_eq!(refused, Err(Refusal::Directories { max: 5 * DIRECTORY_BYTES }));
    drop(implied);
    other.imply(&names("c"), LOOK).unwrap();
}
