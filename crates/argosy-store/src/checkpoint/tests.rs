//! One file, one moment: deltas, identity, and what is refused.

use std::path::Path;
use std::sync::Arc;

use argosy_consensus::{Checkpoint, CheckpointStore as _, MemberChange, MemberId, Membership};
use argosy_kv::invariants::hash;
use argosy_kv::{Command, CommandKind, KeyRange, Op, PutRequest, SpaceId, Txn};
use argosy_model::{ClusterId, UnixMicros};
use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _};

use super::{CheckpointFile, CheckpointFileError, HEADER, Header, META, RECORDS};
use prost::Message as _;

const CLUSTER: ClusterId = ClusterId(1);
const MEMBER: MemberId = MemberId(2);

fn apply(checkpoint: &mut Checkpoint, op: Op) {
    let kind = CommandKind::Txn(Txn::unconditional(vec![op]));
    let command = Command { proposed_at: UnixMicros(0), kind };
    let index = checkpoint.applied + 1;
    checkpoint.state.apply(index, 3, &command).response.unwrap();
    (checkpoint.applied, checkpoint.term) = (index, 3);
}

fn put(checkpoint: &mut Checkpoint, key: &str) {
    let request = PutRequest::new(key.to_owned(), "value");
    apply(checkpoint, Op::Put(SpaceId::User, request));
}

fn initial() -> Checkpoint {
    Checkpoint::initial(Membership::of_voters([MEMBER]))
}

fn create(path: &Path) -> Checkpoint {
    CheckpointFile::create(path, CLUSTER, MEMBER, &initial()).unwrap();
    initial()
}

fn open(path: &Path) -> Result<CheckpointFile, CheckpointFileError> {
    CheckpointFile::open(path, CLUSTER, MEMBER, Arc::default())
}

fn keys(checkpoint: &Checkpoint) -> Vec<Vec<u8>> {
    let request = argosy_kv::RangeRequest::new(KeyRange::all());
    let range = checkpoint.state.range(SpaceId::User, &request).unwrap();
    range.kvs.iter().map(|kv| kv.key.to_vec()).collect()
}

#[test]
fn state_index_term_and_members_come_back_together() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint");
    let mut checkpoint = create(&path);
    put(&mut checkpoint, "a");
    put(&mut checkpoint, "b");
    checkpoint.membership.learners.insert(MemberId(8));
    checkpoint.membership.removed.insert(MemberId(9));
    let mut file = open(&path).unwrap();
    file.read().unwrap();
    file.write(&checkpoint).unwrap();
    drop(file);

    let read = open(&path).unwrap().read().unwrap();
    assert_eq!((read.applied, read.term), (3, 3));
    assert_eq!(read.membership, checkpoint.membership);
    assert_eq!(read.state.revisions(), checkpoint.state.revisions());
    assert_eq!(keys(&read), [b"a", b"b"]);
}

#[test]
fn only_a_joint_membership_needs_the_newer_format() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint");
    let mut checkpoint = create(&path);
    assert_eq!(header(&path).format, 1, "an older version reads it");
    let mut file = open(&path).unwrap();
    file.read().unwrap();
    checkpoint.membership.learners = [MemberId(3), MemberId(4)].into();
    let both = MemberChange::Promote([MemberId(3), MemberId(4)].into());
    checkpoint.membership.apply(&both).unwrap();
    put(&mut checkpoint, "joint");
    file.write(&checkpoint).unwrap();
    drop(file);
    assert_eq!(header(&path).format, 2, "an older version must not");
    let mut file = open(&path).unwrap();
    let read = file.read().unwrap();
    assert_eq!(read.membership, checkpoint.membership);
    assert_eq!(read.membership.outgoing, [MEMBER].into());

    checkpoint.membership.outgoing.clear();
    put(&mut checkpoint, "left");
    file.write(&checkpoint).unwrap();
    drop(file);
    assert_eq!(header(&path).format, 1);
}

fn header(path: &Path) -> Header {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_read().unwrap();
    let table = transaction.open_table(META).unwrap();
    let bytes = table.get(HEADER).unwrap().unwrap().value().to_vec();
    Header::decode(&bytes[..]).unwrap()
}

#[test]
fn a_delta_leaves_the_same_records_as_a_whole_write() {
    let home = tempfile::tempdir().unwrap();
    let (whole, delta) = (home.path().join("whole"), home.path().join("delta"));
    let mut checkpoint = create(&delta);
    let mut file = open(&delta).unwrap();
    file.read().unwrap();
    for round in 0..4 {
        for number in 0..50 {
            put(&mut checkpoint, &format!("{}", (number * 7 + round * 13) % 90));
        }
        file.write(&checkpoint).unwrap();
    }
    drop(file);
    CheckpointFile::create(&whole, CLUSTER, MEMBER, &checkpoint).unwrap();
    assert_eq!(records(&delta), records(&whole));
}

