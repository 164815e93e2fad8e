//! What is read is what was written, and nothing else.

use std::io::ErrorKind;

use super::*;

fn hello() -> Hello {
    Hello::new(ClusterId(7), MemberId(1), MemberId(2), Purpose::Snapshot)
}

#[tokio::test]
async fn frames_come_back_in_order_and_the_end_is_seen() {
    let mut buffer = BytesMut::new();
    append(&mut buffer, FrameKind::Hello, &hello());
    append(&mut buffer, FrameKind::Pulse, &Welcome::default());
    let mut stream = &buffer[..];
    let read: Hello = expect(&mut stream, FrameKind::Hello).await.unwrap();
    assert_eq!(read, hello());
    assert_eq!(read_head(&mut stream).await.unwrap(), Some((FrameKind::Pulse, 0)));
    assert_eq!(read_head(&mut stream).await.unwrap(), None);
}

#[tokio::test]
async fn every_kind_keeps_its_number() {
    for (kind, number) in KINDS {
        let mut buffer = BytesMut::new();
        append_head(&mut buffer, kind, 0);
        assert_eq!(buffer[4], number);
        assert_eq!(read_head(&mut &buffer[..]).await.unwrap(), Some((kind, 0)));
    }
    let newer = [3, 0, 0, 0, 200];
    let head = read_head(&mut &newer[..]).await.unwrap();
    assert_eq!(head, Some((FrameKind::Unknown, 3)), "to be passed over");
}

#[tokio::test]
async fn a_frame_that_is_cut_too_long_or_of_another_kind_is_refused() {
    let mut buffer = BytesMut::new();
    append(&mut buffer, FrameKind::Hello, &hello());
    for length in 1..buffer.len() {
        let cut = expect::<Hello>(&mut &buffer[..length], FrameKind::Hello).await;
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::UnexpectedEof, "{length} bytes");
    }
    let other = expect::<Welcome>(&mut &buffer[..], FrameKind::Welcome).await;
    assert_eq!(other.unwrap_err().kind(), ErrorKind::InvalidData);
    let mut long = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_le_bytes().to_vec();
    long.push(3);
    assert_eq!(read_head(&mut &long[..]).await.unwrap_err().kind(), ErrorKind::InvalidData);
}
