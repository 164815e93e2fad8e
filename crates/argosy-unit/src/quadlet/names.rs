//! What Quadlet files are called: the file, its service, and what Podman calls a resource.

use std::collections::BTreeMap;

use argosy_model::{InvalidUnitName, UnitKind, UnitName};

use crate::UnitFile;
use crate::specifier::expand_names;

/// The kinds of Quadlet files that are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuadletKind {
    /// `.container`
    Container,
    /// `.pod`
    Pod,
    /// `.volume`
    Volume,
    /// `.network`
    Network,
    /// `.image`
    Image,
}

impl QuadletKind {
    /// All of them, in the order in which they are documented.
    pub const ALL: [QuadletKind; 5] = [
        QuadletKind::Container,
        QuadletKind::Pod,
        QuadletKind::Volume,
        QuadletKind::Network,
        QuadletKind::Image,
    ];

    /// Returns the kind of a file with this name; `None` if it is not translated.
    pub fn of(name: &UnitName) -> Option<QuadletKind> {
        Some(match name.kind() {
            UnitKind::Container => QuadletKind::Container,
            UnitKind::Pod => QuadletKind::Pod,
            UnitKind::Volume => QuadletKind::Volume,
            UnitKind::Network => QuadletKind::Network,
            UnitKind::Image => QuadletKind::Image,
            _ => return None,
        })
    }

    /// Returns its own section, without brackets.
    pub fn section(self) -> &'static str {
        match self {
            QuadletKind::Container => "Container",
            QuadletKind::Pod => "Pod",
            QuadletKind::Volume => "Volume",
            QuadletKind::Network => "Network",
            QuadletKind::Image => "Image",
        }
    }

    /// Returns what stands between the file's stem and `.service`.
    fn service_suffix(self) -> &'static str {
        match self {
            QuadletKind::Container => "",
            QuadletKind::Pod => "-pod",
            QuadletKind::Volume => "-volume",
            QuadletKind::Network => "-network",
            QuadletKind::Image => "-image",
        }
    }

    /// Returns the key that names the resource.
    fn resource_key(self) -> &'static str {
        match self {
            QuadletKind::Container => "ContainerName",
            QuadletKind::Pod => "PodName",
            QuadletKind::Volume => "VolumeName",
            QuadletKind::Network => "NetworkName",
            QuadletKind::Image => "ImageTag",
        }
    }
}

/// Returns the service that the Quadlet file `name` becomes.
///
/// `written` is its `ServiceName=`. An instance of a template becomes an instance.
pub(crate) fn service_name(
    kind: QuadletKind,
    name: &UnitName,
    written: Option<&str>,
) -> Result<UnitName, InvalidUnitName> {
    let suffix = kind.service_suffix();
    let stem = match written {
        Some(written) => match (name.instance(), written.strip_suffix('@')) {
            (Some(instance), Some(prefix)) => format!("{prefix}@{instance}"),
            _ => written.to_owned(),
        },
        None => match name.stem().split_once('@') {
            Some((prefix, instance)) => format!("{prefix}{suffix}@{instance}"),
            None => format!("{}{suffix}", name.stem()),
        },
    };
    UnitName::new(format!("{stem}.service"))
}

/// Returns what the resource of a Quadlet file is called, specifiers included.
pub(crate) fn resource_name(kind: QuadletKind, name: &UnitName, file: &UnitFile) -> String {
    let section = kind.section();
    if let Some(written) = last(file, section, kind.resource_key()) {
        return written.to_owned();
    }
    let in_template = name.stem().contains('@');
    match (kind, in_template) {
        (QuadletKind::Image, _) => last(file, section, "Image").unwrap_or_default().to_owned(),
        (QuadletKind::Container, true) => "systemd-%p_%i".to_owned(),
        (QuadletKind::Container, false) => "systemd-%N".to_owned(),
        (_, true) => format!("systemd-{}-%i", name.prefix()),
        (_, false) => format!("systemd-{}", name.stem()),
    }
}

/// Returns the last value of a key without the quotes around it; `None` if empty.
fn last<'f>(file: &'f UnitFile, section: &str, key: &str) -> Option<&'f str> {
    file.last_value(section, key).map(unquoted).filter(|value| !value.is_empty())
}

/// Removes one pair of double quotes around a single value, as Podman does.
pub(crate) fn unquoted(text: &str) -> &str {
    match text.len() >= 2 {
        true => text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text),
        false => text,
    }
}

/// What others need to know of a Quadlet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sibling {
    /// The service it becomes.
    pub(crate) service: UnitName,
    /// What its resource is called, with specifiers of its own service.
    resource: String,
    /// The pod it is in.
    pod: Option<String>,
    /// The pod that starts it.
    pub(crate) started_by: Option<String>,
    /// Whether it is a volume whose content outlives those who use it.
    pub(crate) keeps_data: bool,
}

