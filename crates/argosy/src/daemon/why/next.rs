//! The command that helps with a broken link. What stands behind `#` is for people; a shell
//! ignores it.

use argosy_model::{
    ActiveState, OnPartition, ReasonKind, UnitName, UnitResult, UnitSpec, UnitStatus, Want,
};
use argosy_registry::Wanted;

use crate::daemon::picture::Picture;

/// Where the store answers when the machine does not say.
const STORE: &str = "http://127.0.0.1:2379";

/// What is asked about, and what is known.
pub(super) struct Asked<'a> {
    pub(super) picture: &'a Picture,
    pub(super) name: &'a UnitName,
    /// Every machine reports to this one.
    pub(super) leads: bool,
    /// Somebody leads, as far as is known here.
    pub(super) has_leader: bool,
    /// Where the store answers here.
    pub(super) url: Option<&'a str>,
}

impl Asked<'_> {
    /// Returns the command for a link that can be done now: without a leader nothing is changed.
    pub(super) fn possible(&self, link: &str) -> Option<String> {
        let command = self.command(link)?;
        let looks = ["journal", "cat", "why", "status", "cluster status", "list-machines"];
        let can = |verb: &&str| command.starts_with(&format!("argosy {verb}"));
        if self.has_leader || looks.iter().any(&can) {
            return Some(command);
        }
        Some("argosy list-machines   # who is away: without a leader nothing is changed".into())
    }

    /// Returns the command for a link.
    fn command(&self, link: &str) -> Option<String> {
        let name = self.name;
        Some(match link {
            "stored" => format!("argosy cat {name}   # then apply a text that can be used"),
            "wanted" => format!("argosy start {name}"),
            "instances" => format!("argosy why {}", self.first_instance()?),
            "placed" => self.placed(),
            "prepared" => self.again("it starts by itself when its image is there"),
            "started" => self.started(),
            "ready" => format!("argosy journal {name} -f"),
            "routed" => self.routed(),
            "announced" => self.announced(),
            _ => return None,
        })
    }

    /// The first instance that is not as it should be.
    fn first_instance(&self) -> Option<UnitName> {
        let instances = self.picture.instances(self.name).into_iter();
        let mut wanted = instances.filter(|name| {
            let unit = self.picture.view.look_up(name);
            unit.is_some_and(|unit| !matches!(unit.wanted, Wanted::Stop(_)))
        });
        wanted.find(|name| super::chain(self.picture, name, self.leads).iter().any(|l| !l.holds))
    }

    fn spec(&self) -> Option<&UnitSpec> {
        self.picture.view.look_up(self.name)?.spec.ok().map(|spec| spec.as_ref())
    }

    fn again(&self, what: &str) -> String {
        format!("argosy why {}   # again in a moment: {what}", self.name)
    }

    fn placed(&self) -> String {
        let name = self.name;
        if matches!(self.picture.machine_of(name), Some((_, Want::Stop))) {
            return format!("argosy journal {name}   # what its stop waits for");
        }
        let kind = self.picture.reason(name).map(|reason| reason.kind);
        match kind {
            Some(ReasonKind::NoMachine) if self.picture.full_machines().next().is_some() => {
                "argosy list-machines   # whose disks are full: make room there, or join another \
                 machine: argosy token create"
                    .into()
            }
            Some(ReasonKind::NoMachine) => {
                "argosy token create   # to join another machine, or bring one back".into()
            }
            Some(ReasonKind::Conflict) => {
                "argosy token create   # to join another machine, or stop what it conflicts with"
                    .into()
            }
            Some(ReasonKind::Metadata) => {
                "argosy list-machines   # their labels; a machine gets its own when it joins: \
                 cluster join --label"
                    .into()
            }
            Some(ReasonKind::MachineNamed) => self.machine_named(),
            Some(ReasonKind::DataBound) => {
                "argosy list-machines   # bring that machine back, or apply the unit with another \
                 Data="
                    .into()
            }
            Some(ReasonKind::FenceWait) => self.again("it moves by itself when it may"),
            Some(ReasonKind::Unreadable) => "argosy status   # which record cannot be read".into(),
            _ if self.leads => self.again("it is about to be placed"),
            _ => "argosy cluster status   # whether there is a leader".into(),
        }
    }

    /// The units of `MachineOf=` that do not run come first: without them there is no place.
    fn machine_named(&self) -> String {
        let targets = self.spec().map(|spec| spec.placement.machine_of.as_slice());
        let targets = targets.unwrap_or_default();
        let runs = |target: &&UnitName| self.picture.current_status(target).is_some_and(is_active);
        match targets.iter().find(|target| !runs(target)).or(targets.first()) {
            Some(target) => format!("argosy why {target}"),
            None => "argosy list-machines   # the ids that MachineID= may name".into(),
        }
    }

    /// Returns the units that it cannot be without and that do not run.
    fn missing(&self) -> Vec<UnitName> {
        let Some(spec) = self.spec() else {
            return Vec::new();
        };
        let needs = &spec.dependencies;
        let named = needs.requires.iter().chain(&needs.requisite).chain(&needs.binds_to);
        let known = named.filter(|name| self.picture.view.look_up(name).is_some());
        let runs = |name: &UnitName| self.picture.current_status(name).is_some_and(is_active);
        known.filter(|name| !runs(name)).cloned().collect()
    }

    fn start(&self) -> String {
        let mut names: Vec<String> = self.missing().iter().map(UnitName::to_string).collect();
        names.push(self.name.to_string());
        format!("argosy start {}", names.join(" "))
    }

    fn started(&self) -> String {
        let (picture, name) = (self.picture, self.name);
        let Some((machine, _)) = picture.machine_of(name) else {
            return self.again("it is about to be placed");
        };
        if picture.refusal(machine, name).is_some() {
            let stops = self.spec().map(|spec| spec.placement.on_partition);
            return match stops {
                _ if !self.missing().is_empty() => self.start(),
                Some(OnPartition::Stop) => format!(
                    "argosy cat {name}   # start that machine without --process-trees, or apply \
                     the unit with OnPartition=keep"
                ),
                _ => format!("argosy journal {name}"),
            };
        }
        if picture.awaited(machine, name).is_some() {
            return "argosy cluster status   # who leads, and whether its machine is granted"
                .into();
        }
        match picture.status(machine, name) {
            None if self.leads => "argosy list-machines   # whether its machine is there".into(),
            None => "argosy cluster status   # whether there is a leader".into(),
            Some(status) => self.of_status(status),
        }
    }

    fn of_status(&self, status: &UnitStatus) -> String {
        let name = self.name;
        match (status.active(), status.result) {
            (ActiveState::Failed, UnitResult::Unknown) => format!("argosy restart {name}"),
            (ActiveState::Failed, UnitResult::StartLimitHit) => {
                format!("argosy journal {name}   # why it keeps ending; then argosy restart {name}")
            }
            (ActiveState::Failed, UnitResult::Fenced) => {
                "argosy cluster status   # who leads, and whether its machine is granted".into()
            }
            (ActiveState::Inactive, UnitResult::Success) => self.start(),
            _ => format!("argosy journal {name}"),
        }
    }

    fn routed(&self) -> String {
        let name = self.name;
        let unanswered = self
            .picture
            .reports
            .values()
            .any(|report| report.unanswered.iter().any(|(unit, _)| unit == name));
        let behind = self.picture.reason(name).map(|reason| reason.kind);
        match behind {
            _ if unanswered => format!("argosy journal {name}   # whether it listens there"),
            Some(ReasonKind::NotRouted) => {
                "argosy list-machines   # whether those machines are there".into()
            }
            _ => self.again("it is about to be published"),
        }
    }

    fn announced(&self) -> String {
        let kind = self.picture.reason(self.name).map(|reason| reason.kind);
        let key = self.spec().and_then(|spec| spec.announce.as_ref()).map(|it| it.key.clone());
        match (kind, key) {
            (Some(ReasonKind::NotAnnounced), Some(key)) => {
                let url = self.url.unwrap_or(STORE);
                format!("curl -X DELETE {url}/v2/keys{key}   # the unit's own is written then")
            }
            _ => self.again("its key is about to be written"),
        }
    }
}

fn is_active(status: &UnitStatus) -> bool {
    matches!(status.active(), ActiveState::Active | ActiveState::Reloading)
}

#[cfg(test)]
mod tests {
    //! Tests of what is advised when nothing can be changed.

    use super::*;

    #[test]
    fn without_a_leader_only_what_looks_is_advised() {
        let (picture, name) = (Picture::default(), UnitName::new("web.service").unwrap());
        let advised = |has_leader, link| {
            let asked =
                Asked { picture: &picture, name: &name, leads: false, has_leader, url: None };
            asked.possible(link).unwrap()
        };
        assert_eq!(advised(true, "wanted"), "argosy start web.service");
        assert!(advised(false, "wanted").starts_with("argosy list-machines"));
        for has_leader in [true, false] {
            assert_eq!(advised(has_leader, "ready"), "argosy journal web.service -f");
        }
    }
}
