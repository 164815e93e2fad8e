//! Signatures in a registry, by a policy. They are written here, by cosign's specification: Debian's
//! skopeo and podman have theirs of this kind switched off.

use std::path::Path;

use argosy_image::{Digest, Image, Policy, PullOptions, Reference, Store, pull, silent};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::registry::{Built, Registry};
use crate::tools::{client, contents, folder, run, runtime, store, whole};

pub(crate) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(crate) fn new() -> Signer {
        Signer(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(crate) fn write_public_key(&self, path: &Path) {
        let der = self.0.public_key().as_der().unwrap();
        let lines = STANDARD.encode(der.as_ref());
        let text = format!("-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n");
        std::fs::write(path, text).unwrap();
    }

    /// Attaches a signature to a digest in the repository `app`, for a name and a digest.
    fn sign(&self, registry: &Registry, at: &Digest, name: &str, digest: &Digest) {
        let payload = format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"cosign container image signature"}},"optional":null}}"#
        );
        let signature = self.0.sign(&SystemRandom::new(), payload.as_bytes()).unwrap();
        let signature = STANDARD.encode(signature.as_ref());
        let config = r#"{"architecture":"","config":{},"rootfs":{"diff_ids":[],"type":"layers"}}"#;
        let describe = |kind: &str, bytes: &str| {
            let digest = put_blob(registry, bytes);
            format!(
                r#""mediaType":"application/vnd.{kind}+json","digest":"{digest}","size":{}"#,
                bytes.len()
            )
        };
        let config = describe("oci.image.config.v1", config);
        let layer = describe("dev.cosign.simplesigning.v1", &payload);
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{{config}}},"layers":[{{{layer},"annotations":{{"dev.cosignproject.cosign/signature":"{signature}"}}}}]}}"#
        );
        let tag = format!("sha256-{}.sig", at.hex());
        let url = format!("http://{}/v2/app/manifests/{tag}", registry.address);
        let kind = "Content-Type: application/vnd.oci.image.manifest.v1+json";
        run("curl", &["-fsS", "-X", "PUT", "-H", kind, "--data-binary", &manifest, &url]);
    }
}

fn put_blob(registry: &Registry, bytes: &str) -> Digest {
    let digest = Digest::sha256(bytes.as_bytes());
    let begin = format!("http://{}/v2/app/blobs/uploads/", registry.address);
    let output = run("curl", &["-fsS", "-X", "POST", "-o", "/dev/null", "-D", "-", &begin]);
    let headers = String::from_utf8(output.stdout).unwrap();
    let place = headers.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap();
    let url = format!("{}&digest={digest}", place.trim());
    let kind = "Content-Type: application/octet-stream";
    run("curl", &["-fsS", "-X", "PUT", "-H", kind, "--data-binary", bytes, &url]);
    digest
}

/// A policy in a file, that asks for a key's signatures.
pub(crate) fn write_policy(folder: &Path, key: &str, identity: &str) {
    let key = folder.join(key);
    let text = format!(
        r#"{{"default":[{{"type":"reject"}}],"transports":{{"docker":{{"":[{{"type":"sigstoreSigned","keyPath":"{}"{identity}}}]}}}}}}"#,
        key.display()
    );
    std::fs::write(folder.join("policy.json"), text).unwrap();
}

fn take(store: &Store, folder: &Path, name: &str) -> Result<Image, String> {
    let policy = Policy::read(&folder.join("policy.json")).unwrap();
    let reference: Reference = name.parse().unwrap();
    let (client, options) = (client(), PullOptions::default());
    let pulled = pull(store, &client, &policy, &reference, &options, silent());
    runtime().block_on(pulled).map_err(|error| whole(&error))
}

#[test]
fn only_what_the_right_key_has_signed_is_pulled() {
    let (registry, folder) = (Registry::start(), folder());
    let folder = folder.path();
    let built = Built::new(&["echo one > file"]);
    for tag in ["app:1", "app:2"] {
        registry.push(&format!("oci:{}", built.image()), tag, "oci");
    }
    let (own, foreign) = (Signer::new(), Signer::new());
    own.write_public_key(&folder.join("own.pub"));
    foreign.write_public_key(&folder.join("foreign.pub"));
    let inspected = run(
        "skopeo",
        &[
            "inspect",
            "--tls-verify=false",
            "--format",
            "{{.Digest}}",
            &format!("docker://{}", registry.name("app:1")),
        ],
    );
    let digest: Digest = String::from_utf8(inspected.stdout).unwrap().trim().parse().unwrap();
    let (one, two) = (registry.name("app:1"), registry.name("app:2"));
    let by_digest = format!("{}@{digest}", registry.name("app"));
    let store = store(folder);
    let refused = |name: &str, why: &str| {
        let said = take(&store, folder, name).unwrap_err();
        assert!(said.contains(why), "{said}");
        assert_eq!(contents(&store), [""; 0], "something is left of what was refused");
    };

    write_policy(folder, "own.pub", "");
    refused(&one, "it has none");
    // A signature that is of another image, whatever it is attached to.
    own.sign(&registry, &digest, &one, &Digest::sha256(b"another"));
    refused(&one, "one is for \"sha256:");
    own.sign(&registry, &digest, &one, &digest);
    refused(&two, "one is for the name");
    write_policy(folder, "foreign.pub", "");
    refused(&one, "one is by another key");
    write_policy(folder, "missing.pub", "");
    refused(&one, "cannot read");

    write_policy(folder, "own.pub", "");
    for name in [&one, &by_digest] {
        take(&store, folder, name).unwrap();
    }
    write_policy(folder, "own.pub", r#","signedIdentity":{"type":"matchRepository"}"#);
    take(&store, folder, &two).unwrap();
}
