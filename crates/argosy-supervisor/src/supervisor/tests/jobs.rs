//! Dependencies and ordering between units.

use argosy_model::{Dependencies, ServiceSpec, ServiceType};
use expect_test::{Expect, expect};

use super::script::{World, names, service};

/// Units as `name: After=b Requires=b`.
fn world(units: &[&str]) -> World {
    let mut world = World::new();
    for unit in units {
        let (name, relations) = unit.split_once(':').unwrap();
        let mut dependencies = Dependencies::default();
        let mut spec = service(&format!("/{name}"));
        for relation in relations.split_whitespace() {
            let (key, value) = relation.split_once('=').unwrap();
            let value = names(&value.replace(',', " "));
            match key {
                "After" => dependencies.after = value,
                "Before" => dependencies.before = value,
                "Requires" => dependencies.requires = value,
                "Requisite" => dependencies.requisite = value,
                "Wants" => dependencies.wants = value,
                "BindsTo" => dependencies.binds_to = value,
                "PartOf" => dependencies.part_of = value,
                "Conflicts" => dependencies.conflicts = value,
                "Type" => {
                    spec = ServiceSpec { service_type: ServiceType::Oneshot, ..spec };
                }
                other => panic!("no relation {other}"),
            }
        }
        world.load(name, spec, dependencies);
    }
    world
}

/// Runs a script; only what is done and how jobs end is compared, not the messages.
fn check(units: &[&str], script: &str, expected: &Expect) {
    let run = |restart| {
        let mut world = world(units);
        world.restart_always = restart;
        let all = world.run(script);
        let kept = |line: &&str| !line.starts_with("  #") && !line.contains(" 18");
        let kept: Vec<&str> = all.lines().filter(kept).collect();
        kept.join("\n") + "\n"
    };
    let actual = run(false);
    expected.assert_eq(&actual);
    let without_jobs = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("  job ")).map(str::to_owned).collect()
    };
    assert_eq!(without_jobs(&run(true)), without_jobs(&actual), "the same over restarts");
}

