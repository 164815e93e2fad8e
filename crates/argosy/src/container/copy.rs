//! `argosy container cp`: files between a container and this machine, by way of an archive of tar.
//!
//! What is in a container may change at any moment, by somebody who wants us to read or write a file of
//! the machine instead. So nothing is done by a path twice: a path is followed within the container's
//! root once, by the kernel, and all below it goes from directory to directory by descriptors that
//! follow no link.

mod pack;
mod place;
mod unpack;

use std::io;

use super::options::bad;
use super::{Engine, failed};
use crate::args::ContainerCopy;
use crate::failure::{Exit, Failure};
use place::Place;
use unpack::Owners;

/// One end of the way.
#[derive(Debug, PartialEq, Eq)]
enum End<'a> {
    Container(&'a str, &'a str),
    Path(&'a str),
    /// Standard input or output.
    Archive,
}

impl End<'_> {
    fn of(text: &str) -> End<'_> {
        match text.split_once(':') {
            _ if text == "-" => End::Archive,
            // A path of this machine with a colon is written ./a:b.
            Some((name, path)) if !name.is_empty() && !text.starts_with(['/', '.']) => {
                End::Container(name, path)
            }
            _ => End::Path(text),
        }
    }
}

pub(super) fn copy(engine: &Engine, options: &ContainerCopy) -> Result<(), Failure> {
    let (from, to) = (End::of(&options.from), End::of(&options.to));
    let container = |name: &str| {
        let files = engine.containers.files(&engine.find(name)?);
        files.map_err(|error| failed(&error))
    };
    match (from, to) {
        (End::Container(name, path), to @ (End::Path(_) | End::Archive)) => {
            let files = container(name)?;
            let from = Place::inside(&files, path);
            match to {
                End::Path(path) => {
                    let kept = options.archive;
                    let owners = if kept { Owners::KeptHere } else { Owners::Caller };
                    between(&from, &Place::here(path)?, options, owners)
                }
                _ => pack::pack(&from, &from.own_name(), options.follow_link, &mut io::stdout())
                    .map_err(|error| wrong(&from, &error)),
            }
        }
        (from @ (End::Path(_) | End::Archive), End::Container(name, path)) => {
            let files = container(name)?;
            let to = Place::inside(&files, path);
            let (user, group) = files.owner();
            let owners = if options.archive { Owners::Kept } else { Owners::These(user, group) };
            match from {
                End::Path(path) => between(&Place::here(path)?, &to, options, owners),
                _ => {
                    let directory = to.directory().map_err(|error| wrong(&to, &error))?;
                    unpack::unpack(&directory, &mut io::stdin(), owners)
                        .map_err(|error| wrong(&to, &error))
                }
            }
        }
        _ => {
            let help = "write CONTAINER:PATH for one of both";
            Err(bad("cp goes between one container and this machine", help))
        }
    }
}

/// Copies by docker's rules of where something goes.
fn between(
    from: &Place<'_>,
    to: &Place<'_>,
    options: &ContainerCopy,
    owners: Owners,
) -> Result<(), Failure> {
    let is_directory = from
        .is_directory(options.follow_link)
        .and_then(|it| it.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|error| wrong(from, &error))?;
    let there = to.is_directory(true).map_err(|error| wrong(to, &error))?;
    let (directory, name) = match (is_directory, there) {
        (true, Some(true)) if from.means_content() => (to.directory(), ".".to_owned()),
        (_, Some(true)) => (to.directory(), from.own_name()),
        (true, Some(false)) => {
            return Err(bad(
                format!("{to} is no directory"),
                "name a directory, or what is not there",
            ));
        }
        (false, None) if to.wants_directory() => {
            return Err(bad(format!("there is no directory {to}"), "make it first"));
        }
        _ => (to.above(), to.own_name()),
    };
    let directory = directory.map_err(|error| wrong(to, &error))?;
    let (mut source, mut sink) =
        io::pipe().map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    std::thread::scope(|scope| {
        let unpacking = scope.spawn(move || unpack::unpack(&directory, &mut source, owners));
        let packed = pack::pack(from, &name, options.follow_link, &mut sink);
        drop(sink);
        let unpacked = unpacking.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        match (packed, unpacked) {
            (_, Err(error)) => Err(wrong(to, &error)),
            // Who does not read any more has said why.
            (Err(error), Ok(())) => Err(wrong(from, &error)),
            (Ok(()), Ok(())) => Ok(()),
        }
    })
}

fn wrong(at: &Place<'_>, error: &io::Error) -> Failure {
    Failure::new(Exit::BadInput, format!("cannot copy {at}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::End;

    #[test]
    fn ends_are_written_as_dockers() {
        assert_eq!(End::of("web:/etc/hosts"), End::Container("web", "/etc/hosts"));
        assert_eq!(End::of("web:"), End::Container("web", ""));
        assert_eq!(End::of("./a:b"), End::Path("./a:b"));
        assert_eq!(End::of("/a:b"), End::Path("/a:b"));
        assert_eq!(End::of("a"), End::Path("a"));
        assert_eq!(End::of("-"), End::Archive);
    }
}
