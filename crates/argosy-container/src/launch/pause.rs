//! The first process of a pod: it keeps the namespaces, runs nothing, and notices when it is alone.
//!
//! The monitors of the pod's containers hold a FIFO open, and write a byte to it when they come. Its
//! end of file means that nobody is left, also if all of them were killed.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, openat};
use rustix::io::{Errno, read};
use rustix::process::{WaitOptions, wait};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdin, stdout};

use super::Launch;
use super::execute::drop_privileges;
use crate::link::Link;
use crate::signals::ends_by_default;
use crate::spec::{ContainerId, PodPart};
use crate::store::Containers;
use crate::user::Identity;
use crate::{ContainerError, StartFailure, sys};

/// How long a pod waits for another container when the last one has ended: longer than most units
/// wait before they run again, so that a crash of its only container does not end it.
const ALONE_MAX: Duration = Duration::from_secs(10);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// It needs two descriptors: the FIFO in place of its input, and its signals in place of its output.
const FIRST_UNNEEDED: u32 = 2;

impl Containers {
    /// Makes the FIFO of a holder that is to notice when it is alone.
    pub(crate) fn expect_company(
        &self,
        id: &ContainerId,
        part: Option<&PodPart>,
    ) -> Result<Option<File>, ContainerError> {
        let Some(PodPart::Holder { ends_when_empty: true }) = part else { return Ok(None) };
        let path = self.company_path(id);
        let open = || {
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            openat(CWD, &path, flags, Mode::empty())
        };
        let opened = open().map_err(|error| ContainerError::file("make", &path)(error.into()))?;
        Ok(Some(opened.into()))
    }

    /// Keeps the holder of a pod company for as long as the descriptor is open: as the monitor of
    /// each member does, and whoever prepares one. `None` if the holder does not care.
    pub fn keep_company(&self, of: &ContainerId) -> Result<Option<OwnedFd>, ContainerError> {
        let path = self.company_path(of);
        // To write only would be refused, or wait, while nobody reads.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match openat(CWD, &path, flags, Mode::empty()) {
            Ok(opened) => {
                // One that is full tells as much.
                let _ = rustix::io::write(&opened, b"+");
                Ok(Some(opened))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(ContainerError::file("open", path)(error.into())),
        }
    }
}

/// Waits for a signal that ends it, or until it was left alone; returns only why it cannot.
pub(crate) fn run(launch: &Launch, identity: &Identity, link: &Link) -> StartFailure {
    if let Err(failure) = drop_privileges(launch, identity, link) {
        return failure;
    }
    let keep = || -> io::Result<()> {
        dup2_stdout(&sys::signal_descriptor()?)?;
        // Whoever started the pod may wait until nobody writes to it any more.
        dup2_stderr(File::open("/dev/null")?)?;
        match &launch.company {
            Some(company) => Ok(dup2_stdin(company)?),
            None => Ok(()),
        }
    };
    if let Err(error) = keep() {
        return StartFailure::new("wait for signals", error);
    }
    // The link too: its end tells the monitor that all is done.
    sys::close_from(FIRST_UNNEEDED);
    watch(launch.company.is_some().then(Company::default))
}

fn watch(mut company: Option<Company>) -> ! {
    loop {
        let mut list = vec![PollFd::from_borrowed_fd(stdout(), PollFlags::IN)];
        let mut timeout = None;
        match &company {
            // Its end of file would be told again and again.
            Some(Company { alone_since: Some(_), .. }) => timeout = Some(LOOK),
            Some(_) => list.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN)),
            None => {}
        }
        let timeout = timeout.and_then(|it| Timespec::try_from(it).ok());
        let _ = poll(&mut list, timeout.as_ref());
        while let Some(signal) = sys::read_signal(stdout()) {
            if ends_by_default(signal) {
                sys::exit_now(0);
            }
        }
        // What was executed here and has lost its parent.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        if let Some(company) = &mut company
            && company.is_over(look(), Instant::now())
        {
            sys::exit_now(0);
        }
    }
}

/// What a look at the FIFO shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nobody is there, nor was since the last look.
    Nobody,
    /// Somebody came, and is there or has ended already.
    Newcomer,
    /// Who was there still is.
    Somebody,
}

fn look() -> Seen {
    let mut bytes = [0; 64];
    match read(stdin(), &mut bytes) {
        Ok(0) => Seen::Nobody,
        Ok(_) => Seen::Newcomer,
        Err(_) => Seen::Somebody,
    }
}

/// Who is with a holder.
#[derive(Debug, Default)]
struct Company {
    /// Whether anybody was there yet.
    came: bool,
    alone_since: Option<Instant>,
}

impl Company {
    /// Takes a look into account; tells whether the holder was left alone for good.
    fn is_over(&mut self, seen: Seen, now: Instant) -> bool {
        match seen {
            Seen::Newcomer => (self.came, self.alone_since) = (true, None),
            Seen::Somebody => self.alone_since = None,
            Seen::Nobody if self.came => {
                let since = *self.alone_since.get_or_insert(now);
                return now.saturating_duration_since(since) >= ALONE_MAX;
            }
            Seen::Nobody => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_waits_for_the_first_and_for_the_next_container() {
        let begin = Instant::now();
        let mut company = Company::default();
        let mut at = |seconds, seen| company.is_over(seen, begin + Duration::from_secs(seconds));
        // Nobody has come yet: it waits for ever.
        assert!(!at(0, Seen::Nobody) && !at(1000, Seen::Nobody));
        assert!(!at(1000, Seen::Newcomer) && !at(1001, Seen::Somebody));
        // A crash, and the next run.
        assert!(!at(1002, Seen::Nobody) && !at(1011, Seen::Nobody));
        assert!(!at(1012, Seen::Newcomer));
        assert!(!at(1013, Seen::Nobody) && !at(1022, Seen::Nobody));
        assert!(at(1023, Seen::Nobody));
    }
}