#[test]
fn what_is_required_starts_first() {
    check(
        &["a: Requires=b After=b", "b: Type=oneshot"],
        "start a\nspawned\nexit-of b 0\nempty b\nspawned",
        &expect![[r#"
            start a
              spawn b.service /b
              b.service activating/start
            spawned
              b.service activating/start pid=101
            exit-of b 0
              signal b.service group 15
              b.service deactivating/stop-sigterm
            empty b
              remove group b.service
              spawn a.service /a
              a.service activating/start
              b.service inactive/dead
            spawned
              job a.service Done
              a.service active/running pid=102
        "#]],
    );
}

#[test]
fn a_failed_requirement_fails_the_start() {
    check(
        &["a: Requires=b After=b", "b: Type=oneshot", "c: Wants=b After=b"],
        "start a\nstart c\nspawned\nexit-of b 1\nempty b\nspawned",
        &expect![[r#"
            start a
              spawn b.service /b
              b.service activating/start
            start c
            spawned
              b.service activating/start pid=101
            exit-of b 1
              signal b.service group 15
              b.service deactivating/stop-sigterm exit-code
            empty b
              remove group b.service
              job a.service Dependency
              spawn c.service /c
              a.service inactive/dead
              b.service failed/failed exit-code
              c.service activating/start
            spawned
              job c.service Done
              c.service active/running pid=102
        "#]],
    );
}

#[test]
fn stopping_goes_backwards() {
    check(
        &["a: Requires=b After=b", "b:"],
        "start a\nspawned\nspawned\nstop b\nexit-of a 0\nempty a\nexit-of b 0\nempty b",
        &expect![[r#"
            start a
              spawn b.service /b
              b.service activating/start
            spawned
              spawn a.service /a
              a.service activating/start
              b.service active/running pid=101
            spawned
              job a.service Done
              a.service active/running pid=102
            stop b
              signal a.service group 15
              a.service deactivating/stop-sigterm pid=102
            exit-of a 0
              signal a.service group 15
              a.service deactivating/final-sigterm
            empty a
              remove group a.service
              signal b.service group 15
              a.service inactive/dead
              b.service deactivating/stop-sigterm pid=101
            exit-of b 0
              signal b.service group 15
              b.service deactivating/final-sigterm
            empty b
              remove group b.service
              job b.service Done
              b.service inactive/dead
        "#]],
    );
}

#[test]
fn a_restart_takes_dependants_along() {
    check(
        &["a: Requires=b After=b", "b:", "c: PartOf=b", "idle: Requires=b"],
        "start a\nspawned\nspawned\nstart c\nspawned\nrestart b
        exit-of c 0\nempty c\nexit-of a 0\nempty a\nexit-of b 0\nempty b\nspawned\nspawned",
        &expect![[r#"
            start a
              spawn b.service /b
              b.service activating/start
            spawned
              spawn a.service /a
              a.service activating/start
              b.service active/running pid=101
            spawned
              job a.service Done
              a.service active/running pid=102
            start c
              spawn c.service /c
              c.service activating/start
            spawned
              job c.service Done
              c.service active/running pid=103
            restart b
              signal a.service group 15
              signal c.service group 15
              a.service deactivating/stop-sigterm pid=102
              c.service deactivating/stop-sigterm pid=103
            exit-of c 0
              signal c.service group 15
              c.service deactivating/final-sigterm
            empty c
              remove group c.service
              spawn c.service /c
              c.service activating/start
            exit-of a 0
              signal a.service group 15
              a.service deactivating/final-sigterm
            empty a
              remove group a.service
              signal b.service group 15
              a.service inactive/dead
              b.service deactivating/stop-sigterm pid=101
            exit-of b 0
              signal b.service group 15
              b.service deactivating/final-sigterm
            empty b
              remove group b.service
              spawn b.service /b
              b.service activating/start
            spawned
              c.service active/running pid=104
              job b.service Done
              spawn a.service /a
              a.service activating/start
              b.service active/running pid=105
            spawned
              a.service active/running pid=106
        "#]],
    );
}

#[test]
fn what_is_bound_goes_down_too() {
    check(
        &["a: BindsTo=b After=b", "b:"],
        "start a\nspawned\nspawned\nexit-of b 1\nempty b\nexit-of a 0\nempty a",
        &expect![[r#"
            start a
              spawn b.service /b
              b.service activating/start
            spawned
              spawn a.service /a
              a.service activating/start
              b.service active/running pid=101
            spawned
              job a.service Done
              a.service active/running pid=102
            exit-of b 1
              signal b.service group 15
              signal a.service group 15
              a.service deactivating/stop-sigterm pid=102
              b.service deactivating/stop-sigterm exit-code
            empty b
              remove group b.service
              b.service failed/failed exit-code
            exit-of a 0
              signal a.service group 15
              a.service deactivating/final-sigterm
            empty a
              remove group a.service
              a.service inactive/dead
        "#]],
    );
}

#[test]
fn conflicting_units_do_not_overlap() {
    check(
        &["a: Conflicts=b", "b:"],
        "start b\nspawned\nstart a\nexit-of b 0\nempty b\nspawned\nstart b",
        &expect![[r#"
            start b
              spawn b.service /b
              b.service activating/start
            spawned
              job b.service Done
              b.service active/running pid=101
            start a
              signal b.service group 15
              b.service deactivating/stop-sigterm pid=101
            exit-of b 0
              signal b.service group 15
              b.service deactivating/final-sigterm
            empty b
              remove group b.service
              spawn a.service /a
              a.service activating/start
              b.service inactive/dead
            spawned
              job a.service Done
              a.service active/running pid=102
            start b
              signal a.service group 15
              a.service deactivating/stop-sigterm pid=102
        "#]],
    );
}

#[test]
fn refusals() {
    check(
        &[
            "a: Requires=nowhere",
            "b: Requisite=c",
            "c:",
            "d: Requires=docker Wants=nowhere",
            "e: Requires=c Conflicts=c",
            "f: Wants=c Conflicts=c",
        ],
        "start a\nstart b\nstart d\nreload c\nstart missing\nstart e\nstart t@\nstart f",
        &expect![[r#"
            start a
              job a.service Refused(DependencyNotLoaded { unit: "a.service", dependency: "nowhere.service" })
            start b
              job b.service Refused(RequisiteInactive { unit: "b.service", dependency: "c.service" })
            start d
              spawn d.service /d
              d.service activating/start
            reload c
              job c.service Refused(NotReloadable { unit: "c.service" })
            start missing
              job missing.service Refused(NotLoaded { unit: "missing.service" })
            start e
              job e.service Refused(Contradiction { unit: "e.service", contradiction: "c.service" })
            start t@
              job t@.service Refused(Template { unit: "t@.service" })
            start f
              spawn f.service /f
              f.service activating/start
        "#]],
    );
}

#[test]
fn a_later_job_takes_the_place() {
    check(
        &["a: After=b", "b: Type=oneshot"],
        "start b\nstart a\nstop a\nspawned\nexit-of b 0\nempty b",
        &expect![[r#"
            start b
              spawn b.service /b
              b.service activating/start
            start a
            stop a
              job a.service Canceled
              job a.service Done
            spawned
              b.service activating/start pid=101
            exit-of b 0
              signal b.service group 15
              b.service deactivating/stop-sigterm
            empty b
              remove group b.service
              job b.service Done
              b.service inactive/dead
        "#]],
    );
}

#[test]
fn an_ordering_cycle_is_broken() {
    check(
        &["a: After=b Wants=b", "b: After=a"],
        "start a\nspawned\nspawned",
        &expect![[r#"
            start a
              spawn a.service /a
              a.service activating/start
            spawned
              job a.service Done
              spawn b.service /b
              a.service active/running pid=101
              b.service activating/start
            spawned
              b.service active/running pid=102
        "#]],
    );
}

#[test]
fn shutdown_stops_in_order_and_for_good() {
    let script = "start a\nspawned\nspawned\nshutdown\nstart b
        exit-of a 0\nempty a\nexit-of b 0\nempty b";
    check(
        &["a: After=b Wants=b", "b:"],
        script,
        &expect![[r#"
        start a
          spawn b.service /b
          b.service activating/start
        spawned
          spawn a.service /a
          a.service activating/start
          b.service active/running pid=101
        spawned
          job a.service Done
          a.service active/running pid=102
        shutdown
          signal a.service group 15
          a.service deactivating/stop-sigterm pid=102
        start b
          job b.service Refused(ShuttingDown)
        exit-of a 0
          signal a.service group 15
          a.service deactivating/final-sigterm
        empty a
          remove group a.service
          signal b.service group 15
          a.service inactive/dead
          b.service deactivating/stop-sigterm pid=101
        exit-of b 0
          signal b.service group 15
          b.service deactivating/final-sigterm
        empty b
          remove group b.service
          b.service inactive/dead
    "#]],
    );
    let mut world = world(&["a: After=b Wants=b", "b:"]);
    world.run(&script[..script.find("exit-of").unwrap()]);
    assert!(!world.supervisor.is_idle());
    world.run(&script[script.find("exit-of").unwrap()..]);
    assert!(world.supervisor.is_idle());
}

/// Says what is told of a unit after a script.
fn told_of(units: &[&str], script: &str, unit: &str) -> String {
    let mut world = world(units);
    world.run(script);
    world.supervisor.status(&super::script::name(unit)).unwrap().detail
}

#[test]
fn what_goes_down_with_another_unit_says_with_which() {
    let up = "start a\nspawned\nexecuted\n";
    for (relation, says) in [
        ("Requires", "it was stopped with b.service, which it requires"),
        ("BindsTo", "it was stopped with b.service, to which it is bound"),
        ("PartOf", "it was stopped with b.service, of which it is a part"),
    ] {
        let units = [&*format!("a: {relation}=b After=b Wants=b"), "b: "];
        let started = format!("start b\nspawned\nexecuted\n{up}");
        assert_eq!(told_of(&units, &started, "a"), "");
        let stopped = format!("{started}stop b\nexit-of a 0\nempty a\n");
        assert_eq!(told_of(&units, &stopped, "a"), says);
        assert_eq!(told_of(&units, &stopped, "b"), "", "somebody asked for it");
        // Its next run knows nothing of it.
        let again = format!("{stopped}exit-of b 0\nempty b\nstart a\nspawned\n");
        assert_eq!(told_of(&units, &again, "a"), "");
    }
    let conflicts = ["a: ", "b: Conflicts=a"];
    let says = "it was stopped because b.service was started, with which it conflicts";
    assert_eq!(told_of(&conflicts, &format!("{up}start b\n"), "a"), says);
}

#[test]
fn what_cannot_start_without_another_unit_says_so() {
    let units = ["a: Requires=b After=b", "b: Type=oneshot"];
    let script = "start a\nspawned\nexit-of b 1\nempty b\n";
    assert_eq!(told_of(&units, script, "a"), "b.service, which it requires, did not start");
}
