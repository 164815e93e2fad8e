//! What a keeper is told at its start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::GroupMode;

/// Bytes of output one unit may have unread before its writers wait: about 80,000 lines, several
/// seconds of a very chatty unit while its supervisor restarts.
const SPOOL_LIMIT: u64 = 8 << 20;

/// Bytes of unread output of all units together; runtime directories often live in memory.
const SPOOL_TOTAL_LIMIT: u64 = 512 << 20;

/// How long the supervisor may take to stop all units: systemd's default of 90 s for one unit
/// and as much again for its dependencies.
const STOP_TIMEOUT: Duration = Duration::from_secs(180);

/// The longest wait before a system child is started again: a broken one costs almost nothing, a
/// repaired one is back soon.
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// The program that runs.
pub(crate) const OWN_PROGRAM: &str = "/proc/self/exe";

/// What a keeper is told at its start.
#[derive(Debug, Clone)]
pub struct KeeperConfig {
    /// Sockets, spools and the lock. Its path is at most 80 bytes long, since the path of a notify
    /// socket below it must fit `sun_path` (unix(7)). Created if missing.
    pub runtime_dir: PathBuf,
    /// The program of all system children, as it is on disk when one is started. This very program
    /// if there is none.
    pub program: PathBuf,
    /// Arguments of the supervisor process, `argv[0]` first.
    pub supervisor_argv: Vec<OsString>,
    /// Arguments of the daemon, `argv[0]` first; `None` starts none.
    pub daemon_argv: Option<Vec<OsString>>,
    /// Arguments of the proxy, `argv[0]` first; `None` starts none.
    pub proxy_argv: Option<Vec<OsString>>,
    /// The cgroup under which each unit gets its own; `None` makes a name from `runtime_dir`.
    pub group_parent: Option<String>,
    /// How processes are grouped; `None` takes the best that works.
    pub group_mode: Option<GroupMode>,
    /// Whether processes may be held together by their trees where nothing better works.
    pub process_trees: bool,
    /// Bytes of output one unit may have unread before its writers wait.
    pub spool_limit: u64,
    /// Bytes of unread output of all units together before their writers wait.
    pub spool_total_limit: u64,
    /// How long the supervisor may take to stop all units at the end.
    pub stop_timeout: Duration,
    /// The longest wait before a system child that keeps ending is started again. The
    /// first restart is immediate, the waits double from 100 ms, and a life of 10 s ends the
    /// series.
    pub longest_backoff: Duration,
}

impl KeeperConfig {
    /// Returns the defaults: children are this very program, no daemon, no proxy, groups probed.
    pub fn new(runtime_dir: impl Into<PathBuf>, supervisor_argv: Vec<OsString>) -> KeeperConfig {
        KeeperConfig {
            runtime_dir: runtime_dir.into(),
            program: PathBuf::from(OWN_PROGRAM),
            supervisor_argv,
            daemon_argv: None,
            proxy_argv: None,
            group_parent: None,
            group_mode: None,
            process_trees: false,
            spool_limit: SPOOL_LIMIT,
            spool_total_limit: SPOOL_TOTAL_LIMIT,
            stop_timeout: STOP_TIMEOUT,
            longest_backoff: LONGEST_BACKOFF,
        }
    }
}
