//! Messages as bytes, and the child's end without a keeper.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::{HELD_MAX, Holder, NAME_MAX, Verb, read_message, receive, send_held};

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

fn some_descriptor() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

fn holder(names: &[&str]) -> (OwnedFd, Holder) {
    let (ours, theirs) = pair();
    let held: BTreeMap<String, OwnedFd> =
        names.iter().map(|name| ((*name).to_owned(), some_descriptor())).collect();
    send_held(&ours, &held).unwrap();
    (ours, Holder::new(theirs).unwrap())
}

/// What the keeper gets next: verb, name, how many descriptors.
fn next(keeper: &OwnedFd) -> Option<(Verb, String, usize)> {
    let mut buffer = [0; 200];
    let (bytes, descriptors) = match receive(keeper, &mut buffer) {
        Err(Errno::AGAIN) => return None,
        received => received.unwrap(),
    };
    let (verb, name) = read_message(bytes).unwrap();
    Some((verb, name.to_owned(), descriptors.len()))
}

#[test]
fn what_cannot_be_meant_is_no_message() {
    assert_eq!(read_message(b"\x01port"), Some((Verb::Hold, "port")));
    assert_eq!(read_message(b"\x02port"), Some((Verb::Release, "port")));
    for bad in [&b""[..], b"\x01", b"\x04port", b"\x01po\nrt", b"\x01\xff"] {
        assert_eq!(read_message(bad), None, "{bad:?}");
    }
    let long = [&[1][..], &[b'a'; NAME_MAX + 1]].concat();
    assert_eq!(read_message(&long), None);
}

#[test]
fn a_successor_takes_over_and_releases_the_rest() {
    let (keeper, holder) = holder(&["a", "b", "c"]);
    assert!(holder.take_over("b").is_some());
    assert!(holder.take_over("b").is_none(), "once");
    assert!(holder.take_over("d").is_none());
    holder.release_rest().unwrap();
    assert_eq!(next(&keeper), Some((Verb::Release, "a".to_owned(), 0)));
    assert_eq!(next(&keeper), Some((Verb::Release, "c".to_owned(), 0)));
    assert_eq!(next(&keeper), None, "what it took over is held on");
    holder.release("b").unwrap();
    holder.release("b").unwrap();
    assert_eq!(next(&keeper), Some((Verb::Release, "b".to_owned(), 0)));
    assert_eq!(next(&keeper), None, "it is released once");
}

#[test]
fn no_more_is_held_than_one_message_takes() {
    let names: Vec<String> = (0..HELD_MAX).map(|n| format!("{n:0NAME_MAX$}")).collect();
    let (keeper, holder) = holder(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let descriptor = some_descriptor();
    assert!(holder.hold("one more", descriptor.as_fd()).is_err());
    holder.hold(&names[0], descriptor.as_fd()).unwrap();
    assert_eq!(next(&keeper), Some((Verb::Hold, names[0].clone(), 1)));
    holder.release(&names[1]).unwrap();
    holder.hold("one more", descriptor.as_fd()).unwrap();
    assert!(holder.hold("", descriptor.as_fd()).is_err());
    assert!(holder.hold("two\nlines", descriptor.as_fd()).is_err());
}

#[test]
fn a_keeper_that_does_not_read_is_not_waited_for() {
    let (_keeper, holder) = holder(&[]);
    let descriptor = some_descriptor();
    let sent = (0..100_000).find_map(|_| holder.hold("a", descriptor.as_fd()).err());
    assert!(sent.is_some(), "it fails at last");
}
