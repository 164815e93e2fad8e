//! A container's companion: everything of its network that needs a process.
//!
//! It first binds what can be refused, then makes what the kernel removes by itself, says `ready`,
//! and serves until it is told to end or its parent dies.

mod datagrams;
mod inner;
mod links;
mod listen;
mod namespaces;
mod packet;
mod relay;
mod resolver;
mod rules;
mod serve;

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use argosy_netlink::{Connections, Hook, NfTables, RouteSocket};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use crate::error::{CompanionError, PublishError};
use crate::files::{self, Lasting};
use crate::{
    CompanionRequest, NetworkError, Protocol, Published, PublishedPort, request, sys, texts,
};

use namespaces::Namespaces;
use serve::Companion;

/// The hidden first argument by which this program becomes a companion.
pub const COMPANION_ROLE: &str = "network-companion";
/// The longest report, with its end of line.
const REPORT_BYTES_MAX: usize = 4096;
/// Where it stands whether this machine forwards packets between networks.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// Plays the companion: `arguments` are those after the hidden one, the path of the request.
/// Descriptor 3 is the container's network namespace, descriptor 4 a pipe for one line of report.
pub fn companion_main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Ok((namespace, report)) = sys::inherited() else {
        // There is nobody to tell.
        return ExitCode::FAILURE;
    };
    let mut report = File::from(report);
    let mut companion = match start(arguments, namespace) {
        Ok(companion) => companion,
        Err(error) => {
            drop(report.write_all(failed(&error).as_bytes()));
            return ExitCode::FAILURE;
        }
    };
    if report.write_all(b"ready\n").is_err() {
        // Whoever started this is gone already.
        return ExitCode::FAILURE;
    }
    drop(report);
    match companion.serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The whole chain of an error in one line.
fn failed(error: &CompanionError) -> String {
    let mut text = format!("failed {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    let mut text = text.replace(['\n', '\r'], " ");
    let mut end = text.len().min(REPORT_BYTES_MAX - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text + "\n"
}

fn start(
    mut arguments: impl Iterator<Item = OsString>,
    namespace: OwnedFd,
) -> Result<Companion, CompanionError> {
    let system =
        |action| move |error: rustix::io::Errno| NetworkError::system(action)(error.into());
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(system("ask for the parent's death signal"))?;
    let signals =
        sys::signal_descriptor().map_err(NetworkError::system("read signals from a descriptor"))?;
    let path = arguments.next().map(PathBuf::from).ok_or(CompanionError::Arguments)?;
    let request = read(&path)?;
    if !rustix::process::geteuid().is_root() {
        return Err(NetworkError::NeedsRoot.into());
    }
    raise_descriptors();
    let namespaces = Namespaces::new(namespace)?;
    let outside = texts::outside(&request.endpoints);
    if outside.is_none() && !request.publish.is_empty() {
        return Err(PublishError::Internal.into());
    }
    let bound = listen::bind(&request.publish)?;
    let mut published = Published { ports: bound.ports.clone(), ..Published::default() };
    if outside.is_some() {
        published.changed.extend(forward()?);
    }
    links::lay(&request, &namespaces, !request.publish.is_empty())?;
    let made = filter(&request, &published).and_then(|filter| {
        let inner = inner::open(&request, &namespaces)?;
        if let Some(outside) = outside {
            published.warnings = warnings(&filter, &outside.bridge);
        }
        let answer = request::published_path(&path);
        files::write(&answer, &published, Lasting::Boot)?;
        Ok((filter, inner))
    });
    let (filter, inner) = made.inspect_err(|_| links::take_away(&request.endpoints))?;
    let to = outside.map(|it| it.address);
    Ok(Companion::new(signals, request, bound, inner, to, filter))
}

fn read(path: &Path) -> Result<CompanionRequest, NetworkError> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    files::read(path)?.ok_or_else(|| NetworkError::file("read", path)(missing()))
}

/// Makes the table of the packet filter that lives as long as this process.
fn filter(request: &CompanionRequest, published: &Published) -> Result<NfTables, CompanionError> {
    let table = rules::table(&request.container_id, &request.endpoints, &published.ports);
    let made = NfTables::open().and_then(|filter| filter.add_owned(&table).map(|()| filter));
    let filter =
        made.map_err(|source| CompanionError::Table { name: table.name.clone(), source })?;
    // A kernel without ctnetlink forgets by itself, only later.
    drop(forget(&published.ports));
    Ok(filter)
}

/// Makes the kernel forget where it sent datagrams for these ports until now: to nobody, or to a
/// container that is gone. Else a client that never pauses would not reach this one. (Connections
/// begin anew by themselves.)
fn forget(ports: &[PublishedPort]) -> io::Result<()> {
    let datagrams: Vec<&PublishedPort> =
        ports.iter().filter(|it| it.protocol == Protocol::Udp && it.address.is_ipv4()).collect();
    if datagrams.is_empty() {
        return Ok(());
    }
    let own = RouteSocket::open()?.addresses()?;
    let is_for = |address: Ipv4Addr, port| {
        let same = |it: &&&PublishedPort| it.port == port;
        datagrams.iter().filter(same).any(|it| match it.address {
            all if all.is_unspecified() => own.contains(&address),
            one => one == address,
        })
    };
    Connections::open()?.forget_datagrams(is_for).map(|_| ())
}

/// Tells of chains of others that may drop what ours let pass: docker's, or a firewall's.
fn warnings(filter: &NfTables, bridge: &str) -> Vec<String> {
    // Whoever cannot be asked may be right.
    let chains = filter.dropping_chains(Hook::Forward).unwrap_or_default();
    let warning = |(table, chain): (String, String)| {
        format!(
            "the chain {chain} of the packet filter's table {table} drops what it does not accept: \
             it needs rules for packets in and out by {bridge}"
        )
    };
    chains.into_iter().map(warning).collect()
}

/// Lets this machine forward packets; says so if it did not before.
fn forward() -> Result<Option<String>, NetworkError> {
    let before = std::fs::read(FORWARDING).map_err(NetworkError::file("read", FORWARDING))?;
    if before.trim_ascii() != b"0" {
        return Ok(None);
    }
    std::fs::write(FORWARDING, "1").map_err(NetworkError::file("write", FORWARDING))?;
    Ok(Some("net.ipv4.ip_forward=1".to_owned()))
}

/// As many descriptors as are allowed without asking anybody.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // What is allowed anyway cannot be refused, and if it were, fewer connections are carried.
    let _raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
