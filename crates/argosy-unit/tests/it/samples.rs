//! Units as people write them.

use argosy_model::UnitName;
use argosy_unit::{Checked, Severity, UnitFile, check};

/// Names and texts of `tests/data/units`.
pub(crate) const SAMPLES: [(&str, &str); 4] = [
    ("hello.service", include_str!("../data/units/hello.service")),
    ("web@.service", include_str!("../data/units/web@.service")),
    ("backup.service", include_str!("../data/units/backup.service")),
    ("dos.service", include_str!("../data/units/dos.service")),
];

#[test]
fn they_are_accepted_without_a_warning() {
    for (name, text) in SAMPLES {
        let unit = UnitName::new(name).unwrap();
        let Checked { spec, diagnostics } = check(name, text, &unit, &|_| false);
        let bad: Vec<_> =
            diagnostics.iter().filter(|found| found.severity != Severity::Note).collect();
        assert!(bad.is_empty(), "{bad:#?}");
        assert_eq!(spec.unwrap().name, unit);
    }
}

#[test]
fn they_are_written_back_byte_for_byte() {
    for (name, text) in SAMPLES {
        let (file, diagnostics) = UnitFile::parse(name, text);
        assert_eq!(diagnostics, []);
        assert_eq!(file.render(), text);
    }
}

#[test]
fn instances_differ_only_where_they_should() {
    let (name, text) = SAMPLES[1];
    let spec = |unit: &str| check(name, text, &UnitName::new(unit).unwrap(), &|_| false).spec;
    let (one, two) = (spec("web@1.service").unwrap(), spec("web@2.service").unwrap());
    assert_eq!(one.announce.unwrap().key, "/services/api/1");
    assert_eq!(two.announce.unwrap().key, "/services/api/2");
    assert_eq!(two.service.environment[0], ("PORT".to_owned(), "802".to_owned()));
    assert_eq!(one.placement, two.placement);
    let [command] = two.service.exec_start.as_slice() else { panic!("one command") };
    let listen = "0.0.0.0:${PORT}";
    let expected =
        ["/usr/local/bin/api", "--listen", listen, "--name", "web 2", "--percent", "100%"];
    assert_eq!(command.argv, expected);
}
