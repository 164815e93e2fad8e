//! Tests of messages.

use std::io::{Read, Write};
use std::os::fd::AsFd;

use super::*;

#[test]
fn a_message_carries_its_descriptors() {
    let (a, b) = pair().unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    send(&a, &Request::Kill { machine: "m1".to_owned() }, &[writer.as_fd()]).unwrap();
    drop(writer);
    let (request, mut descriptors) = receive::<Request>(&b).unwrap().unwrap();
    assert!(matches!(request, Request::Kill { machine } if machine == "m1"));
    let mut passed = std::fs::File::from(descriptors.remove(0));
    passed.write_all(b"through").unwrap();
    drop(passed);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
}

#[test]
fn an_end_and_an_oversized_message_are_told_apart() {
    let (a, b) = pair().unwrap();
    let huge = Request::Kill { machine: "x".repeat(MESSAGE_BYTES_MAX) };
    assert!(send(&a, &huge, &[]).is_err());
    drop(a);
    assert!(receive::<Request>(&b).unwrap().is_none());
}

#[test]
fn the_longest_message_passes_at_once() {
    let (a, b) = pair().unwrap();
    let overhead = serde_json::to_vec(&Request::Kill { machine: String::new() }).unwrap().len();
    let machine = "x".repeat(MESSAGE_BYTES_MAX - overhead);
    send(&a, &Request::Kill { machine: machine.clone() }, &[]).unwrap();
    let (request, _) = receive::<Request>(&b).unwrap().unwrap();
    assert!(matches!(request, Request::Kill { machine: passed } if passed == machine));
}
