//! What is refused and noted about the names a unit depends on.

use expect_test::{Expect, expect};

use super::*;

fn check_for(unit: &str, head: &str, known: &[&str], expected: Expect) {
    let text = format!("[Unit]\n{head}\n[Service]\nExecStart=/bin/true\n");
    let name = UnitName::new(unit).unwrap();
    let known_units = |unit: &UnitName| known.contains(&unit.as_str());
    let Checked { spec, diagnostics } = check(unit, &text, &name, &known_units);
    let refused = diagnostics.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(spec.is_none(), refused);
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn needed_names_must_exist() {
    check_for(
        "a.service",
        "Requires=db.service\nBindsTo=x.service docker.service",
        &["x.service"],
        expect![
            "a.service:2:10: error: `Requires=db.service` names a unit that does not exist (submit `db.service` first or together, or use Wants= if it is optional)"
        ],
    );
    check_for(
        "a.service",
        "Requisite=multi-user.target db@7.service",
        &["db@.service"],
        expect![[""]],
    );
}

#[test]
fn other_names_need_not_exist() {
    check_for(
        "a.service",
        "After=db.service network-online.target\nWants=x.service",
        &[],
        expect![[r#"
            a.service:2:7: note: no unit `db.service` is known; `After=` accepts that
            a.service:3:7: note: no unit `x.service` is known; `Wants=` accepts that"#]],
    );
}

#[test]
fn names_that_differ_by_instance_are_not_known_before_there_is_one() {
    check_for(
        "a@.service",
        "Requires=db@%i.service x.service",
        &[],
        expect![[r#"
        a@.service:2:10: note: `Requires=` names a unit that differs by instance or machine
        a@.service:2:24: error: `Requires=x.service` names a unit that does not exist (submit `x.service` first or together, or use Wants= if it is optional)"#]],
    );
    check_for("a@.service", "Requires=db@%i.service", &["db@.service"], expect![[""]]);
    check_for(
        "a@3.service",
        "Requires=db@%i.service",
        &["db@2.service"],
        expect![
            "a@3.service:2:10: error: `Requires=db@3.service` names a unit that does not exist (submit `db@3.service` first or together, or use Wants= if it is optional)"
        ],
    );
}

#[test]
fn faults_of_all_stages_come_in_the_order_of_the_file() {
    check_for(
        "a.service",
        "word\nRequires=db.service\nFoo=1\nAfter=x.service",
        &[],
        expect![[r#"
        a.service:2:1: error: this line has no `=` (a value that goes on in the next line needs a backslash at the end of its line)
        a.service:3:10: error: `Requires=db.service` names a unit that does not exist (submit `db.service` first or together, or use Wants= if it is optional)
        a.service:4:1: error: [Unit] has no key `Foo=`
        a.service:5:7: note: no unit `x.service` is known; `After=` accepts that"#]],
    );
}
