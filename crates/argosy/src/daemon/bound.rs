//! Units that are started and stopped together.
//!
//! A unit that is bound to another one (`BindsTo=`) and follows it to its machine (`MachineOf=`) can be
//! nowhere without it: so are the containers of a pod. What is wanted of the one is then wanted of
//! both, as systemd would have it on one machine.

use std::collections::BTreeSet;

use argosy_model::{UnitName, UnitSpec};
use argosy_registry::{ClusterView, Wanted};

/// As which instance a template is read.
const FIRST: &str = "1";

/// Returns the other units that a verb means.
pub(super) fn meant_too(view: &ClusterView, name: &UnitName, verb: &str) -> Vec<UnitName> {
    match verb {
        "stop" => with_stop(view, name),
        "start" | "restart" => with_start(view, name),
        _ => Vec::new(),
    }
}

/// Everything that is bound to it.
fn with_stop(view: &ClusterView, name: &UnitName) -> Vec<UnitName> {
    let names = match name.is_template() {
        true => view.units().keys().filter(|it| it.is_template()).cloned().collect(),
        false => view.unit_names(),
    };
    closure(name, |unit| {
        let bound = names.iter().filter(|other| goes_with(view, other, unit));
        bound.filter(|other| is_wanted(view, other)).cloned().collect()
    })
}

/// What it is bound to, and what those want that is bound to them.
fn with_start(view: &ClusterView, name: &UnitName) -> Vec<UnitName> {
    closure(name, |unit| {
        let Some(spec) = spec(view, unit) else { return Vec::new() };
        let needs = &spec.dependencies;
        let named = |list: &[UnitName]| list.iter().map(|it| as_is(unit, it)).collect::<Vec<_>>();
        let (targets, wanted) = (named(&needs.binds_to), named(&needs.wants));
        let targets = targets.into_iter().filter(|target| goes_with(view, unit, target));
        let wanted = wanted.into_iter().filter(|other| goes_with(view, other, unit));
        targets.chain(wanted).collect()
    })
}

/// Follows relations until nothing more comes.
fn closure(name: &UnitName, next: impl Fn(&UnitName) -> Vec<UnitName>) -> Vec<UnitName> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([name.clone()]);
    let mut open = vec![name.clone()];
    while let Some(unit) = open.pop() {
        for other in next(&unit) {
            if seen.insert(other.clone()) {
                found.push(other.clone());
                open.push(other);
            }
        }
    }
    found
}

/// Returns what a template's relation means: the template of the instance that it names.
fn as_is(unit: &UnitName, named: &UnitName) -> UnitName {
    named.template().filter(|_| unit.is_template()).unwrap_or_else(|| named.clone())
}

fn spec<'v>(view: &'v ClusterView, name: &UnitName) -> Option<&'v UnitSpec> {
    view.spec(name)?.ok().map(AsRef::as_ref)
}

fn is_wanted(view: &ClusterView, name: &UnitName) -> bool {
    view.look_up(name).is_some_and(|unit| unit.wanted == Wanted::Run)
}

/// Tells whether a stored unit is bound to another, and follows it.
fn goes_with(view: &ClusterView, unit: &UnitName, other: &UnitName) -> bool {
    let other = match other.is_template() {
        true => other.with_instance(FIRST).unwrap_or_else(|_| other.clone()),
        false => other.clone(),
    };
    spec(view, unit).is_some_and(|spec| {
        spec.dependencies.binds_to.contains(&other) && spec.placement.machine_of.contains(&other)
    })
}

#[cfg(test)]
mod tests {
    use argosy_kv::{Applied, Command, CommandKind, State};
    use argosy_model::UnixMicros;
    use argosy_registry::{ClusterViewBuilder, Edit};
    use argosy_unit::{HandedIn, join};

    use super::*;

    fn name(text: &str) -> UnitName {
        UnitName::new(text).unwrap()
    }

    /// Stores the services of Quadlet files, and one that is only bound; all are wanted to run.
    fn stored(files: &[(&str, &str)]) -> ClusterViewBuilder {
        let names: Vec<UnitName> = files.iter().map(|(file, _)| name(file)).collect();
        let handed: Vec<HandedIn<'_>> = names
            .iter()
            .zip(files)
            .map(|(name, (file, text))| HandedIn { name, file, text })
            .collect();
        let mut units: Vec<(UnitName, String)> =
            join(&handed).unwrap().into_iter().map(|it| (it.name, it.text)).collect();
        let bound = "[Unit]\nBindsTo=p-pod.service\n[Service]\nExecStart=/bin/true\n";
        units.push((name("bound.service"), bound.to_owned()));
        let mut builder = ClusterViewBuilder::new(crate::daemon::follow::spec_source());
        let mut edit = Edit::new(builder.view());
        for (unit, text) in &units {
            edit.submit(unit, text, "root", UnixMicros(0), None).unwrap();
            edit.start(unit).unwrap();
        }
        let kind = CommandKind::Txn(edit.finish().unwrap());
        let command = Command { proposed_at: UnixMicros(0), kind };
        let Applied { events, .. } = State::new().apply(1, 1, &command);
        builder.apply_events(&events);
        builder
    }

    #[test]
    fn a_pod_and_its_containers_go_together() {
        let container = "[Container]\nImage=a.test/b\nPod=p.pod\n";
        let aside = format!("{container}StartWithPod=no\n");
        let files = [
            ("p.pod", "[Pod]\n"),
            ("a.container", container),
            ("b.container", container),
            ("c.container", aside.as_str()),
            ("many@.pod", "[Pod]\n[X-Argosy]\nReplicas=2\n"),
            (
                "w@.container",
                "[Container]\nImage=a.test/b\nPod=many@.pod\n[X-Argosy]\nReplicas=2\n",
            ),
        ];
        let builder = stored(&files);
        let meant = |unit: &str, verb: &str| {
            let mut found = meant_too(builder.view(), &name(unit), verb);
            found.sort();
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(meant("p-pod.service", "stop"), "a.service b.service c.service");
        assert_eq!(meant("p-pod.service", "start"), "a.service b.service");
        assert_eq!(meant("p-pod.service", "wait"), "");
        // As with podman, a container brings its pod, and that brings the others.
        assert_eq!(meant("a.service", "start"), "b.service p-pod.service");
        assert_eq!(meant("a.service", "stop"), "");
        assert_eq!(meant("bound.service", "start"), "");
        for verb in ["start", "stop"] {
            assert_eq!(meant("many-pod@.service", verb), "w@.service");
            assert_eq!(meant("many-pod@2.service", verb), "w@2.service");
        }
        assert_eq!(meant("w@1.service", "start"), "many-pod@1.service");
    }
}