fn records(path: &Path) -> u64 {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_read().unwrap();
    transaction.open_table(RECORDS).unwrap().len().unwrap()
}

#[test]
fn an_older_checkpoint_never_replaces_a_newer_one() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint");
    let mut checkpoint = create(&path);
    let mut file = open(&path).unwrap();
    file.read().unwrap();
    put(&mut checkpoint, "a");
    let older = checkpoint.clone();
    put(&mut checkpoint, "b");
    file.write(&checkpoint).unwrap();
    file.write(&older).unwrap();
    drop(file);
    assert_eq!(open(&path).unwrap().read().unwrap().applied, 3);
}

#[test]
fn a_header_that_does_not_fit_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint");
    create(&path);
    let mut file = CheckpointFile::open(&path, CLUSTER, MemberId(77), Arc::default()).unwrap();
    let refused = file.read().unwrap_err();
    let CheckpointFileError::Foreign { cluster, member } = refused else { panic!("{refused:?}") };
    assert_eq!((cluster, member), (CLUSTER, MEMBER));
    drop(file);

    let header = Header::new(CLUSTER, MEMBER, &initial());
    rewrite(&path, &Header { format: super::FORMAT + 1, ..header.clone() });
    let refused = open(&path).unwrap().read().unwrap_err();
    assert!(matches!(refused, CheckpointFileError::Format { found: 3 }), "{refused:?}");

    rewrite(&path, &Header { applied: 99, ..header });
    let refused = open(&path).unwrap().read().unwrap_err();
    assert!(matches!(refused, CheckpointFileError::Torn { header: 99, .. }), "{refused:?}");
}

fn rewrite(path: &Path, header: &Header) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(META).unwrap();
    table.insert(HEADER, header.encode_to_vec().as_slice()).unwrap();
    drop(table);
    transaction.commit().unwrap();
}

/// A file of a few hundred keys, and its checkpoint.
fn filled(path: &Path) -> Checkpoint {
    let mut checkpoint = create(path);
    let mut file = open(path).unwrap();
    file.read().unwrap();
    for number in 0..300 {
        put(&mut checkpoint, &format!("key-{number}"));
    }
    file.write(&checkpoint).unwrap();
    checkpoint
}

#[test]
fn a_flipped_bit_is_refused_or_hits_nothing_that_is_used() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint");
    let checkpoint = filled(&path);
    let whole = std::fs::read(&path).unwrap();
    let mut refusals = 0;
    for at in (0..32).chain((32..whole.len()).step_by(463)) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, damaged).unwrap();
        match open(&path).and_then(|mut file| file.read()) {
            Ok(read) => assert_eq!(hash(&read.state), hash(&checkpoint.state), "bit at {at}"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains("; put back the checkpoint and the log"), "{at}: {error:?}");
                refusals += 1;
            }
        }
    }
    assert!(refusals > 30, "{refusals} refusals");
}

#[test]
fn a_file_cut_at_any_page_is_refused_with_the_next_step() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint");
    filled(&path);
    let whole = std::fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(4096).chain([1, 100, whole.len() - 1]) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let refused = open(&path).and_then(|mut file| file.read()).unwrap_err();
        assert!(matches!(refused, CheckpointFileError::Damaged(_)), "{length}: {refused:?}");
    }
    std::fs::remove_file(&path).unwrap();
    let refused = open(&path).err().unwrap();
    assert!(matches!(refused, CheckpointFileError::Missing(_)), "{refused:?}");
}

#[test]
fn the_file_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("checkpoint");
    create(&path);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// What the panic hook prints goes to standard error, so the test runs itself in a process.
#[test]
fn a_panic_that_is_an_answer_is_not_printed_and_others_are() {
    const VARIABLE: &str = "ARGOSY_TEST_QUIET";
    if std::env::var_os(VARIABLE).is_some() {
        assert!(super::quietly(|| panic!("an answer")).is_none());
        assert_eq!(super::quietly(|| 7), Some(7));
        panic!("a fault");
    }
    let name = "checkpoint::tests::a_panic_that_is_an_answer_is_not_printed_and_others_are";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", name, "--nocapture"]).env(VARIABLE, "1").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("a fault") && !printed.contains("an answer"), "{printed}");
}
