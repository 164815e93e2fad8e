//! Pods as they are run: a service beside those of its containers, which follow it.

use argosy_model::OnPartition;

use super::*;
use crate::lower;

const POD: (&str, &str) = ("p.pod", "[Pod]\nPublishPort=80:80\n");
const MEMBER: &str = "[Container]\nImage=quay.io/a/b\nPod=p.pod\n";

/// Joins files; returns what is wrong, or the services as they are read again.
fn joined(files: &[(&str, &str)]) -> Result<Vec<UnitSpec>, String> {
    let names: Vec<UnitName> = files.iter().map(|(file, _)| name(file)).collect();
    let handed: Vec<HandedIn<'_>> =
        names.iter().zip(files).map(|(name, (file, text))| HandedIn { name, file, text }).collect();
    let services = join(&handed)
        .map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let read = |it: &JoinedService| {
        let unit = match it.name.is_template() {
            true => it.name.with_instance("7").unwrap(),
            false => it.name.clone(),
        };
        let (file, found) = UnitFile::parse(unit.as_str(), &it.text);
        assert_eq!(found, []);
        let (spec, found) = lower(&file, &unit, &Specifiers::default());
        spec.unwrap_or_else(|| panic!("{}\n{found:#?}", it.text))
    };
    Ok(services.iter().map(read).collect())
}

fn find<'s>(services: &'s [UnitSpec], unit: &str) -> &'s UnitSpec {
    services.iter().find(|it| it.name == name(unit)).unwrap()
}

#[test]
fn the_containers_of_a_pod_are_bound_to_it_on_its_machine() {
    let files = [POD, ("a.container", MEMBER), ("front.network", "[Network]\n")];
    // What the pod needs comes with the pod.
    let wired = ("p.pod", "[Pod]\nNetwork=front.network\n");
    let services = joined(&[wired, files[1], files[2]]).unwrap();
    let [pod, member] = &services[..] else { panic!("two services: {services:#?}") };
    assert_eq!((&pod.name, &member.name), (&name("p-pod.service"), &name("a.service")));
    assert_eq!(pod.dependencies.before, [name("a.service")]);
    assert!(pod.dependencies.wants.contains(&name("a.service")));
    let made: Vec<String> =
        pod.service.exec_start_pre.iter().map(|it| it.argv[1..].join(" ")).collect();
    assert_eq!(
        made,
        [
            "network create --ignore systemd-front",
            "pod create --replace --exit-policy=stop --network=systemd-front --name=systemd-p"
        ]
    );
    assert_eq!(pod.placement.machine_of, []);
    let needs = &member.dependencies;
    assert_eq!(needs.binds_to, [name("p-pod.service")]);
    assert!(needs.after.contains(&name("p-pod.service")));
    assert_eq!(member.placement.machine_of, [name("p-pod.service")]);
    assert!(member.service.exec_start_pre.is_empty());
    assert!(argv(&member.service.exec_start).contains(&"--pod=systemd-p"));
    // A pod without containers is a service, too.
    assert_eq!(joined(&[POD]).unwrap().len(), 1);
    assert!(joined(&files[1..2]).unwrap_err().contains("there is no Quadlet file `p.pod`"));
}

#[test]
fn a_pod_stays_where_the_data_of_its_containers_is() {
    let keeps = |files: &[(&str, &str)]| {
        let services = joined(files).unwrap();
        let pod = &find(&services, "p-pod.service").placement;
        pod.keeps_data && pod.data == DataPolicy::Local
    };
    let with_data = format!("{MEMBER}Volume=named:/x\n");
    let shared = format!("{with_data}[X-Argosy]\nData=shared\n");
    assert!(!keeps(&[POD, ("a.container", MEMBER)]));
    assert!(keeps(&[POD, ("a.container", MEMBER), ("b.container", &with_data)]));
    assert!(!keeps(&[POD, ("b.container", &shared)]));
    assert!(keeps(&[("p.pod", "[Pod]\nVolume=named:/x\n"), ("a.container", MEMBER)]));
}

#[test]
fn what_says_where_a_pod_runs_stands_in_the_pod() {
    let placed =
        ("p.pod", "[Pod]\n[X-Fleet]\nMachineMetadata=disk=ssd\n[X-Argosy]\nOnPartition=stop\n");
    let services = joined(&[placed, ("a.container", MEMBER)]).unwrap();
    for unit in ["p-pod.service", "a.service"] {
        assert_eq!(find(&services, unit).placement.on_partition, OnPartition::Stop);
    }
    let own = format!("{MEMBER}[X-Fleet]\nMachineMetadata=disk=ssd\n");
    let wrong = joined(&[POD, ("a.container", &own)]).unwrap_err();
    assert_eq!(
        wrong,
        "a.container:5:1: error: `MachineMetadata=` does not go with `Pod=` (write it into [X-Fleet] of the `.pod` file)"
    );
}

#[test]
fn instances_of_a_pod_have_their_own_containers() {
    let member = "[Container]\nImage=quay.io/a/b\nPod=p@.pod\n";
    let services = joined(&[("p@.pod", "[Pod]\n"), ("a@.container", member)]).unwrap();
    let member = find(&services, "a@7.service");
    assert_eq!(member.dependencies.binds_to, [name("p-pod@7.service")]);
    assert_eq!(member.placement.machine_of, [name("p-pod@7.service")]);
    assert!(argv(&member.service.exec_start).contains(&"--pod=systemd-p-7"));
    let pod = find(&services, "p-pod@7.service");
    assert_eq!(argv(&pod.service.exec_start).last(), Some(&"systemd-p-7"));
    assert!(pod.dependencies.wants.contains(&name("a@7.service")));
    assert_eq!(pod.dependencies.before, [name("a@7.service")]);
}

#[test]
fn a_container_that_shares_another_ones_network_follows_it() {
    let side = "[Container]\nImage=quay.io/a/b\nNetwork=a.container\n";
    let alone = "[Container]\nImage=quay.io/a/b\n";
    let services = joined(&[("a.container", alone), ("side.container", side)]).unwrap();
    let side = find(&services, "side.service");
    assert_eq!(side.dependencies.requires, [name("a.service")]);
    assert_eq!(side.placement.machine_of, [name("a.service")]);
    assert!(argv(&side.service.exec_start).contains(&"--network=container:systemd-a"));
}

#[test]
fn what_is_not_there_of_pods_is_refused_before_anything_runs() {
    for (pod, member, why) in [
        ("UserNS=auto\n", "", "`UserNS=` of a pod is not run yet"),
        ("IP6=fd00::9\n", "", "`IP6=` of a pod is not run yet"),
        ("[X-Fleet]\nGlobal=yes\n", "", "a pod on every machine is not there yet"),
        ("", "AddHost=a:10.0.0.1\n", "`AddHost=` does not go with `Pod=`"),
        ("", "HostName=a\n", "`HostName=` does not go with `Pod=`"),
    ] {
        let (pod, member) = (format!("[Pod]\n{pod}"), format!("{MEMBER}{member}"));
        let wrong = joined(&[("p.pod", &pod), ("a.container", &member)]).unwrap_err();
        assert!(wrong.contains(why), "{wrong}");
    }
    assert!(joined(&[("p.pod", "[Pod]\nUserNS=host\n"), ("a.container", MEMBER)]).is_ok());
}
