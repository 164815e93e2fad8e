//! What a sender and the one receiver may rely on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{Closed, Inbox};

#[test]
fn a_batch_holds_everything_that_waited_in_order() {
    let inbox = Inbox::new(8);
    for item in 0..5 {
        inbox.send(item).unwrap();
    }
    let mut batch = Vec::new();
    inbox.drain(&mut batch, Duration::ZERO);
    assert_eq!(batch, [0, 1, 2, 3, 4]);
}

#[test]
fn a_full_queue_holds_its_sender_back_until_a_batch_is_taken() {
    let inbox = Arc::new(Inbox::new(2));
    let sent = Arc::new(AtomicUsize::new(0));
    let sender = {
        let (inbox, sent) = (inbox.clone(), sent.clone());
        thread::spawn(move || {
            for item in 0..100 {
                inbox.send(item).unwrap();
                sent.fetch_add(1, Ordering::SeqCst);
            }
            inbox.close();
        })
    };
    let mut taken = Vec::new();
    loop {
        let mut batch = Vec::new();
        if !inbox.wait(&mut batch) {
            break;
        }
        assert!(batch.len() <= 2, "{} items in a queue of two", batch.len());
        taken.extend(batch);
    }
    sender.join().unwrap();
    assert_eq!(taken, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_reserved_item_never_waits() {
    let inbox = Inbox::new(1);
    inbox.send(1).unwrap();
    inbox.send_reserved(2).unwrap();
    let mut batch = Vec::new();
    assert!(inbox.wait(&mut batch));
    assert_eq!(batch, [1, 2]);
}

#[test]
fn closing_refuses_the_new_and_hands_out_the_old() {
    let inbox = Inbox::new(4);
    inbox.send(1).unwrap();
    inbox.close();
    assert_eq!(inbox.send(2), Err(Closed));
    assert_eq!(inbox.send_reserved(3), Err(Closed));
    let mut batch = Vec::new();
    assert!(inbox.wait(&mut batch));
    assert_eq!(batch, [1]);
    batch.clear();
    assert!(!inbox.wait(&mut batch));
}
