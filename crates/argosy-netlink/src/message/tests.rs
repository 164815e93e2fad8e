//! Tests of the encoding; that the kernel takes it is for those who use it.

use super::*;

#[test]
fn attributes_are_padded_and_nested_by_length() {
    let mut message = Message::new(libc::RTM_NEWLINK, 0);
    message.push(&[7; 16]);
    message.nest(18, |info| info.attribute(1, b"veth5"));
    let bytes = message.finish(3);
    assert_eq!(bytes.len(), 16 + 16 + 4 + 12);
    assert_eq!(bytes[..4], 48_u32.to_ne_bytes());
    assert_eq!(bytes[8..12], 3_u32.to_ne_bytes(), "the request's number");
    assert_eq!(bytes[32..36], [16_u16.to_ne_bytes(), 18_u16.to_ne_bytes()].concat());
    assert_eq!(bytes[36..40], [9_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
    assert_eq!(&bytes[40..], b"veth5\0\0\0");
}

#[test]
fn what_was_written_is_read_again() {
    let mut message = Message::new(5, 0);
    message.text(3, "eth0");
    message.nest(18 | NESTED, |info| info.text(1, "bridge"));
    let mut bytes = message.clone().finish(1);
    bytes.extend(message.finish(2));
    let read: Vec<_> = incoming(&bytes).collect();
    assert_eq!(read.iter().map(|it| (it.kind, it.sequence)).collect::<Vec<_>>(), [(5, 1), (5, 2)]);
    assert_eq!(text(find(read[1].payload, 3).unwrap()), "eth0");
    let info = find(read[1].payload, 18).unwrap();
    assert_eq!(text(find(info, 1).unwrap()), "bridge");
    assert_eq!(find(info, 2), None);
}

#[test]
fn a_message_that_is_not_whole_ends_the_reading() {
    let mut message = Message::new(5, 0);
    message.text(3, "eth0");
    let bytes = message.finish(1);
    for cut in 0..bytes.len() {
        assert_eq!(incoming(&bytes[..cut]).count(), 0, "{cut}");
    }
    assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0, "a length of nothing does not go on forever");
    assert_eq!(incoming(&[0; 64]).count(), 0);
}
