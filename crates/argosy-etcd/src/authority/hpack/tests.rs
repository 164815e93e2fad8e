//! Header blocks, taken from RFC 7541, appendix C, where it has them.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A HEADERS frame with this block and these flags.
fn frame(flags: u8, block: &[u8]) -> Vec<u8> {
    let length = u8::try_from(block.len()).unwrap();
    [&[0, 0, length, 1, flags, 0, 0, 0, 1], block].concat()
}

#[test]
fn huffman_symbols_are_counted() {
    for (code, count) in [
        ("f1e3 c2e5 f23a 6ba0 ab90 f4ff", Some("www.example.com".len())),
        ("a8eb 1064 9cbf", Some("no-cache".len())),
        ("25a8 49e9 5bb8 e8b4 bf", Some("custom-value".len())),
        ("9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3", Some("https://www.example.com".len())),
        ("", Some(0)),
        // A whole byte of padding, and padding that is not all ones.
        ("a8eb 1064 9cbf ff", None),
        ("a8eb 1064 9cbe", None),
    ] {
        assert_eq!(symbols(&hex(code)), count, "{code}");
    }
}

#[test]
fn only_urls_are_found() {
    let coded = |code: &str| {
        let code = hex(code);
        [&[0x80 | u8::try_from(code.len()).unwrap()], &code[..]].concat()
    };
    assert_eq!(url_length(&coded("9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3")), Some(23));
    assert_eq!(url_length(&coded("f1e3 c2e5 f23a 6ba0 ab90 f4ff")), None);
    assert_eq!(url_length(b"\x0ahttp://a:1"), Some(10));
    assert_eq!(url_length(b"\x0bhttps://a:1"), Some(11));
    assert_eq!(url_length(b"\x0d127.0.0.1:2379"), None);
}

#[test]
fn the_authority_keeps_its_length() {
    // Table size, :method POST, :scheme http, a literal, then the authority and one more field.
    let before = hex("3fe11f 83 86 400a 6375 7374 6f6d 2d6b 6579 0161");
    let block = [&before[..], b"\x41\x0ahttp://a:1", b"\x84"].concat();
    let expected = [&before[..], b"\x41\x0axxxxxxxxxx", b"\x84"].concat();
    assert_eq!(mend(&frame(4, &block)), Some(frame(4, &expected)));

    let coded = hex("91 9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3");
    let block = [&[0x83, 0x01], &coded[..], &[0x84]].concat();
    let expected = [&b"\x83\x01\x17"[..], &[b'x'; 23], &[0x84]].concat();
    assert_eq!(mend(&frame(4, &block)), Some(frame(4, &expected)));
}

#[test]
fn padding_and_priority_are_passed_over() {
    let (head, tail) = (b"\x02\x80\0\0\0\x10", b"\0\0");
    let block = [&head[..], b"\x83\x41\x0ahttp://a:1", tail].concat();
    let expected = [&head[..], b"\x83\x41\x0axxxxxxxxxx", tail].concat();
    let flags = 4 | PADDED | PRIORITY;
    assert_eq!(mend(&frame(flags, &block)), Some(frame(flags, &expected)));
}

#[test]
fn what_is_not_understood_is_left_alone() {
    let block = b"\x83\x41\x0ahttp://a:1";
    for length in 0..block.len() {
        assert_eq!(mend(&frame(4, &block[..length])), None, "{length}");
    }
    for junk in 0..=255 {
        assert_eq!(mend(&frame(4, &[junk; 40])), None, "{junk}");
    }
    let long = [&b"\x41\x7f\x00"[..], b"http://", &[b'a'; 120]].concat();
    assert_eq!(mend(&frame(4, &long)), None, "a length of two bytes");
}
