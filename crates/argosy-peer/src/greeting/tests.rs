//! Greetings as they are written and as they must not be read.

use super::*;

async fn through(verdict: Result<(), &Refusal>) -> Result<(), Refusal> {
    let mut bytes = Vec::new();
    send(&mut bytes, verdict).await.unwrap();
    receive(&mut bytes.as_slice()).await.unwrap()
}

#[tokio::test]
async fn verdicts_survive() {
    assert_eq!(through(Ok(())).await, Ok(()));
    for kind in [
        RefusalKind::WrongCluster,
        RefusalKind::NotAMember,
        RefusalKind::Removed,
        RefusalKind::Unavailable,
        RefusalKind::Other,
    ] {
        let refusal = Refusal::new(kind, "because of – reasons");
        assert_eq!(through(Err(&refusal)).await, Err(refusal));
    }
}

#[tokio::test]
async fn a_long_message_is_cut_between_characters() {
    let refusal = Refusal::new(RefusalKind::Other, "€".repeat(1000));
    let read = through(Err(&refusal)).await.unwrap_err();
    assert_eq!(read.message, "€".repeat(MESSAGE_BYTES_MAX / 3));
}

#[tokio::test]
async fn strange_greetings() {
    let read = async |bytes: &[u8]| receive(&mut &*bytes).await;
    assert!(matches!(read(&[]).await, Err(GreetingError::Broken { .. })));
    assert!(matches!(read(&[1, 2, 0, 5, b'h']).await, Err(GreetingError::Broken { .. })));
    assert!(matches!(read(&[2, 0, 0, 0]).await, Err(GreetingError::Format { format: 2 })));
    assert!(matches!(read(&[1, 2, 0xff, 0xff]).await, Err(GreetingError::Malformed)));
    assert!(matches!(read(&[1, 2, 0, 1, 0xff]).await, Err(GreetingError::Malformed)));
    let unknown = read(&[1, 77, 0, 1, b'x']).await.unwrap();
    assert_eq!(unknown, Err(Refusal::new(RefusalKind::Other, "x")));
}
