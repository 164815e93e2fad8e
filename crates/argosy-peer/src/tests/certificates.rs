//! The authority and the machine's files: what is issued, what is refused, what is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, IsCa, KeyPair, SanType};

use crate::testing::*;
use crate::{
    AuthorityError, ClusterCa, Identity, IdentityError, MACHINE_CERTIFICATE_LIFE, MachineKey,
    SigningRequest, Validity,
};

const SECOND: Duration = Duration::from_secs(1);

/// A P-384 key whose request is signed with SHA-256, as for P-256 (made by OpenSSL).
const P384_WITH_SHA256: &str = "\
-----BEGIN CERTIFICATE REQUEST-----
MIIBAzCBiwIBADAMMQowCAYDVQQDDAF4MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE
WCLANjKYYKjv9jp/78wavZP6M62ImECmkYEp43GpVBsrrOQSBBFi00fpzTWUEeMn
fL69qsBMMKdFM+vrYmK5VK3WDiXWGvEJ9a96M2ub/Kkf5GmseTbgBD+tRYwhScdU
oAAwCgYIKoZIzj0EAwIDZwAwZAIwA4JWIHRkMF48N3Ob9+8zahDyzriJ+hWv2EJI
9waUZBFikd6HJbjz7kRbc9b4grALAjB5bCubemxPrQcJ0bgzJEyWB8YPNfLrLkCo
aL4KbxFVpaYz3/92X+0dUm01Bzd6FxQ=
-----END CERTIFICATE REQUEST-----
";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_survives_its_texts() {
    let ca = authority();
    let again = ClusterCa::from_pem(ca.certificate_pem(), &ca.key_pem()).unwrap();
    assert_eq!((again.cluster(), again.pin()), (CLUSTER, ca.pin()));
    assert_eq!(again.key_pem(), ca.key_pem());
    let ten_years = Duration::from_secs(3652 * 24 * 3600);
    assert!(ca.expires() > SystemTime::now() + ten_years);
    // What the one issued is good with the other's certificate.
    let key = MachineKey::generate().unwrap();
    let now = Validity::of_machine(SystemTime::now());
    let issued = again.issue(&key.signing_request().unwrap(), CLIENT, now).unwrap();
    let identity = Identity::new(&key, &issued, ca.certificate_pem()).unwrap();
    assert_eq!((identity.cluster(), identity.machine()), (CLUSTER, CLIENT));
    assert_eq!(identity.authority_pin(), ca.pin());
    let year = SystemTime::now() + MACHINE_CERTIFICATE_LIFE;
    assert!(identity.expires() <= year && identity.expires() > year - 60 * SECOND);
}

#[test]
fn an_authority_is_not_read_with_a_foreign_key() {
    let (one, two) = (authority(), authority());
    let read = ClusterCa::from_pem(one.certificate_pem(), &two.key_pem());
    assert!(matches!(read, Err(AuthorityError::KeyMismatch)), "{read:?}");
    let read = ClusterCa::from_pem("nonsense", &one.key_pem());
    assert!(matches!(read, Err(AuthorityError::Certificate { .. })), "{read:?}");
    let read = ClusterCa::from_pem(one.certificate_pem(), "nonsense");
    assert!(matches!(read, Err(AuthorityError::Key { .. })), "{read:?}");
    // A machine's certificate is no authority's.
    let key = MachineKey::generate().unwrap();
    let now = Validity::of_machine(SystemTime::now());
    let machine = one.issue(&key.signing_request().unwrap(), CLIENT, now).unwrap();
    let read = ClusterCa::from_pem(&machine, &one.key_pem());
    assert!(matches!(read, Err(AuthorityError::Certificate { .. })), "{read:?}");
}

