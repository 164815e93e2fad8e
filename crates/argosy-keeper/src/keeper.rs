//! The keeper's loop: wait, take every ready source in, send what is new to the supervisor.

mod children;
mod commits;
mod deadline;
mod ending;
mod exits;
mod fence;
mod groups;
mod held;
mod link;
mod notify;
mod output;
mod poller;
mod runtime;
mod spawning;
mod unit;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use argosy_model::UnitName;
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

use crate::events::EventLog;
use crate::group::{Driver, Found};
use crate::{EventKind, KeeperConfig, KeeperError, SpawnId, Stream, exec, sys};

use children::SystemChild;
use ending::Phase;
use fence::Fence;
use held::Held;
use link::Link;
use output::Pipe;
use poller::{Poller, Source};
use runtime::RuntimeDir;
use unit::{Process, Unit};

/// Everything the keeper holds.
#[derive(Debug)]
pub(crate) struct Keeper {
    config: KeeperConfig,
    runtime: RuntimeDir,
    poller: Poller,
    signals: OwnedFd,
    fence: Fence,
    driver: Driver,
    units: BTreeMap<UnitName, Unit>,
    processes: BTreeMap<SpawnId, Process>,
    /// Unit processes that are not reaped yet.
    pids: BTreeMap<i32, SpawnId>,
    /// Those of them that have not executed their program yet, as far as is known.
    starting: BTreeSet<SpawnId>,
    pipes: BTreeMap<(SpawnId, Stream), Pipe>,
    /// Pipes that are read again at the next pace.
    paced: Vec<(SpawnId, Stream)>,
    pace_at: Option<Duration>,
    /// Pipes that are not read until their spools have room again.
    blocked: BTreeSet<(SpawnId, Stream)>,
    /// When spools that could not be written are tried again.
    spool_retry_at: Option<Duration>,
    /// A position that no new spool may begin below.
    highest_position: u64,
    /// Bytes of all spools that are not released.
    unread: u64,
    /// Units whose spool has grown since the supervisor was told.
    advanced: BTreeSet<UnitName>,
    log: EventLog,
    link: Option<Link>,
    supervisor: SystemChild,
    /// Daemon and proxy: what does not speak to the keeper.
    companions: Vec<SystemChild>,
    /// Sockets that the proxy has listened on, for the next one.
    held: Held,
    last_spawn_id: SpawnId,
    leftover: Vec<Found>,
    group_check_at: Option<Duration>,
    leftover_check_at: Option<Duration>,
    phase: Phase,
    /// The soft limit of open files that units start with.
    nofile: Option<u64>,
}

impl Keeper {
    /// Takes the runtime directory and everything else that may fail at a start.
    pub(crate) fn open(config: KeeperConfig) -> Result<Keeper, KeeperError> {
        let kernel = |what| move |source| KeeperError::Kernel { what, source };
        occupy_standard_descriptors().map_err(kernel("open /dev/null"))?;
        sys::close_on_exec_from(3);
        let runtime = RuntimeDir::open(&config.runtime_dir)?;
        let signals = sys::signal_descriptor().map_err(kernel("receive signals"))?;
        // Daemonised children of units come to the keeper instead of the machine's init.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| kernel("become the reaper of orphans")(error.into()))?;
        let mut poller = Poller::new().map_err(kernel("make an epoll instance"))?;
        poller
            .add(&signals, Source::Signals, EventFlags::IN)
            .map_err(kernel("wait for signals"))?;
        let parent = config.group_parent.clone().unwrap_or_else(|| runtime.group_parent());
        let driver =
            Driver::probe(config.group_mode, config.process_trees, &config.runtime_dir, &parent)?;
        let mut leftover =
            driver.leftover().map_err(kernel("look for groups of an earlier keeper"))?;
        fence::match_markers(&runtime, &mut leftover).map_err(kernel("read fence markers"))?;
        let fence =
            Fence::open(&runtime, &mut poller).map_err(kernel("receive fence deadlines"))?;
        let child = |name, argv| SystemChild::new(name, argv, config.longest_backoff);
        let supervisor = child("supervisor", config.supervisor_argv.clone());
        let named = [("daemon", &config.daemon_argv), (children::PROXY, &config.proxy_argv)];
        let companions =
            named.into_iter().filter_map(|(name, argv)| Some(child(name, argv.clone()?))).collect();
        let mut keeper = Keeper {
            config,
            runtime,
            poller,
            signals,
            fence,
            driver,
            units: BTreeMap::new(),
            processes: BTreeMap::new(),
            pids: BTreeMap::new(),
            starting: BTreeSet::new(),
            pipes: BTreeMap::new(),
            paced: Vec::new(),
            pace_at: None,
            blocked: BTreeSet::new(),
            spool_retry_at: None,
            highest_position: 0,
            unread: 0,
            advanced: BTreeSet::new(),
            log: EventLog::default(),
            link: None,
            supervisor,
            companions,
            held: Held::default(),
            last_spawn_id: SpawnId::default(),
            leftover_check_at: (!leftover.is_empty()).then(boottime),
            leftover,
            group_check_at: None,
            phase: Phase::Running,
            nofile: exec::raise_open_files(),
        };
        keeper.adopt_spools()?;
        keeper.end_fenced_leftover();
        Ok(keeper)
    }

