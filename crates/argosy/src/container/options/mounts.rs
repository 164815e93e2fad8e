//! What is mounted: directories of the machine, volumes, memory; and devices.

use argosy_container::{Device, Mount, MountKind, Propagation};

use super::super::volumes::{Volume, VolumeKind, Volumes};
use super::{bad, limits};
use crate::args::ContainerRun;
use crate::failure::Failure;

/// Where podman has memory in a container whose files cannot be written.
const READ_ONLY_TMPFS: [&str; 3] = ["/run", "/tmp", "/var/tmp"];

/// A volume that has to be there before the container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::container) struct Wanted {
    /// Without a name a new one is made for the container.
    pub(in crate::container) name: Option<String>,
    /// Its place among the mounts.
    pub(in crate::container) place: usize,
    /// Whether a new one gets what the image has there.
    pub(in crate::container) copy: bool,
}

/// What is mounted where, and with what.
#[derive(Debug, Default)]
struct Collected {
    mounts: Vec<Mount>,
    wanted: Vec<Wanted>,
}

/// Returns all mounts, and the volumes among them.
pub(super) fn mounts(options: &ContainerRun) -> Result<(Vec<Mount>, Vec<Wanted>), Failure> {
    let mut found = Collected::default();
    for text in &options.volume {
        found.volume(text)?;
    }
    for text in &options.mount {
        found.at_length(text)?;
    }
    for text in &options.tmpfs {
        let (target, more) = text.split_once(':').unwrap_or((text, ""));
        found.add(tmpfs(target, more.split(',')), text)?;
    }
    if let Some(zone) = &options.tz {
        found.zone(zone)?;
    }
    if options.read_only.is_on() && options.read_only_tmpfs.is_on() {
        for target in READ_ONLY_TMPFS {
            if !found.mounts.iter().any(|it| it.is_at(target)) {
                found.mounts.push(tmpfs(target, ["exec", "mode=1777"].into_iter()));
            }
        }
    }
    Ok((found.mounts, found.wanted))
}

/// Adds what is mounted into all containers of a pod, but where this one mounts something itself.
pub(in crate::container) fn add_shared(
    volumes: &[String],
    mounts: &mut Vec<Mount>,
    wanted: &mut Vec<Wanted>,
) -> Result<(), Failure> {
    for text in volumes {
        let mut shared = Collected::default();
        shared.volume(text)?;
        if shared.mounts.iter().any(|it| mounts.iter().any(|own| own.is_at(&it.target))) {
            continue;
        }
        wanted.extend(shared.wanted.into_iter().map(|it| Wanted { place: mounts.len(), ..it }));
        mounts.append(&mut shared.mounts);
    }
    Ok(())
}

impl Collected {
    fn add(&mut self, mount: Mount, text: &str) -> Result<(), Failure> {
        if !mount.target.starts_with('/') || mount.target.trim_matches('/').is_empty() {
            let help = "the place in the container begins with a slash, and is not /";
            return Err(bad(format!("{:?} in {text:?} is no path", mount.target), help));
        }
        if self.mounts.iter().any(|it| it.is_at(&mount.target)) {
            let help = "a place in the container has one mount";
            return Err(bad(format!("two mounts at {}", mount.target), help));
        }
        self.mounts.push(mount);
        Ok(())
    }

    /// Reads `[SOURCE:]TARGET[:OPTIONS]`.
    fn volume(&mut self, text: &str) -> Result<(), Failure> {
        let mut parts = text.splitn(3, ':');
        let first = parts.next().unwrap_or_default();
        let (source, target) = match parts.next() {
            None => (None, first),
            Some(target) => (Some(first).filter(|it| !it.is_empty()), target),
        };
        let mut mount = Mount::bind("", target);
        let is_path = |it: &&str| it.starts_with('/') || it.starts_with('.');
        let mut copy = true;
        for option in parts.next().unwrap_or_default().split(',').filter(|it| !it.is_empty()) {
            if !set_bind(&mut mount, option, &mut copy) {
                let help = "there are ro, rw, z, Z, copy, nocopy, bind, rbind and [r]private, \
                            [r]slave, [r]shared";
                return Err(bad(format!("{option:?} in --volume {text} is no option"), help));
            }
        }
        match source.filter(is_path) {
            Some(path) => set_source(&mut mount, path, true),
            None => self.want(source, copy)?,
        }
        self.add(mount, text)
    }

