//! What outlives a child, without processes.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::Held;
use crate::Holder;
use crate::keeper::poller::Poller;

/// A descriptor that can be recognised: what is written into it comes out at the other end.
fn marked() -> (OwnedFd, UnixStream) {
    let (one, other) = UnixStream::pair().unwrap();
    (one.into(), other)
}

#[test]
fn what_a_killed_child_had_said_reaches_its_successor() {
    let (mut poller, mut held) = (Poller::new().unwrap(), Held::default());
    let first = Holder::new(held.begin(&mut poller).unwrap()).unwrap();
    let (kept, mut other) = marked();
    first.hold("kept", kept.as_fd()).unwrap();
    first.hold("gone", marked().0.as_fd()).unwrap();
    first.release("gone").unwrap();
    // Nothing is read before it has ended.
    drop((first, kept));
    held.end(&mut poller);
    let second = Holder::new(held.begin(&mut poller).unwrap()).unwrap();
    assert!(second.take_over("gone").is_none());
    let taken = second.take_over("kept").unwrap();
    UnixStream::from(taken).write_all(b"x").unwrap();
    let mut byte = [0];
    other.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
    // It is held on, for the one after that.
    drop(second);
    let third = Holder::new(held.begin(&mut poller).unwrap()).unwrap();
    assert!(third.take_over("kept").is_some());
}

#[test]
fn what_is_released_is_closed() {
    let (mut poller, mut held) = (Poller::new().unwrap(), Held::default());
    let child = Holder::new(held.begin(&mut poller).unwrap()).unwrap();
    let ends: Vec<UnixStream> = ["a", "b"]
        .map(|name| {
            let (one, other) = marked();
            child.hold(name, one.as_fd()).unwrap();
            other
        })
        .into();
    held.read(&mut poller);
    let is_closed = |mut end: &UnixStream| {
        end.set_nonblocking(true).unwrap();
        matches!(end.read(&mut [0]), Ok(0))
    };
    assert!(!is_closed(&ends[0]));
    child.release("a").unwrap();
    held.read(&mut poller);
    assert!(is_closed(&ends[0]) && !is_closed(&ends[1]));
    held.let_go();
    assert!(is_closed(&ends[1]));
}
