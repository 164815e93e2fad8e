//! A link over real connections, through a relay that swallows what goes over one of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use argosy_model::{ClusterId, Generation, MachineId};
use argosy_peer::{
    Authorise, ClusterCa, Identity, ListenerLimits, MachineKey, PeerIdentity, PeerListener,
    Refusal, Service, TlsConfigs, Validity,
};
use argosy_reconcile::{Beat, Grant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};

use super::*;
use crate::daemon::book::{Book, Place};

const VOTER: MemberId = MemberId(7);
const BEAT: Duration = Duration::from_millis(50);
/// Far above anything a loaded test machine needs; only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);

/// What the voter has got over each connection, and whether it has ended.
type Got = BTreeMap<usize, (Vec<Message>, bool)>;

struct Stand {
    link: Link,
    got: watch::Receiver<Got>,
    /// The connections below this number are dead, though nobody is told.
    swallowed: watch::Sender<usize>,
    news: mpsc::Receiver<News>,
    _tasks: JoinSet<()>,
    _others: Vec<JoinHandle<()>>,
}

fn tls(authority: &ClusterCa, machine: MachineId) -> Arc<TlsConfigs> {
    let key = MachineKey::generate().unwrap();
    let validity = Validity::of_machine(SystemTime::now());
    let request = key.signing_request().unwrap();
    let certificate = authority.issue(&request, machine, validity).unwrap();
    let identity = Identity::new(&key, &certificate, authority.certificate_pem()).unwrap();
    TlsConfigs::new(identity).unwrap()
}

impl Stand {
    /// A voter that answers beats by grants, or not at all.
    async fn new(grants: bool) -> Stand {
        let authority = ClusterCa::create(ClusterId(1)).unwrap();
        let everyone: Arc<dyn Authorise> =
            Arc::new(|_: Service, _: &PeerIdentity| Ok::<(), Refusal>(()));
        let (own, voter) = (tls(&authority, MachineId(1)), tls(&authority, MachineId(2)));
        let any = "127.0.0.1:0".parse().unwrap();
        let listener =
            PeerListener::bind(any, voter, everyone, ListenerLimits::default()).await.unwrap();
        let (swallowed, is_swallowed) = watch::channel(0);
        let behind = listener.local_address().unwrap();
        let (tell, got) = watch::channel(Got::new());
        let (address, relay) = relay(behind, is_swallowed).await;
        let voter = tokio::spawn(serve(listener, grants, tell));
        let place = Place { machine: MachineId(2), member: Some(VOTER), address };
        let port = MachinePort::new(own, Arc::new(Book::new([place])));
        let (news, to_take) = mpsc::channel(1_024);
        let mut tasks = JoinSet::new();
        let patience = Patience { beat: BEAT, silence: Duration::from_secs(5) };
        let link = Link::start(&mut tasks, port, VOTER, news, patience);
        let others = vec![relay, voter];
        Stand { link, got, swallowed, news: to_take, _tasks: tasks, _others: others }
    }

    /// Beats until the voter has got what it should have.
    async fn beat_until(&mut self, enough: impl Fn(&Got) -> bool) -> Got {
        let mut beats = interval(BEAT);
        let mut number = 0;
        let until = async {
            while !enough(&self.got.borrow()) {
                beats.tick().await;
                number += 1;
                let beat = Beat { number, generation: Generation(0), long: false };
                self.link.send(Message::Beat(beat));
                while self.news.try_recv().is_ok() {}
            }
            self.got.borrow().clone()
        };
        timeout(HANG, until).await.expect("the test hangs")
    }
}

fn is_beat(message: &Message) -> bool {
    matches!(message, Message::Beat(_))
}

fn beats(got: &Got, connection: usize) -> usize {
    got.get(&connection).map_or(0, |(got, _)| got.iter().filter(|one| is_beat(one)).count())
}

/// The voter: it counts connections in the order in which they are made.
async fn serve(mut listener: PeerListener, grants: bool, tell: watch::Sender<Got>) {
    let tell = Arc::new(tell);
    let mut connections = JoinSet::new();
    for number in 0.. {
        // One that its machine gave up before it had greeted does not count.
        let accepted = loop {
            if let Ok(accepted) = listener.accept().await {
                break accepted;
            }
        };
        let mut stream: FrameStream<FRAME_BYTES> =
            accepted.stream.detach().unwrap().attach(HANG).unwrap();
        let tell = Arc::clone(&tell);
        connections.spawn(async move {
            while let Ok(frame) = stream.read().await {
                let message = Message::decode(&frame).unwrap();
                tell.send_modify(|got| got.entry(number).or_default().0.push(message));
                let answer = match message {
                    Message::Beat(beat) if grants => {
                        Message::Grant(Grant { number: beat.number, term: Term(1), long: false })
                    }
                    Message::Ask { round, .. } => Message::Answer { round, term: Term(1) },
                    _ => continue,
                };
                if stream.write(&answer.encode()).await.is_err() {
                    break;
                }
            }
            tell.send_modify(|got| got.entry(number).or_default().1 = true);
        });
    }
}

