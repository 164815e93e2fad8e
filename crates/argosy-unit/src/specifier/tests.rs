//! Specifiers as systemd.unit(5) lists them.

use super::*;

fn on() -> Specifiers {
    Specifiers {
        machine_id: "ab".repeat(16),
        machine_name: "m1.example.org".to_owned(),
        boot_id: "cd".repeat(16),
        kernel_release: "6.1.0".to_owned(),
        ..Specifiers::default()
    }
}

fn expanded(text: &str, name: &str) -> String {
    let (out, problems) = expand(text, &UnitName::new(name).unwrap(), &on(), Scope::Machine);
    assert_eq!(problems, [], "{text}");
    out
}

#[test]
fn names_of_an_instance() {
    let name = r"foo-bar@a\x2db-c.service";
    for (specifier, value) in [
        ("%n", name),
        ("%N", r"foo-bar@a\x2db-c"),
        ("%p", "foo-bar"),
        ("%P", "foo/bar"),
        ("%i", r"a\x2db-c"),
        ("%I", "a-b/c"),
        ("%j", "bar"),
        ("%J", "bar"),
        ("%f", "/a-b/c"),
        ("%%i", "%i"),
    ] {
        assert_eq!(expanded(specifier, name), value, "{specifier}");
    }
}

#[test]
fn names_of_a_plain_unit_and_of_a_template() {
    assert_eq!(expanded("%n %N %p %i %I %f.", "web.service"), "web.service web web   /web.");
    assert_eq!(expanded("%n %N %p %i", "web@.service"), "web@1.service web@1 web 1");
}

#[test]
fn what_depends_on_the_machine() {
    let text = "%H %l %m %b %v %u %U %g %G %h %s %t %S %C %L %E %T %V %a";
    let id = "ab".repeat(16);
    let boot = "cd".repeat(16);
    let expected = format!(
        "m1.example.org m1 {id} {boot} 6.1.0 root 0 root 0 /root /bin/sh /run /var/lib /var/cache /var/log /etc /tmp /var/tmp x86-64"
    );
    assert_eq!(expanded(text, "a.service"), expected);
    let name = UnitName::new("a.service").unwrap();
    let (_, problems) = expand("/x/%H", &name, &on(), Scope::Name);
    assert_eq!(problems, [SpecifierProblem::NotHere(3..5)]);
}

#[test]
fn what_is_no_specifier_stays_or_is_refused() {
    let name = UnitName::new(r"a\b.service").unwrap();
    for (text, out, problem) in [
        ("x%z", "x", SpecifierProblem::Unknown(1..3)),
        ("x%1", "x", SpecifierProblem::Unknown(1..3)),
        ("50% x", "50% x", SpecifierProblem::Stray(2..4)),
        ("100%", "100%", SpecifierProblem::Stray(3..4)),
        ("%ä", "%ä", SpecifierProblem::Stray(0..3)),
        ("%P", "", SpecifierProblem::Escape(0..2)),
        ("%d", "", SpecifierProblem::Unavailable(0..2)),
    ] {
        assert_eq!(expand(text, &name, &on(), Scope::Machine), (out.to_owned(), vec![problem]));
    }
}

#[test]
fn instances_are_told_apart() {
    for yes in ["/a/%i", "%I", "%n", "x%N", "%%%i"] {
        assert!(names_instance(yes), "{yes}");
    }
    for no in ["/a", "%p", "%%i", "%", "%H"] {
        assert!(!names_instance(no), "{no}");
    }
}