#[test]
fn secrets_do_not_show_in_debug() {
    let ca = authority();
    let key = MachineKey::generate().unwrap();
    let identity = identity(&ca, CLIENT);
    for text in [format!("{ca:?}"), format!("{key:?}"), format!("{identity:?}")] {
        assert!(!text.contains("PRIVATE") && !text.contains("Pkcs8"), "{text}");
    }
}

#[test]
fn a_certificate_never_outlives_its_authority() {
    let ca = authority();
    let century = Validity::starting(SystemTime::now(), Duration::from_secs(100 * 365 * 86_400));
    assert_eq!(identity_valid(&ca, CLIENT, century).expires(), ca.expires());
    let request = MachineKey::generate().unwrap().signing_request().unwrap();
    let now = SystemTime::now();
    for validity in [
        Validity { from: now, until: now },
        Validity { from: now, until: now - SECOND },
        Validity { from: ca.expires(), until: ca.expires() + SECOND },
    ] {
        let issued = ca.issue(&request, CLIENT, validity);
        assert!(matches!(issued, Err(AuthorityError::EmptyValidity)), "{issued:?}");
    }
}

/// Whatever a request asks for, it gets its key certified under the name it is given.
#[test]
fn a_request_cannot_choose_its_name_or_become_an_authority() {
    let ca = authority();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    let name = format!("argosy://{CLUSTER}/machine/{SERVER}");
    params.subject_alt_names = vec![SanType::URI(name.as_str().try_into().unwrap())];
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let request = SigningRequest::from_pem(&pem).unwrap();
    let now = Validity::of_machine(SystemTime::now());
    let issued = ca.issue(&request, CLIENT, now).unwrap();
    let der = crate::authority::certificate_der(&issued).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert!(!certificate.is_ca());
    let key = MachineKey::from_pem(&key.serialize_pem()).unwrap();
    assert_eq!(Identity::new(&key, &issued, ca.certificate_pem()).unwrap().machine(), CLIENT);
}

#[test]
fn a_request_must_prove_its_key_and_have_one_we_take() {
    let good = MachineKey::generate().unwrap();
    let good_request = good.signing_request().unwrap();
    assert_eq!(SigningRequest::from_pem(good_request.pem()).unwrap().key(), good.hash());

    // Another key put into a request that the first one signed.
    let der = |pem: &str| {
        use rustls::pki_types::pem::PemObject as _;
        rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
            .unwrap()
            .to_vec()
    };
    let stolen_key = identity(&authority(), SERVER);
    let (_, victim) = x509_parser::parse_x509_certificate(stolen_key.certificate()).unwrap();
    let victim = victim.public_key().subject_public_key.data.to_vec();
    let mut forged = der(good_request.pem());
    // A bit string of 66 bytes without unused bits, then the uncompressed point.
    let at = forged.windows(4).position(|head| head == [0x03, 0x42, 0x00, 0x04]).unwrap() + 3;
    forged[at..at + victim.len()].copy_from_slice(&victim);
    let forged = pem_text(&forged);
    let read = SigningRequest::from_pem(&forged);
    assert!(matches!(read, Err(AuthorityError::SigningRequest { .. })), "{read:?}");

    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ECDSA_P521_SHA512] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        let read = SigningRequest::from_pem(&request.pem().unwrap());
        assert!(matches!(read, Err(AuthorityError::SigningRequest { .. })), "{read:?}");
    }
    let read = SigningRequest::from_pem(P384_WITH_SHA256);
    assert!(matches!(read, Err(AuthorityError::SigningRequest { .. })), "{read:?}");
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let request = CertificateParams::default().serialize_request(&ed25519).unwrap();
    assert!(SigningRequest::from_pem(&request.pem().unwrap()).is_ok());
    let long = format!("{}{}", good_request.pem(), " ".repeat(20_000));
    assert!(SigningRequest::from_pem(&long).is_err());
}

fn pem_text(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        lines.join("\n")
    )
}

