//! Which texts are unit names, and how they come apart.

use super::*;

#[track_caller]
fn parts(text: &str) -> (String, Option<String>, bool) {
    let name = UnitName::new(text).unwrap();
    (name.prefix().to_owned(), name.instance().map(str::to_owned), name.is_template())
}

#[test]
fn names_come_apart_at_the_first_at_sign_and_the_last_dot() {
    assert_eq!(parts("web.service"), ("web".into(), None, false));
    assert_eq!(parts("web@.service"), ("web".into(), None, true));
    assert_eq!(parts("web@1.service"), ("web".into(), Some("1".into()), false));
    assert_eq!(parts("a.b@c@d.e.timer"), ("a.b".into(), Some("c@d.e".into()), false));
}

#[test]
fn an_instance_knows_its_template() {
    let name = UnitName::new("web@1.service").unwrap();
    assert_eq!(name.template().unwrap().as_str(), "web@.service");
    assert_eq!(name.template().unwrap().with_instance("2").unwrap().as_str(), "web@2.service");
    assert_eq!(UnitName::new("web.service").unwrap().template(), None);
}

#[test]
fn what_is_not_a_name_says_why() {
    let message = |text: &str| UnitName::new(text).unwrap_err().to_string();
    assert!(message("web").contains("does not end in a unit type"));
    assert!(message("web.server").contains("does not end in a unit type"));
    assert!(message("a b.service").contains("contains ' '"));
    assert!(message("../x.service").contains("contains '/'"));
    assert!(message(".service").contains("nothing before its suffix"));
    assert!(message("@1.service").contains("nothing before its @"));
    assert!(message(&format!("{}.service", "x".repeat(300))).contains("308 bytes"));
}

#[test]
fn quadlet_files_are_named_like_units() {
    for suffix in ["container", "pod", "volume", "network", "image", "build", "kube", "artifact"] {
        let name = UnitName::new(format!("web@1.{suffix}")).unwrap();
        assert!(name.kind().is_quadlet());
        assert_eq!(name.kind().suffix(), suffix);
    }
    assert!(!UnitName::new("web.service").unwrap().kind().is_quadlet());
}