    /// Reads `type=TYPE,source=...,target=...`.
    fn at_length(&mut self, text: &str) -> Result<(), Failure> {
        let (mut kind, mut source, mut target) = ("volume", None, None);
        let mut rest = Vec::new();
        for part in text.split(',') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name {
                "type" => kind = value,
                "source" | "src" => source = Some(value),
                "target" | "destination" | "dst" => target = Some(value),
                _ => rest.push((name, value)),
            }
        }
        let Some(target) = target else {
            return Err(bad(format!("--mount {text} names no target"), "add target=/PATH"));
        };
        let mut copy = true;
        let mut mount = match kind {
            "bind" => {
                let help = "add source=/PATH";
                let path =
                    source.ok_or_else(|| bad(format!("--mount {text} names no source"), help));
                let mut mount = Mount::bind("", target);
                set_source(&mut mount, path?, false);
                mount
            }
            "volume" => Mount::bind("", target),
            "tmpfs" => tmpfs(target, std::iter::empty()),
            _ => {
                let help = "there are bind, volume and tmpfs";
                return Err(bad(format!("{kind:?} in --mount {text} is no type of mount"), help));
            }
        };
        for (name, value) in rest {
            let known = match (name, value) {
                ("readonly" | "ro", "" | "true") => set_bind(&mut mount, "ro", &mut copy),
                ("readonly" | "ro", "false") | ("rw", "" | "true") => true,
                ("bind-propagation", value) => set_bind(&mut mount, value, &mut copy),
                ("volume-nocopy", _) => set_bind(&mut mount, "nocopy", &mut copy),
                ("tmpfs-size", size) => {
                    add_option(&mut mount, &format!("size={}", limits::bytes(size)?))
                }
                ("tmpfs-mode", mode) => add_option(&mut mount, &format!("mode={mode}")),
                ("bind-nonrecursive", "" | "true") => set_bind(&mut mount, "bind", &mut copy),
                (name, "") => set_bind(&mut mount, name, &mut copy),
                _ => false,
            };
            if !known {
                let help = "see `argosy container run --help` and docs/containers.md";
                return Err(bad(format!("{name:?} in --mount {text} is no option here"), help));
            }
        }
        if kind == "volume" {
            self.want(source, copy)?;
        }
        self.add(mount, text)
    }

    /// Notes that the next mount is a volume.
    fn want(&mut self, name: Option<&str>, copy: bool) -> Result<(), Failure> {
        if let Some(name) = name {
            Volumes::check_name(name)?;
        }
        let name = name.map(str::to_owned);
        self.wanted.push(Wanted { name, place: self.mounts.len(), copy });
        Ok(())
    }

    /// Shows the container the machine's file of a time zone.
    fn zone(&mut self, zone: &str) -> Result<(), Failure> {
        let path = match zone {
            "local" => "/etc/localtime".to_owned(),
            _ if zone.split('/').any(|part| part.is_empty() || part.starts_with('.')) => {
                return Err(bad(format!("{zone:?} is no time zone"), "write it Europe/Berlin"));
            }
            _ => format!("/usr/share/zoneinfo/{zone}"),
        };
        // Many an image and machine has none; then the variable TZ has to do.
        let Ok(file) = std::fs::canonicalize(&path) else { return Ok(()) };
        let mut mount = Mount::bind("", "/etc/localtime").read_only();
        set_source(&mut mount, &file.to_string_lossy(), false);
        self.add(mount, zone)
    }
}

