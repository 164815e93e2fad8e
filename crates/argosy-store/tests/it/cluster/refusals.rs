//! Connections that are not taken, and bytes that are not believed.

use std::time::Duration;

use argosy_model::ClusterId;
use argosy_store::{
    Dial, Dialing, LinkRefusal, LinkState, MemberId, Purpose, ServeError, Store, StoreConfig,
    StoreHandle,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::Handle;

use super::until;
use crate::fixture::{CLUSTER, Home, MEMBER, led, put, runtime};

/// Reaches one store, whomever it is asked for, under the name that it is told.
struct Mistaken {
    runtime: Handle,
    target: StoreHandle,
    named: MemberId,
    purpose: Option<Purpose>,
}

impl Dial for Mistaken {
    fn dial(&self, _: MemberId, purpose: Purpose) -> Dialing {
        let (near, far) = tokio::io::duplex(4096);
        let (target, named) = (self.target.clone(), self.named);
        let purpose = self.purpose.unwrap_or(purpose);
        drop(self.runtime.spawn(async move {
            match purpose {
                Purpose::Raft => target.serve_raft(far, named).await,
                Purpose::Snapshot => target.serve_snapshot(far, named).await,
            }
        }));
        Box::pin(async move { Ok(Box::new(near) as argosy_store::PeerStream) })
    }
}

/// Returns what the link of a store says that takes `target` for a member of its own.
async fn refused(
    target: &StoreHandle,
    cluster: ClusterId,
    wanted: MemberId,
    named: Option<MemberId>,
    purpose: Option<Purpose>,
) -> String {
    let home = Home::empty();
    let own = MemberId(0x5e1f);
    let config = StoreConfig::new(home.path(), cluster, own);
    Store::initialise(&config).unwrap();
    let named = named.unwrap_or(own);
    let (runtime, target) = (Handle::current(), target.clone());
    let dial = Mistaken { runtime, target, named, purpose };
    let store = Store::open_with_peers(config, std::sync::Arc::new(dial)).unwrap();
    let handle = store.handle();
    handle.leadership().wait_for(|leadership| leadership.is_leader).await.unwrap();
    handle.add_learner(wanted).await.unwrap();
    let why = || match handle.links().pop().map(|link| link.state) {
        Some(LinkState::Down { why }) => Some(why),
        _ => None,
    };
    until("the link is refused", || why().is_some()).await;
    why().unwrap()
}

#[test]
fn a_connection_to_the_wrong_place_is_refused_with_the_reason() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let target = store.handle();
        led(&target).await;
        let said = |refusal: LinkRefusal| refusal.to_string();
        let why = refused(&target, ClusterId(0xbad), MEMBER, None, None).await;
        assert!(why.contains(&said(LinkRefusal::Cluster)), "{why}");
        let why = refused(&target, CLUSTER, MemberId(7), None, None).await;
        assert!(why.contains(&said(LinkRefusal::Receiver)), "{why}");
        let why = refused(&target, CLUSTER, MEMBER, Some(MemberId(8)), None).await;
        assert!(why.contains(&said(LinkRefusal::Sender)), "{why}");
        let why = refused(&target, CLUSTER, MEMBER, None, Some(Purpose::Snapshot)).await;
        assert!(why.contains(&said(LinkRefusal::Purpose)), "{why}");
    });
}

async fn serve(bytes: Vec<u8>) -> (Result<(), ServeError>, Vec<u8>) {
    let home = Home::new();
    let store = home.open();
    let target = store.handle();
    led(&target).await;
    let (mut near, far): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 20);
    near.write_all(&bytes).await.unwrap();
    near.shutdown().await.unwrap();
    let outcome = target.serve_raft(far, MemberId(3)).await;
    put(&target, "key", "still works").await.unwrap();
    let mut answered = Vec::new();
    near.read_to_end(&mut answered).await.unwrap();
    (outcome, answered)
}

#[test]
fn bytes_that_are_no_frames_end_the_connection_only() {
    runtime().block_on(async {
        let (outcome, _) = serve(b"GET / HTTP/1.1\r\n\r\n".to_vec()).await;
        let Err(ServeError::Io { source, member }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(member, MemberId(3));
        assert_eq!(source.kind(), std::io::ErrorKind::InvalidData);

        let (outcome, answered) = serve(Vec::new()).await;
        let Err(ServeError::Io { source, .. }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(source.kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(answered, b"", "nothing is said to a stranger");

        // A hello cut short, and one that is no hello.
        let (outcome, _) = serve(vec![200, 0, 0, 0, 1, 8]).await;
        assert!(matches!(outcome, Err(ServeError::Io { .. })), "{outcome:?}");
        let (outcome, _) = serve(vec![0, 0, 0, 0, 6]).await;
        assert!(matches!(outcome, Err(ServeError::Io { .. })), "{outcome:?}");
    });
}

#[test]
fn a_connection_that_says_nothing_is_given_up() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let target = store.handle();
        led(&target).await;
        let (near, far) = tokio::io::duplex(4096);
        let outcome = target.serve_raft(far, MemberId(3)).await;
        let Err(ServeError::Silent { after, .. }) = outcome else { panic!("{outcome:?}") };
        assert!(after <= Duration::from_secs(5));
        drop(near);
    });
}

#[test]
fn serving_ends_with_the_store() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let target = store.handle();
        led(&target).await;
        let (near, far) = tokio::io::duplex(4096);
        let serving = tokio::spawn(async move { target.serve_raft(far, MemberId(3)).await });
        tokio::task::yield_now().await;
        store.shutdown();
        let outcome = serving.await.unwrap();
        assert!(matches!(outcome, Err(ServeError::Closed)), "{outcome:?}");
        drop(near);
    });
}
