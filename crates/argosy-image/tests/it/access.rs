//! Who may ask, and who is asked: TLS, passwords, blocked registries.

use argosy_image::{
    AuthFiles, Error, Image, PullOptions, Registries, RegistryClient, RegistrySettings, Transport,
    silent,
};

use crate::archive::{Archive, Layer, MadeImage};
use crate::fake::{Answer, Fake};
use crate::registry::{Built, Registry};
use crate::tools::{folder, run, store, try_pull_with, whole};

fn pulled(settings: RegistrySettings, auth_files: AuthFiles, name: &str) -> Result<Image, Error> {
    let client = RegistryClient::new(Registries { registries: vec![settings] }, auth_files);
    let folder = folder();
    try_pull_with(&store(folder.path()), &client, name, &PullOptions::default(), silent())
}

#[test]
fn certificates_are_verified_unless_the_user_says_otherwise() {
    let (registry, certificate) = Registry::start_tls();
    let built = Built::new(&["echo a > a"]);
    let (from, to) =
        (format!("oci:{}", built.image()), format!("docker://{}", registry.name("app")));
    run("skopeo", &["copy", "-q", "--insecure-policy", "--dest-tls-verify=false", &from, &to]);
    let settings = |transport, ca| RegistrySettings {
        name: registry.address.clone(),
        transport: Some(transport),
        ca,
        ..RegistrySettings::default()
    };
    let pull = |settings| pulled(settings, AuthFiles::default(), &registry.name("app"));
    pull(settings(Transport::Tls, Some(certificate)))
        .unwrap_or_else(|error| panic!("{}", whole(&error)));
    pull(settings(Transport::TlsUnverified, None)).unwrap();
    let error = whole(&pull(settings(Transport::Tls, None)).unwrap_err());
    assert!(error.contains("cannot connect to") && error.contains("certificate"), "{error}");
    let missing = Some("/nonexistent/ca.pem".into());
    let error = whole(&pull(settings(Transport::Tls, missing)).unwrap_err());
    assert!(error.contains("cannot read certificates from /nonexistent/ca.pem"), "{error}");
}

#[test]
fn a_password_is_sent_where_it_belongs_and_its_absence_is_told() {
    let fake =
        Fake::with(&MadeImage::new(vec![Layer::gzip(Archive::default().file("a", b"a").end())]));
    fake.handle(|asked| {
        let given = asked.headers.get("authorization").map(String::as_str);
        let headers = vec![("WWW-Authenticate", "Basic realm=\"x\"".to_owned())];
        // user:secret
        (given != Some("Basic dXNlcjpzZWNyZXQ=")).then(|| Answer { headers, ..Answer::status(401) })
    });
    let settings =
        || RegistrySettings { name: fake.address.to_string(), ..RegistrySettings::default() };
    let error = whole(&pulled(settings(), AuthFiles::default(), &fake.name("app")).unwrap_err());
    assert!(error.contains("does not let this user at app"), "{error}");
    let folder = folder();
    let path = folder.path().join("auth.json");
    let text = format!(r#"{{"auths": {{"{}": {{"auth": "dXNlcjpzZWNyZXQ="}}}}}}"#, fake.address);
    std::fs::write(&path, text).unwrap();
    pulled(settings(), AuthFiles::new(vec![path.clone()]), &fake.name("app")).unwrap();
    std::fs::write(&path, "{").unwrap();
    let error =
        whole(&pulled(settings(), AuthFiles::new(vec![path]), &fake.name("app")).unwrap_err());
    assert!(error.contains("not written as they must be"), "{error}");
}

#[test]
fn a_blocked_registry_is_not_asked() {
    let fake =
        Fake::with(&MadeImage::new(vec![Layer::gzip(Archive::default().file("a", b"a").end())]));
    let settings = RegistrySettings {
        name: fake.address.to_string(),
        blocked: true,
        ..RegistrySettings::default()
    };
    let error = whole(&pulled(settings, AuthFiles::default(), &fake.name("app")).unwrap_err());
    assert!(error.contains("is blocked by the configuration"), "{error}");
    assert!(fake.asked().is_empty());
}