fn set_source(mount: &mut Mount, path: &str, make: bool) {
    if let MountKind::Bind { source, make_source, .. } = &mut mount.kind {
        *source = std::path::absolute(path).unwrap_or_else(|_| path.into());
        *make_source = make;
    }
}

/// Sets an option; tells whether there is such.
fn set_bind(mount: &mut Mount, option: &str, copy: &mut bool) -> bool {
    match option {
        "ro" => mount.read_only = true,
        "rw" => mount.read_only = false,
        "copy" => *copy = true,
        "nocopy" => *copy = false,
        // Labels of SELinux, which is not used here; and how docker's desktop synchronizes.
        "z" | "Z" | "cached" | "delegated" | "consistent" => {}
        _ => {
            let MountKind::Bind { propagation, recursive, .. } = &mut mount.kind else {
                return add_option(mount, option);
            };
            match option {
                "private" | "rprivate" => *propagation = Propagation::Private,
                "slave" | "rslave" => *propagation = Propagation::Slave,
                "shared" | "rshared" => *propagation = Propagation::Shared,
                "bind" => *recursive = false,
                "rbind" => *recursive = true,
                _ => return false,
            }
        }
    }
    true
}

/// Adds an option of tmpfs(5).
fn add_option(mount: &mut Mount, option: &str) -> bool {
    match &mut mount.kind {
        MountKind::Tmpfs { options } => options.push(option.to_owned()),
        MountKind::Bind { .. } => return false,
    }
    true
}

fn tmpfs<'a>(target: &str, more: impl Iterator<Item = &'a str>) -> Mount {
    let mut mount = Mount::tmpfs(target);
    for option in more.filter(|it| !it.is_empty()) {
        add_option(&mut mount, option);
    }
    mount
}

/// Mounts a volume where one is wanted.
pub(super) fn mount_volume(
    volume: &Volume,
    volumes: &Volumes,
    mount: &mut Mount,
    copy: bool,
) -> Result<(), Failure> {
    match &volume.kind {
        VolumeKind::Tmpfs { options } => {
            let read_only = mount.read_only;
            *mount = tmpfs(&mount.target, options.iter().map(String::as_str));
            mount.read_only = read_only;
        }
        VolumeKind::Own | VolumeKind::Directory { .. } => {
            if let MountKind::Bind { source, make_source, copy_up, copy_record, .. } =
                &mut mount.kind
            {
                *source = volumes.data_of(volume);
                *make_source = false;
                *copy_up = copy && volume.copy;
                *copy_record = volumes.copy_record_of(volume);
            }
        }
    }
    Ok(())
}

/// Returns the devices.
pub(super) fn devices(options: &ContainerRun) -> Result<Vec<Device>, Failure> {
    let mut devices: Vec<Device> =
        options.device.iter().map(|text| device(text)).collect::<Result<_, _>>()?;
    for text in &options.optional_device {
        let device = device(text)?;
        if device.source.exists() {
            devices.push(device);
        }
    }
    Ok(devices)
}

fn device(text: &str) -> Result<Device, Failure> {
    let mut parts = text.splitn(3, ':');
    let source = parts.next().unwrap_or_default();
    let (target, access) = match (parts.next(), parts.next()) {
        (None, _) => (source, "rwm"),
        (Some(target), Some(access)) => (target, access),
        (Some(last), None) if last.starts_with('/') => (last, "rwm"),
        (Some(access), None) => (source, access),
    };
    if !source.starts_with('/') || access.is_empty() || access.chars().any(|it| !"rwm".contains(it))
    {
        let help = "write it /dev/fuse, /dev/fuse:/dev/fuse or /dev/fuse:/dev/fuse:rwm";
        return Err(bad(format!("--device {text} is no device"), help));
    }
    Ok(Device { source: source.into(), target: target.to_owned(), access: access.to_owned() })
}
