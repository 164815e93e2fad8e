//! What a process starts with, how its end is told, how a failed start is told.

use std::fs;

use argosy_keeper::{EventKind, ExecStep, Identity, Output, SpawnId, Stdin, WorkingDirectory};
use argosy_model::ExitOutcome;

use crate::stand::{NOBODY, Setup, Stand, unit};

#[test]
fn a_process_is_told_from_fork_to_the_empty_group() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    supervisor.spawn(stand.shell(1, "a.service", "exit 3"));
    let first = supervisor.event();
    let EventKind::Spawned { spawn_id: SpawnId(1), pid, start_ticks } = first.kind else {
        panic!("{first:?}");
    };
    assert!(pid > 1 && start_ticks > 0 && first.seq == 1 && !first.at.is_zero());
    assert_eq!(supervisor.event().kind, EventKind::Executed { spawn_id: SpawnId(1) });
    let outcome = ExitOutcome::Code(3);
    assert_eq!(supervisor.event().kind, EventKind::Exited { spawn_id: SpawnId(1), outcome });
    assert_eq!(supervisor.event().kind, EventKind::GroupEmpty { unit: unit("a.service") });

    supervisor.spawn(stand.shell(2, "a.service", "kill -ABRT $$"));
    let aborted = supervisor.exit_of(2);
    assert!(matches!(aborted, ExitOutcome::Signal { signal: 6, .. }), "{aborted:?}");
    supervisor.spawn(stand.shell(3, "a.service", "trap '' TERM; kill -TERM $$; exit 0"));
    assert_eq!(supervisor.exit_of(3), ExitOutcome::Code(0));
    stand.end(supervisor);
}

#[test]
fn a_failed_start_names_its_step() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    let mut id = 0;
    let mut failure = |change: &dyn Fn(&mut argosy_keeper::SpawnRecord)| {
        id += 1;
        let mut record = stand.shell(id, "a.service", "exit 0");
        change(&mut record);
        supervisor.spawn(record);
        let failed = |kind: &EventKind| {
            matches!(kind, EventKind::SpawnFailed { .. } | EventKind::Exited { .. })
        };
        match supervisor.events_until(failed).pop() {
            Some(EventKind::SpawnFailed { spawn_id, step, errno }) if spawn_id.0 == id => {
                (step, errno)
            }
            other => panic!("{other:?}"),
        }
    };
    let missing = "/nowhere/at/all";
    assert_eq!(failure(&|it| it.program = missing.into()), (ExecStep::Exec, libc::ENOENT));
    assert_eq!(failure(&|it| it.program = "/etc/passwd".into()), (ExecStep::Exec, libc::EACCES));
    assert_eq!(failure(&|it| it.argv.push("a\0b".into())), (ExecStep::Exec, libc::EINVAL));
    let nowhere = |missing_ok| WorkingDirectory { path: missing.into(), missing_ok };
    assert_eq!(
        failure(&|it| it.working_directory = Some(nowhere(false))),
        (ExecStep::Chdir, libc::ENOENT)
    );
    assert_eq!(
        failure(&|it| it.stdin = Stdin::File(missing.into())),
        (ExecStep::Stdin, libc::ENOENT)
    );
    assert_eq!(
        failure(&|it| it.stdout = Output::Append(missing.into())),
        (ExecStep::Stdout, libc::ENOENT)
    );
    assert_eq!(
        failure(&|it| it.stderr = Output::Truncate("/".into())),
        (ExecStep::Stderr, libc::EISDIR)
    );
    let mut record = stand.shell(100, "a.service", "pwd > /dev/null; [ $(pwd) = / ]");
    record.working_directory = Some(nowhere(true));
    supervisor.spawn(record);
    assert_eq!(supervisor.exit_of(100), ExitOutcome::Code(0));
    stand.end(supervisor);
}

#[test]
fn a_process_starts_with_what_its_record_says() {
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    let (out, log) = (stand.path("out"), stand.path("log"));
    fs::write(&log, "before\n").unwrap();
    let script = "read first; echo \"$first\"; cat; umask; echo \"$X\"; pwd; \
        [ \"$MY_PID\" = $$ ] && echo same; ls /proc/self/fd | wc -l; cut -d' ' -f6 /proc/$$/stat \
        | grep -qx $$ && echo session; grep -E '^Sig(Blk|Ign)' /proc/self/status; echo e >&2";
    let mut record = stand.shell(1, "a.service", script);
    record.environment.push(("X".to_owned(), "a b=c".to_owned()));
    record.pid_variables.push("MY_PID".to_owned());
    record.working_directory =
        Some(WorkingDirectory { path: "/usr".to_owned(), missing_ok: false });
    record.umask = 0o077;
    record.stdin = Stdin::Bytes(b"one\ntwo\n".to_vec());
    record.stdout = Output::Truncate(out.display().to_string());
    record.stderr = Output::Append(log.display().to_string());
    supervisor.spawn(record);
    assert_eq!(supervisor.exit_of(1), ExitOutcome::Code(0));
    // `ls` itself has a fourth descriptor open: the directory.
    let expected = "one\ntwo\n0077\na b=c\n/usr\nsame\n4\nsession\n\
        SigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\n";
    assert_eq!(fs::read_to_string(&out).unwrap(), expected);
    assert_eq!(fs::read_to_string(&log).unwrap(), "before\ne\n");

    let mut record = stand.shell(2, "a.service", "echo to both; echo and this >&2");
    record.stdout = Output::File(out.display().to_string());
    record.stderr = Output::Inherit;
    supervisor.spawn(record);
    assert_eq!(supervisor.exit_of(2), ExitOutcome::Code(0));
    let text = fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("to both\nand this\n") && text.len() == expected.len(), "{text}");
    stand.end(supervisor);
}

#[test]
fn a_process_becomes_its_user_and_an_ordinary_keeper_cannot_change_it() {
    let root = rustix::process::geteuid().is_root();
    assert!(root, "this test changes users and needs root");
    let identity = |uid| Some(Identity { uid, gid: uid, groups: vec![uid, 100] });
    let stand = Stand::start(Setup::default());
    let mut supervisor = stand.supervisor();
    let script = format!("[ \"$(id -u) $(id -g) $(id -G)\" = '{NOBODY} {NOBODY} {NOBODY} 100' ]");
    let mut record = stand.shell(1, "a.service", &script);
    record.identity = identity(NOBODY);
    supervisor.spawn(record);
    assert_eq!(supervisor.exit_of(1), ExitOutcome::Code(0));
    stand.end(supervisor);

    let stand = Stand::start(Setup { user: Some(NOBODY), ..Setup::default() });
    let mut supervisor = stand.supervisor();
    let mut record = stand.shell(1, "a.service", &format!("[ $(id -u) = {NOBODY} ]"));
    record.identity = identity(NOBODY);
    supervisor.spawn(record);
    assert_eq!(supervisor.exit_of(1), ExitOutcome::Code(0));
    let mut record = stand.shell(2, "a.service", "exit 0");
    record.identity = identity(1);
    supervisor.spawn(record);
    let failed = |kind: &EventKind| matches!(kind, EventKind::SpawnFailed { .. });
    match supervisor.events_until(failed).pop() {
        Some(EventKind::SpawnFailed { step: ExecStep::Group, errno: libc::EPERM, .. }) => {}
        other => panic!("{other:?}"),
    }
    stand.end(supervisor);
}
