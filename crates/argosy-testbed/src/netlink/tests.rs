//! Tests of the encoding; that the kernel takes it is for the integration tests.

use super::*;

#[test]
fn attributes_are_padded_and_nested_by_length() {
    let mut message = Message::link(libc::RTM_NEWLINK, 0, 7, 1, 1);
    message.nest(18, |info| info.attribute(1, b"veth5"));
    let bytes = message.finish();
    assert_eq!(bytes.len(), 16 + 16 + 4 + 12);
    assert_eq!(bytes[..4], 48_u32.to_ne_bytes());
    assert_eq!(bytes[20..24], 7_u32.to_ne_bytes(), "the interface");
    assert_eq!(bytes[32..36], [16_u16.to_ne_bytes(), 18_u16.to_ne_bytes()].concat());
    assert_eq!(bytes[36..40], [9_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat());
    assert_eq!(&bytes[40..], b"veth5\0\0\0");
}
