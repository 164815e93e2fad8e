//! Tests of policies: scopes, requirements, and whose signatures count.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::digest::Digest;

const POLICY: &str = r#"{
    "default": [{"type": "reject"}],
    "transports": {"docker": {
        "docker.io/library": [{"type": "insecureAcceptAnything"}],
        "docker.io/library/bad": [{"type": "reject"}],
        "quay.io": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}],
        "ghcr.io": [{"type": "sigstoreSigned", "fulcio": {}, "rekorPublicKeyPath": "/k"}],
        "*.example.org": [{"type": "insecureAcceptAnything"}],
        "void.io": []
    }}
}"#;

fn answer(text: &str) -> String {
    let policy: Policy = serde_json::from_str(POLICY).unwrap();
    match policy.check(&text.parse().unwrap()) {
        Ok(demands) => format!("accepted, {} signatures", demands.signatures.len()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_narrowest_scope_decides() {
    assert_eq!(answer("busybox"), "accepted, 0 signatures");
    assert_eq!(answer("registry.example.org/a/b"), "accepted, 0 signatures");
    assert!(
        answer("library/bad")
            .contains("rejected by the signature policy for \"docker.io/library/bad\"")
    );
    assert!(answer("user/app").contains("for \"default\""));
    assert!(answer("void.io/app").contains("no requirement"));
}

#[test]
fn what_cannot_be_verified_is_refused_and_never_accepted() {
    assert!(answer("quay.io/a/b").contains("asks for \"signedBy\", which argosy cannot verify"));
    assert!(answer("ghcr.io/a/b").contains("asks for \"sigstoreSigned with fulcio\""));
}

#[test]
fn a_policy_that_is_written_wrongly_is_no_policy() {
    let wrong = |requirement: &str| {
        let text = format!(r#"{{"default": [{requirement}]}}"#);
        serde_json::from_str::<Policy>(&text).unwrap_err().to_string()
    };
    assert!(wrong(r#"{"kind": "reject"}"#).contains("no \"type\""));
    assert!(wrong(r#"{"type": "reject", "keyPath": "/k"}"#).contains("no key \"keyPath\""));
    assert!(wrong(r#"{"type": "sigstoreSigned"}"#).contains("names no key"));
    assert!(wrong(r#"{"type": "sigstoreSigned", "keypath": "/k"}"#).contains("keypath"));
    assert!(wrong(r#"{"type": "sigstoreSigned", "keyData": "?"}"#).contains("base64"));
    let two = r#"{"type": "sigstoreSigned", "keyPath": "/k", "keyData": "YQ=="}"#;
    assert!(wrong(two).contains("takes one of"));
    let identity =
        r#"{"type": "sigstoreSigned", "keyPath": "/k", "signedIdentity": {"type": "matchAll"}}"#;
    assert!(wrong(identity).contains("matchAll"));
}

/// Signs as cosign does.
fn signature(key: &EcdsaKeyPair, reference: &str, digest: &Digest) -> Signature {
    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"{reference}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":{{"creator":"test"}}}}"#
    );
    let signature = key.sign(&SystemRandom::new(), payload.as_bytes()).unwrap();
    Signature { payload: payload.into_bytes(), signature: signature.as_ref().to_vec() }
}

fn key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

/// A policy that asks for a signature by a key, with an identity or the usual one.
fn policy(pem: &str, identity: &str) -> Policy {
    let data = STANDARD.encode(pem);
    let text =
        format!(r#"{{"default": [{{"type": "sigstoreSigned", "keyData": "{data}"{identity}}}]}}"#);
    serde_json::from_str(&text).unwrap()
}

fn verify<const COUNT: usize>(
    policy: &Policy,
    reference: &str,
    digests: &[&Digest],
    signatures: [&Signature; COUNT],
) -> String {
    let signatures: Vec<Signature> = signatures.into_iter().cloned().collect();
    let reference: Reference = reference.parse().unwrap();
    let demands = policy.check(&reference).unwrap();
    let signed = demands.signatures[0];
    match signed.verify(&demands.scope, &reference, digests, &signatures) {
        Ok(()) => "ok".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn of(key: &EcdsaKeyPair) -> String {
    pem(key.public_key().as_der().unwrap().as_ref())
}

#[test]
fn a_signature_counts_for_its_key_digest_and_name() {
    let (own, other) = (key(), key());
    let (index, manifest) = (Digest::sha256(b"index"), Digest::sha256(b"manifest"));
    let policy = policy(&of(&own), "");
    let good = signature(&own, "r.io/app:1", &manifest);
    let both = [&manifest, &index];
    assert_eq!(verify(&policy, "r.io/app:1", &both, [&good]), "ok");
    // Whoever signs an index signs what it names; a bad signature beside a good one does nothing.
    let of_index = signature(&own, "r.io/app:1", &index);
    let foreign = signature(&other, "r.io/app:1", &manifest);
    assert_eq!(verify(&policy, "r.io/app:1", &both, [&foreign, &of_index]), "ok");

    assert!(verify(&policy, "r.io/app:1", &both, []).ends_with("it has none"));
    assert!(verify(&policy, "r.io/app:1", &both, [&foreign]).ends_with("one is by another key"));
    let elsewhere = [&Digest::sha256(b"else")];
    let said = verify(&policy, "r.io/app:1", &elsewhere, [&good]);
    assert!(said.contains(&format!("one is for \"{manifest}\"")), "{said}");
    let said = verify(&policy, "r.io/app:2", &both, [&good]);
    assert!(said.ends_with("one is for the name \"r.io/app:1\""), "{said}");
    let mut changed = good;
    changed.payload.push(b' ');
    assert!(verify(&policy, "r.io/app:1", &both, [&changed]).ends_with("by another key"));
    let mut kind = signature(&own, "r.io/app:1", &manifest);
    kind.payload = String::from_utf8(kind.payload).unwrap().replace("cosign ", "atomic ").into();
    kind.signature = own.sign(&SystemRandom::new(), &kind.payload).unwrap().as_ref().to_vec();
    assert!(verify(&policy, "r.io/app:1", &both, [&kind]).contains("is no cosign"));
}

#[test]
fn names_fit_as_the_policy_says() {
    let key = key();
    let digest = Digest::sha256(b"manifest");
    let fits = |identity: &str, signed: &str, wanted: &str| {
        let identity = match identity {
            "" => String::new(),
            text => format!(r#", "signedIdentity": {text}"#),
        };
        let policy = policy(&of(&key), &identity);
        verify(&policy, wanted, &[&digest], [&signature(&key, signed, &digest)]) == "ok"
    };
    let at = format!("r.io/app@{digest}");
    assert!(fits("", "r.io/app:1", &at));
    assert!(fits("", "r.io/app", &at));
    // cosign writes no tag; that is for none, not for latest.
    assert!(!fits("", "r.io/app", "r.io/app"));
    assert!(fits("", "r.io/app:latest", "r.io/app"));
    assert!(!fits("", "r.io/other:1", &at));
    let exact = r#"{"type": "matchExact"}"#;
    assert!(fits(exact, "docker.io/library/busybox:1", "busybox:1"));
    assert!(!fits(exact, "r.io/app:1", &at));
    let repository = r#"{"type": "matchRepository"}"#;
    assert!(fits(repository, "r.io/app", "r.io/app:7"));
    assert!(!fits(repository, "r.io/app", "r.io/app2:7"));
    let one = r#"{"type": "exactReference", "dockerReference": "r.io/app:1"}"#;
    assert!(fits(one, "r.io/app:1", "mirror.io/x:9"));
    assert!(!fits(one, "r.io/app:2", "mirror.io/x:9"));
    let one = r#"{"type": "exactRepository", "dockerRepository": "r.io/app"}"#;
    assert!(fits(one, "r.io/app:2", "mirror.io/x:9"));
    let remap = r#"{"type": "remapIdentity", "prefix": "mirror.io/r", "signedPrefix": "r.io"}"#;
    assert!(fits(remap, "r.io/app:1", "mirror.io/r/app:1"));
    assert!(!fits(remap, "r.io/app:1", "mirror.io/rogue/app:1"));
    assert!(fits(remap, "else.io/app:1", "else.io/app:1"));
    let port = r#"{"type": "remapIdentity", "prefix": "mirror.io", "signedPrefix": "r.io"}"#;
    assert!(!fits(port, "r.io:5000/app:1", "mirror.io:5000/app:1"));
    // What is remapped into no name is not taken under its own.
    let broken = r#"{"type": "remapIdentity", "prefix": "mirror.io", "signedPrefix": "R io"}"#;
    assert!(!fits(broken, "mirror.io/app:1", "mirror.io/app:1"));
}

#[test]
fn keys_of_other_kinds_are_used_or_refused() {
    let digest = Digest::sha256(b"manifest");
    let other = Ed25519KeyPair::generate().unwrap();
    let mut one = signature(&key(), "r.io/app:1", &digest);
    one.signature = other.sign(&one.payload).as_ref().to_vec();
    let public = pem(other.public_key().as_der().unwrap().as_ref());
    assert_eq!(verify(&policy(&public, ""), "r.io/app:1", &[&digest], [&one]), "ok");
    let said = verify(&policy("nothing", ""), "r.io/app:1", &[&digest], [&one]);
    assert!(said.starts_with("cannot use the key in keyData"), "{said}");
    let said = verify(&policy(&pem(b"nothing"), ""), "r.io/app:1", &[&digest], [&one]);
    assert!(said.starts_with("cannot use the key in keyData"), "{said}");
}
