//! Tokens as people handle them: pasted, cut, mistyped.

use super::*;

fn example(addresses: &[&str]) -> JoinToken {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    let authority = KeyHash::of(b"authority");
    JoinToken::create(authority, JoinRole::Worker, addresses).unwrap()
}

#[test]
fn a_token_survives_its_text() {
    let token = example(&["192.0.2.7:2380", "[2001:db8::1]:2380"]);
    let text = token.text();
    assert!(text.starts_with("argosy1-"), "{text}");
    assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
    let read = JoinToken::parse(&format!("  {text}\n")).unwrap();
    assert_eq!(read.id, token.id);
    assert_eq!(read.secret.bytes(), token.secret.bytes());
    assert_eq!(read.authority, token.authority);
    assert_eq!(read.role, JoinRole::Worker);
    assert_eq!(read.addresses, token.addresses);
    assert_eq!(read.secret.hash(), token.secret.hash());
}

#[test]
fn the_longest_token_is_within_the_limit() {
    let long = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535";
    let token = example(&[long; TOKEN_ADDRESSES_MAX]);
    assert!(token.text().len() < 700, "{}", token.text().len());
    assert_eq!(JoinToken::parse(&token.text()).unwrap().addresses.len(), TOKEN_ADDRESSES_MAX);
}

#[test]
fn one_to_seven_addresses() {
    for count in [0, 8] {
        let addresses = vec!["192.0.2.7:2380".parse().unwrap(); count];
        let made = JoinToken::create(KeyHash([0; 32]), JoinRole::Member, addresses);
        assert_eq!(made.unwrap_err(), InvalidToken::Addresses { count });
    }
}

#[test]
fn two_tokens_have_nothing_in_common() {
    let (one, two) = (example(&["192.0.2.7:1"]), example(&["192.0.2.7:1"]));
    assert_ne!(one.id, two.id);
    assert_ne!(one.secret.bytes(), two.secret.bytes());
}

#[test]
fn the_secret_does_not_show_in_debug() {
    let token = example(&["192.0.2.7:1"]);
    let list = format!("{:?}", token.secret.bytes());
    let digits = hex(token.secret.bytes());
    for text in [format!("{token:?}"), format!("{:?}", token.secret)] {
        assert!(!text.contains(&list) && !text.contains(&digits), "{text}");
    }
}

#[test]
fn a_cut_token_is_never_taken() {
    let text = example(&["192.0.2.7:2380"]).text();
    for length in 0..text.len() {
        assert!(JoinToken::parse(&text[..length]).is_err(), "cut at {length}");
    }
    assert_eq!(JoinToken::parse(&text[..text.len() - 1]).unwrap_err(), InvalidToken::Damaged);
    assert_eq!(JoinToken::parse("argosy1-").unwrap_err(), InvalidToken::Damaged);
}

#[test]
fn a_mistyped_token_is_never_taken() {
    let text = example(&["192.0.2.7:2380"]).text();
    for at in 0..text.len() {
        let mut typed = text.clone().into_bytes();
        typed[at] = if typed[at] == b'x' { b'y' } else { b'x' };
        let typed = String::from_utf8(typed).unwrap();
        assert!(JoinToken::parse(&typed).is_err(), "changed at {at}");
    }
}

#[test]
fn each_mistake_has_its_own_words() {
    let text = example(&["192.0.2.7:2380"]).text();
    let error = |text: &str| JoinToken::parse(text).unwrap_err();
    assert_eq!(error(" \n"), InvalidToken::Empty);
    assert_eq!(error("hello"), InvalidToken::NotAToken);
    assert_eq!(error("argosy-abc"), InvalidToken::NotAToken);
    assert_eq!(error("K10abc::server:def"), InvalidToken::NotAToken);
    assert_eq!(error("argosy2-abc"), InvalidToken::OtherFormat { format: "argosy2".to_owned() });
    let (left, right) = text.split_at(40);
    assert_eq!(error(&format!("{left}\n{right}")), InvalidToken::WhiteSpace);
    assert_eq!(error(&format!("{left}+{right}")), InvalidToken::Character { found: '+', at: 41 });
    assert_eq!(error(&format!("argosy1-{}", "A".repeat(3000))), InvalidToken::TooLong);
}

/// A token whose checksum fits but whose content does not.
#[test]
fn an_intact_token_with_a_bad_field() {
    let good = TokenMessage {
        id: vec![1; 8],
        secret: vec![2; 16],
        authority: vec![3; 32],
        role: 1,
        addresses: vec!["192.0.2.7:2380".to_owned()],
    };
    let text = |message: &TokenMessage| {
        let mut bytes = message.encode_to_vec();
        bytes.extend_from_slice(&checksum(&message.encode_to_vec()));
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    };
    assert!(JoinToken::parse(&text(&good)).is_ok());
    let bad = [
        ("id", TokenMessage { id: vec![1; 7], ..good.clone() }),
        ("secret", TokenMessage { secret: vec![], ..good.clone() }),
        ("pin", TokenMessage { authority: vec![3; 31], ..good.clone() }),
        ("role", TokenMessage { role: 3, ..good.clone() }),
        ("address", TokenMessage { addresses: vec!["host".to_owned()], ..good.clone() }),
    ];
    for (field, message) in bad {
        let error = JoinToken::parse(&text(&message)).unwrap_err();
        assert_eq!(error, InvalidToken::Field { field });
    }
    let none = TokenMessage { addresses: vec![], ..good };
    let error = JoinToken::parse(&text(&none)).unwrap_err();
    assert_eq!(error, InvalidToken::Addresses { count: 0 });
}