impl Sibling {
    fn read(name: &UnitName, file: &UnitFile) -> Option<Sibling> {
        let kind = QuadletKind::of(name)?;
        let written = last(file, kind.section(), "ServiceName");
        let service = service_name(kind, name, written).ok()?;
        let resource = resource_name(kind, name, file);
        let with_pod = last(file, "Container", "StartWithPod")
            .is_none_or(|value| crate::values::boolean(value) != Some(false));
        let pod = last(file, "Container", "Pod").map(str::to_owned);
        let started_by = pod.clone().filter(|_| with_pod);
        let keeps_data = kind == QuadletKind::Volume && keeps_data(file);
        Some(Sibling { service, resource, pod, started_by, keeps_data })
    }
}

impl Sibling {
    /// Returns what its resource is called; only specifiers of the machine are left in it, and
    /// `instance`, if it is given, where the name of the instance belongs.
    pub(crate) fn resource(&self, instance: Option<&str>) -> String {
        expand_names(&self.resource, &self.service, instance)
    }
}

/// Tells whether what is written into a volume stays: not in memory, not an image's.
pub(crate) fn keeps_data(volume: &UnitFile) -> bool {
    last(volume, "Volume", "Type") != Some("tmpfs")
        && last(volume, "Volume", "Driver") != Some("image")
}

/// The Quadlet files that one of them may refer to: those handed in together.
#[derive(Debug, Clone, Default)]
pub struct Siblings {
    directory: Option<String>,
    joined: bool,
    files: BTreeMap<UnitName, (UnitFile, Option<Sibling>)>,
}

impl Siblings {
    /// Begins without any file, for files that have no directory on the machine that runs them.
    pub fn new() -> Siblings {
        Siblings::default()
    }

    /// Says in which directory of the machine the files lie: paths that begin with `.` begin
    /// there.
    pub fn in_directory(directory: impl Into<String>) -> Siblings {
        Siblings { directory: Some(directory.into()), ..Siblings::default() }
    }

    /// Makes what a container needs a part of its service.
    pub(crate) fn joined(self) -> Siblings {
        Siblings { joined: true, ..self }
    }

    pub(crate) fn are_joined(&self) -> bool {
        self.joined
    }

    /// Returns a file, for an instance that of its template.
    pub(crate) fn file(&self, name: &UnitName) -> Option<&UnitFile> {
        let template = || self.files.get(&name.template()?);
        self.files.get(name).or_else(template).map(|(file, _)| file)
    }

    /// Adds a file; one that is no Quadlet file changes nothing.
    pub fn add(&mut self, name: &UnitName, text: &str) {
        if name.kind().is_quadlet() {
            let file = UnitFile::parse(name.as_str(), text).0;
            let sibling = Sibling::read(name, &file);
            self.files.insert(name.clone(), (file, sibling));
        }
    }

    /// Returns the directory in which they lie.
    pub(crate) fn directory(&self) -> Option<&str> {
        self.directory.as_deref()
    }

    /// Finds a file, an instance by its template.
    pub(crate) fn find(&self, name: &UnitName) -> Option<Sibling> {
        if let Some((_, sibling)) = self.files.get(name) {
            return sibling.clone();
        }
        let (file, _) = self.files.get(&name.template()?)?;
        Sibling::read(name, file)
    }

    /// Returns the services of the containers that start with a pod, in order.
    pub(crate) fn containers_of(&self, pod: &UnitName) -> Vec<UnitName> {
        let template = pod.template();
        let names = [Some(pod), template.as_ref()].map(|name| name.map(UnitName::as_str));
        self.iter()
            .filter(|(_, sibling)| sibling.started_by.is_some())
            .filter(|(_, sibling)| names.contains(&sibling.started_by.as_deref()))
            .map(|(_, sibling)| sibling.service.clone())
            .collect()
    }

    /// Returns the files of all containers of a pod, in order.
    pub(crate) fn members_of(
        &self,
        pod: &UnitName,
    ) -> impl Iterator<Item = (&UnitName, &UnitFile)> {
        self.files.iter().filter_map(move |(name, (file, sibling))| {
            let named = sibling.as_ref()?.pod.as_deref()?;
            (named == pod.as_str()).then_some((name, file))
        })
    }

    /// Tells whether a file becomes the service `name`, or its template.
    pub(crate) fn makes(&self, name: &UnitName) -> bool {
        let template = name.template();
        self.iter()
            .any(|(_, made)| made.service == *name || Some(&made.service) == template.as_ref())
    }

    /// Returns another file that becomes the same service.
    pub(crate) fn twin(&self, name: &UnitName, service: &UnitName) -> Option<UnitName> {
        self.iter()
            .find(|(other, made)| *other != name && made.service == *service)
            .map(|(other, _)| other.clone())
    }

    fn iter(&self) -> impl Iterator<Item = (&UnitName, &Sibling)> {
        self.files.iter().filter_map(|(name, (_, sibling))| Some((name, sibling.as_ref()?)))
    }
}