    /// Runs until told to stop.
    pub(crate) fn run(mut self) -> Result<ExitCode, KeeperError> {
        loop {
            self.run_timers(boottime());
            if self.advance_ending() {
                return Ok(self.close());
            }
            self.pump_link();
            let timeout = self.next_timer().map(|at| at.saturating_sub(boottime()));
            let ready = self
                .poller
                .wait(timeout)
                .map_err(|source| KeeperError::Kernel { what: "wait for events", source })?;
            for source in ready {
                self.keep_fence();
                self.take_in(source);
            }
        }
    }

    fn take_in(&mut self, source: Source) {
        match source {
            Source::Signals => self.take_signals(),
            Source::Fence => self.read_fence(),
            Source::Link => self.read_link(),
            Source::Held => self.held.read(&mut self.poller),
            Source::Pipe(spawn_id, stream) => self.read_pipe((spawn_id, stream)),
            Source::Report(spawn_id) => self.read_report(spawn_id),
            Source::Notify(unit) => self.read_notify(&unit),
            Source::Group(unit) => self.check_group(&unit),
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = sys::read_signal(&self.signals) {
            match signal {
                libc::SIGTERM | libc::SIGINT => self.begin_ending(),
                libc::SIGCHLD => self.reap(),
                // SIGHUP: a terminal that is gone is no reason to stop anything.
                _ => {}
            }
        }
    }

    fn run_timers(&mut self, now: Duration) {
        let due = |at: &mut Option<Duration>| at.take_if(|at| *at <= now).is_some();
        self.keep_fence();
        if due(&mut self.pace_at) {
            self.resume_paced();
        }
        if due(&mut self.spool_retry_at) {
            self.retry_spools();
        }
        if due(&mut self.group_check_at) {
            self.check_groups();
        }
        if due(&mut self.leftover_check_at) {
            self.check_leftover();
        }
        self.start_children(now);
    }

    fn next_timer(&self) -> Option<Duration> {
        let companions = self.companions.iter().filter_map(SystemChild::start_at).min();
        [
            self.pace_at,
            self.spool_retry_at,
            self.group_check_at,
            self.leftover_check_at,
            self.supervisor.start_at(),
            companions,
            self.phase.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn push_event(&mut self, kind: EventKind) {
        self.log.push(boottime(), kind);
    }
}

/// Makes sure that no later descriptor gets the number 0, 1 or 2.
fn occupy_standard_descriptors() -> io::Result<()> {
    loop {
        let fd = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())?;
        if std::os::fd::AsRawFd::as_raw_fd(&fd) > 2 {
            return Ok(());
        }
        // It stands for a standard descriptor from now on.
        std::mem::forget(fd);
    }
}

/// Returns the time since boot, suspended time included.
fn boottime() -> Duration {
    span(clock_gettime(ClockId::Boottime))
}

/// Returns the wall clock, for display.
fn realtime() -> Duration {
    span(clock_gettime(ClockId::Realtime))
}

fn span(time: rustix::time::Timespec) -> Duration {
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), nanoseconds)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Says something to whoever runs the keeper. Nobody may be listening any more, or nobody may be
/// reading: neither is a reason to stop, or to wait.
fn say(message: std::fmt::Arguments<'_>) {
    let stderr = io::stderr();
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let room = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&now));
    if room.is_ok_and(|ready| ready > 0) {
        // In one write: a pipe with room takes a short line whole.
        drop(stderr.lock().write_all(format!("argosy keeper: {message}\n").as_bytes()));
    }
}

/// Says that something failed, with its causes.
fn complain(what: &str, error: &dyn std::error::Error) {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    say(format_args!("{text}"));
}
