//! Both families are read; what could mean two things, or is too much, is refused.

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn descriptor(media_type: &str) -> serde_json::Value {
    serde_json::json!({"mediaType": media_type, "digest": format!("sha256:{HEX}"), "size": 3})
}

fn read(value: &serde_json::Value, sent_as: Option<&str>) -> Result<Document, String> {
    parse(value.to_string().as_bytes(), sent_as, &Limits::default())
        .map_err(|error| error.to_string())
}

#[test]
fn both_families_are_read_with_and_without_their_type() {
    for (manifest, config, layer) in [
        (OCI_MANIFEST, OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd"),
        (DOCKER_MANIFEST, DOCKER_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip"),
    ] {
        let value = serde_json::json!({
            "schemaVersion": 2, "config": descriptor(config), "layers": [descriptor(layer)],
        });
        let Document::Manifest(read) = read(&value, Some(manifest)).unwrap() else { panic!() };
        assert_eq!((read.media_type.as_str(), read.layers.len()), (manifest, 1));
    }
}

#[test]
fn what_cannot_be_used_says_why() {
    let config = descriptor(OCI_CONFIG);
    let layer = descriptor(OCI_LAYER);
    let cases = [
        (serde_json::json!({"schemaVersion": 1, "fsLayers": []}), "schema 1"),
        (serde_json::json!({"schemaVersion": 2}), "without config and layers"),
        (
            serde_json::json!({"schemaVersion": 2, "config": config, "layers": [], "manifests": []}),
            "could mean either",
        ),
        (
            serde_json::json!({"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": []}),
            "but was sent as",
        ),
        (
            serde_json::json!({"schemaVersion": 2, "config": descriptor("application/vnd.cncf.helm.config.v1+json"), "layers": []}),
            "not a container image",
        ),
        (
            serde_json::json!({"schemaVersion": 2, "config": config, "layers": [descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")]}),
            "cannot be unpacked",
        ),
        (
            serde_json::json!({"schemaVersion": 2, "config": config, "layers": vec![layer; 501]}),
            "501 layers, at most 500",
        ),
        (
            serde_json::json!({"schemaVersion": 2, "layers": [], "config": {"mediaType": OCI_CONFIG, "digest": format!("sha256:{HEX}"), "size": 9 << 20}}),
            "at most 8388608",
        ),
        (
            serde_json::json!({"schemaVersion": 2, "layers": [], "config": {"mediaType": OCI_CONFIG, "digest": "sha256:../../../etc/passwd", "size": 1}}),
            "not valid JSON of the expected form",
        ),
    ];
    for (value, part) in cases {
        let error = read(&value, Some(OCI_MANIFEST)).unwrap_err();
        assert!(error.contains(part), "{value}: {error}");
    }
}

#[test]
fn an_index_gives_the_image_of_the_platform_or_says_which_there_are() {
    let entry = |os: &str, architecture: &str| {
        let mut value = descriptor(OCI_MANIFEST);
        value["platform"] = serde_json::json!({"os": os, "architecture": architecture});
        value["size"] = serde_json::json!(architecture.len());
        value
    };
    let value = serde_json::json!({"schemaVersion": 2, "manifests": [
        entry("linux", "arm64"), entry("linux", "amd64"), entry("unknown", "unknown"),
    ]});
    let Document::Index(entries) = read(&value, Some(OCI_INDEX)).unwrap() else { panic!() };
    let arm = choose(&entries, &"linux/arm64/v8".parse().unwrap()).unwrap();
    assert_eq!(arm, &entries[0].descriptor);
    let error = choose(&entries, &"linux/s390x".parse().unwrap()).unwrap_err().to_string();
    assert_eq!(error, "no image for linux/s390x; there are: linux/arm64, linux/amd64");
}
