//! Tests of messages: what is read, what is written, and that nothing makes it panic.

use proptest::prelude::*;

use super::*;

/// A query as libc sends it, with an OPT record if `size` is told.
fn query(name: &str, kind: u16, size: Option<u16>) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(size.is_some())];
    bytes.extend(write_name(name));
    bytes.extend(kind.to_be_bytes());
    bytes.extend(CLASS_IN.to_be_bytes());
    if let Some(size) = size {
        bytes.extend([0, 0, 41]);
        bytes.extend(size.to_be_bytes());
        bytes.extend([0; 6]);
    }
    bytes
}

#[test]
fn a_question_is_read() {
    let read = Query::read(&query("Web.Example", TYPE_A, None)).unwrap();
    assert_eq!((read.id, read.name.as_deref(), read.kind), (0x1234, Some("web.example"), TYPE_A));
    assert_eq!(read.udp_bytes, 512);
    assert_eq!(Query::read(&query("web", TYPE_A, Some(4096))).unwrap().udp_bytes, 1232);
    assert_eq!(Query::read(&query("", 2, None)).unwrap().name.as_deref(), Some(""));
    let mut odd = query("we b", TYPE_A, None);
    assert_eq!(Query::read(&odd).unwrap().name, None, "it is forwarded, and matches no name");
    odd[2] |= FLAG_RESPONSE;
    assert_eq!(Query::read(&odd), Err(Rejected::Silently), "two servers never answer each other");
}

#[test]
fn what_is_malformed_is_refused() {
    let good = query("web", TYPE_A, None);
    for end in 0..HEADER_BYTES {
        assert_eq!(Query::read(&good[..end]), Err(Rejected::Silently));
    }
    let code = |bytes: &[u8]| match Query::read(bytes) {
        Err(Rejected::With(answer)) => {
            assert_eq!((identifier(&answer), answer.len()), (0x1234, HEADER_BYTES));
            answer[3] & 0xf
        }
        other => panic!("{other:?}"),
    };
    for end in HEADER_BYTES..good.len() {
        assert_eq!(code(&good[..end]), FORMAT_ERROR);
    }
    let mut pointer = good.clone();
    pointer[HEADER_BYTES] = 0xc0;
    assert_eq!(code(&pointer), FORMAT_ERROR, "a pointer to itself");
    let mut two = good.clone();
    two[5] = 2;
    assert_eq!(code(&two), FORMAT_ERROR);
    let mut notify = good.clone();
    notify[2] = 0x20;
    assert_eq!(code(&notify), NOT_IMPLEMENTED);
    let mut long = good[..HEADER_BYTES].to_vec();
    for _ in 0..5 {
        long.push(63);
        long.extend([b'x'; 63]);
    }
    long.extend([0, 0, 1, 0, 1]);
    assert_eq!(code(&long), FORMAT_ERROR, "more than 255 bytes of name");
}

#[test]
fn answers_repeat_the_question() {
    let bytes = query("Web", TYPE_A, None);
    let read = Query::read(&bytes).unwrap();
    let answer = answers(&read, Some(&[Record::Address([10, 88, 0, 2].into())]), true);
    assert_eq!(answer[..12], [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    assert_eq!(answer[12..21], bytes[12..21], "with the letters as they were");
    assert_eq!(answer[21..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 88, 0, 2]);
    assert!(read.is_answered_by(&answer));
    assert_eq!(answers(&read, Some(&[]), true)[3], 0x80, "there is the name, without this type");
    assert_eq!(answers(&read, None, true)[3], 0x83);
    assert_eq!(failure(&read)[2..4], [0x81, 0x82]);
    let other = Query::read(&query("wex", TYPE_A, None)).unwrap();
    assert!(!other.is_answered_by(&answer));
    assert!(!read.is_answered_by(&bytes), "the question itself is no answer");
    let pointer = answers(&read, Some(&[Record::Name("web".to_owned())]), true);
    assert_eq!(pointer[31..], [0, 5, 3, b'w', b'e', b'b', 0]);
}

#[test]
fn a_datagram_holds_what_fits() {
    let read = Query::read(&query("web", TYPE_A, None)).unwrap();
    let many: Vec<Record> = (0..100).map(|n| Record::Address([10, 0, 0, n].into())).collect();
    let short = answers(&read, Some(&many), true);
    assert!(short.len() <= 512 && short[2] & FLAG_TRUNCATED != 0);
    assert_eq!(usize::from(short[7]), (short.len() - 21) / 16);
    let whole = answers(&read, Some(&many), false);
    assert_eq!((whole[7], whole[2] & FLAG_TRUNCATED), (100, 0));
}

proptest! {
    #[test]
    fn nothing_makes_the_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        match Query::read(&bytes) {
            Ok(query) => {
                let answer = answers(&query, Some(&[Record::Name("a.b".to_owned())]), true);
                prop_assert!(query.is_answered_by(&answer));
                prop_assert!(!query.is_answered_by(&bytes));
            }
            Err(Rejected::With(answer)) => prop_assert_eq!(answer.len(), HEADER_BYTES),
            Err(Rejected::Silently) => {}
        }
    }

    #[test]
    fn damage_to_a_query_is_noticed_or_harmless(
        at in 0_usize..40, to: u8, name in "[a-z]{1,12}(\\.[a-z]{1,12}){0,2}",
    ) {
        let mut bytes = query(&name, TYPE_A, Some(1232));
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(read) = Query::read(&bytes) {
            prop_assert!(answers(&read, None, true).len() <= bytes.len());
        }
    }

    #[test]
    fn a_name_is_read_as_it_was_written(name in "[a-z0-9_-]{1,63}(\\.[a-z0-9_-]{1,60}){0,2}") {
        let read = Query::read(&query(&name, TYPE_A, None)).unwrap();
        prop_assert_eq!(read.name, Some(name));
    }
}
