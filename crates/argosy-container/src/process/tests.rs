//! docker's rules, one case a line.

use oci_spec::image::ImageConfiguration;

use super::{Overrides, process_of};

fn image(config: &str) -> ImageConfiguration {
    let text = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{config},
           "rootfs":{{"type":"layers","diff_ids":[]}}}}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Image entrypoint, image command, `--entrypoint`, command; what runs.
#[test]
fn entrypoint_and_command() {
    let cases = [
        ("/entry", "a b", None, "", "/entry a b"),
        ("/entry", "a b", None, "c", "/entry c"),
        ("", "a b", None, "", "a b"),
        ("", "a b", None, "c d", "c d"),
        ("/entry", "a b", Some("/other"), "", "/other"),
        ("/entry", "a b", Some("/other"), "c", "/other c"),
        ("/entry", "a b", Some(""), "c", "c"),
        ("/entry", "a b", Some(""), "", "no command"),
        ("/entry", "", None, "", "/entry"),
        ("", "", None, "", "no command"),
    ];
    for (entry, command, own_entry, own_command, expected) in cases {
        let list = |text| serde_json::to_string(&words(text)).unwrap();
        let config = format!(r#"{{"Entrypoint":{},"Cmd":{}}}"#, list(entry), list(command));
        let overrides = Overrides {
            entrypoint: own_entry.map(|it: &str| vec![it.to_owned()]),
            command: words(own_command),
            ..Overrides::default()
        };
        let found = process_of(Some(&image(&config)), &overrides, "h")
            .map_or("no command".to_owned(), |process| process.args.join(" "));
        assert_eq!(found, expected, "{entry} {command} {own_entry:?} {own_command}");
    }
}

#[test]
fn environment_is_the_image_s_under_the_user_s() {
    let config = image(r#"{"Cmd":["x"],"Env":["PATH=/bin","A=1","B=2=3"]}"#);
    let overrides = Overrides { env: words("A=9 C= B D"), tty: true, ..Overrides::default() };
    let process = process_of(Some(&config), &overrides, "box").unwrap();
    assert_eq!(process.env.join(" "), "PATH=/bin HOSTNAME=box TERM=xterm A=9 C=");
}

#[test]
fn user_and_directory_are_the_user_s_or_the_image_s() {
    let config = image(r#"{"Cmd":["x"],"User":"web:www","WorkingDir":"/srv"}"#);
    let process = process_of(Some(&config), &Overrides::default(), "h").unwrap();
    assert_eq!((process.user.as_str(), process.cwd.as_deref()), ("web:www", Some("/srv")));
    let overrides = Overrides {
        user: Some("0".to_owned()),
        cwd: Some("/tmp".to_owned()),
        ..Overrides::default()
    };
    let process = process_of(Some(&config), &overrides, "h").unwrap();
    assert_eq!((process.user.as_str(), process.cwd.as_deref()), ("0", Some("/tmp")));
}

#[test]
fn without_an_image_there_is_the_command_alone() {
    let overrides = Overrides { command: words("sh -c true"), ..Overrides::default() };
    let process = process_of(None, &overrides, "h").unwrap();
    assert_eq!(process.args, words("sh -c true"));
    assert!(process.user.is_empty());
}