/// Passes bytes on, and swallows those of connections below a number.
async fn relay(
    behind: SocketAddr,
    swallowed: watch::Receiver<usize>,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut ways = JoinSet::new();
        for number in 0.. {
            let (near, _) = listener.accept().await.unwrap();
            let far = TcpStream::connect(behind).await.unwrap();
            let ((near_read, near_write), (far_read, far_write)) =
                (near.into_split(), far.into_split());
            let is_swallowed = swallowed.clone();
            ways.spawn(pass(near_read, far_write, number, is_swallowed.clone()));
            ways.spawn(pass(far_read, near_write, number, is_swallowed));
        }
    });
    (address, task)
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    number: usize,
    swallowed: watch::Receiver<usize>,
) {
    let mut buffer = [0; 4_096];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let passes = number >= *swallowed.borrow();
        if passes && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_line_that_brings_nothing_back_is_replaced_by_one_that_does() {
    let mut stand = Stand::new(true).await;
    stand.beat_until(|got| beats(got, 0) >= 3).await;
    assert_eq!(stand.got.borrow().len(), 1, "one line as long as it answers");
    stand.swallowed.send_replace(1);
    // The machine itself hangs up the first when the second has answered.
    // On a busy machine others are tried before that one does.
    let next = |got: &Got, first: usize, count| {
        got.keys().copied().find(|number| *number >= first && beats(got, *number) >= count)
    };
    let got = stand.beat_until(|got| next(got, 1, 5).is_some() && got[&0].1).await;
    let (second, lines) = (next(&got, 1, 5).unwrap(), got.len());
    let later = stand.beat_until(|got| beats(got, second) >= 10).await;
    assert_eq!(later.len(), lines, "no more are tried once one answers");
    assert!(!later[&second].1);
    // And so on.
    stand.swallowed.send_replace(lines);
    stand.beat_until(|got| next(got, lines, 3).is_some() && got[&second].1).await;
}

#[tokio::test]
async fn a_leader_that_grants_nothing_is_not_taken_for_a_dead_line() {
    let mut stand = Stand::new(false).await;
    let got = stand.beat_until(|got| beats(got, 0) >= 12).await;
    assert_eq!(got.len(), 1);
    assert!(got[&0].0.contains(&PROBE), "{got:?}");
}

#[tokio::test]
async fn only_so_many_lines_are_tried_at_once() {
    let authority = ClusterCa::create(ClusterId(1)).unwrap();
    let port = MachinePort::new(tls(&authority, MachineId(1)), Arc::new(Book::default()));
    let (news, _to_take) = mpsc::channel(1);
    let (tell, _told) = mpsc::channel(TOLD_MAX);
    let ends = Ends { port, voter: VOTER, news, tell, silence: HANG };
    let attempts = Attempts::new(BEAT, HANG);
    let mut lines = Lines { ends, lines: Vec::new(), tasks: JoinSet::new(), last: 0, attempts };
    let numbers = |lines: &Lines| lines.lines.iter().map(|line| line.number).collect::<Vec<_>>();
    let now = Instant::now();
    lines.dial(now);
    lines.handle(Event::Told(Told { line: 1, what: What::Up }), now);
    (0..5).for_each(|_| lines.dial(now));
    assert_eq!(numbers(&lines), [1, 2, 3], "those that are tried are waited for");
    for line in [2, 3] {
        lines.handle(Event::Told(Told { line, what: What::Up }), now);
    }
    lines.dial(now);
    assert_eq!(numbers(&lines), [2, 3, 4], "the oldest has been silent for longest");
    lines.handle(Event::Told(Told { line: 1, what: What::Answered }), now);
    assert_eq!(numbers(&lines), [2, 3, 4], "it was given up");
    lines.handle(Event::Told(Told { line: 3, what: What::Answered }), now);
    assert_eq!(numbers(&lines), [3]);
}