#[test]
fn identities_that_do_not_fit_together() {
    let ca = authority();
    let key = MachineKey::generate().unwrap();
    let now = Validity::of_machine(SystemTime::now());
    let certificate = ca.issue(&key.signing_request().unwrap(), CLIENT, now).unwrap();

    let other_key = MachineKey::generate().unwrap();
    let made = Identity::new(&other_key, &certificate, ca.certificate_pem());
    assert!(matches!(made, Err(IdentityError::KeyMismatch)), "{made:?}");
    let made = Identity::new(&key, &certificate, authority().certificate_pem());
    assert!(matches!(made, Err(IdentityError::NotSigned)), "{made:?}");
    let elsewhere = ClusterCa::create(OTHER_CLUSTER).unwrap();
    let made = Identity::new(&key, &certificate, elsewhere.certificate_pem());
    assert!(matches!(made, Err(IdentityError::Cluster { .. })), "{made:?}");
    let made = Identity::new(&key, ca.certificate_pem(), ca.certificate_pem());
    assert!(matches!(made, Err(IdentityError::Certificate { .. })), "{made:?}");
    let made = Identity::new(&key, &certificate, &certificate);
    assert!(matches!(made, Err(IdentityError::Authority { .. })), "{made:?}");
    let made = Identity::new(&key, &certificate, "");
    assert!(matches!(made, Err(IdentityError::Pem { .. })), "{made:?}");
}

#[test]
fn keys_and_certificates_are_kept_private_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority();
    let key = MachineKey::load_or_generate(folder.path()).unwrap();
    let again = MachineKey::load_or_generate(folder.path()).unwrap();
    assert_eq!(key.hash(), again.hash());

    let now = SystemTime::now();
    let issue = |life| {
        let request = key.signing_request().unwrap();
        let issued = ca.issue(&request, CLIENT, Validity::starting(now, life)).unwrap();
        Identity::new(&key, &issued, ca.certificate_pem()).unwrap()
    };
    issue(3600 * SECOND).save(folder.path()).unwrap();
    // A left-over of a crash, readable by all, must not become the secret's file.
    let left_over = folder.path().join("machine.crt.new");
    fs::write(&left_over, "left over").unwrap();
    fs::set_permissions(&left_over, fs::Permissions::from_mode(0o666)).unwrap();
    let renewed = issue(7200 * SECOND);
    renewed.save(folder.path()).unwrap();
    let loaded = Identity::load(folder.path()).unwrap();
    assert_eq!(loaded.facts(), renewed.facts());

    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["machine.crt", "machine.key"]);
    for name in names {
        assert_eq!(mode(&folder.path().join(&name)), 0o600, "{name}");
    }
}

#[test]
fn a_missing_or_damaged_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Identity::load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("machine.key"), "{error}");
    MachineKey::load_or_generate(folder.path()).unwrap();
    let error = Identity::load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("machine.crt"), "{error}");
    fs::write(folder.path().join("machine.key"), "x".repeat(70_000)).unwrap();
    let error = MachineKey::load_or_generate(folder.path()).unwrap_err();
    assert!(error.to_string().contains("larger than"), "{error}");
    fs::write(folder.path().join("machine.key"), "nonsense").unwrap();
    let error = MachineKey::load_or_generate(folder.path()).unwrap_err();
    assert!(matches!(error, IdentityError::Key { .. }), "a damaged key is never replaced: {error}");
}

#[test]
fn renewal_is_due_in_the_last_third() {
    let ca = authority();
    for life in [MACHINE_CERTIFICATE_LIFE, 3600 * SECOND] {
        let identity = identity_valid(&ca, CLIENT, Validity::starting(SystemTime::now(), life));
        // Begun five minutes early.
        let third = (life + 300 * SECOND) / 3;
        assert!(!identity.is_renewal_due(identity.expires() - third - SECOND));
        assert!(identity.is_renewal_due(identity.expires() - third + SECOND));
        assert!(identity.is_renewal_due(identity.expires() + SECOND));
    }
}
