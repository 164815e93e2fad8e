//! The signatures of an image, from the registry that has it.
//!
//! They are attached as an image of their own: its tag is the digest that is signed, its layers are
//! the signed texts, and the signatures are the layers' annotations (cosign's specification; skopeo
//! writes and reads the same).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::digest::Digest;
use crate::policy::Signature;
use crate::registry::{RegistryClient, RegistryError, Source};

/// Layers that hold a signed text.
const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation with the signature, in base64.
const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// Signatures of one image that are looked at: one of each of its makers, and of many a year.
const SIGNATURES_MAX: usize = 128;
/// Largest signed text: it names an image, a digest and few notes.
const PAYLOAD_MAX: u64 = 64 << 10;

/// What is read of their manifest.
#[derive(Debug, Deserialize)]
struct Attached {
    #[serde(default)]
    layers: Vec<AttachedLayer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AttachedLayer {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Brings the signatures of a digest; none if there are none. Those that cannot be read do not count:
/// others may be there.
pub(super) async fn of(
    client: &RegistryClient,
    source: &Source,
    digest: &Digest,
    manifest_bytes_max: u64,
) -> Result<Vec<Signature>, RegistryError> {
    let tag = format!("{}.sig", digest.to_string().replace(':', "-"));
    let fetched = match client.manifest_at(source, &tag, manifest_bytes_max).await {
        Err(RegistryError::NotFound { .. }) => return Ok(Vec::new()),
        fetched => fetched?,
    };
    let Ok(attached) = serde_json::from_slice::<Attached>(&fetched.bytes) else {
        return Ok(Vec::new());
    };
    let mut signatures = Vec::new();
    let layers = attached.layers.iter().filter(|layer| layer.media_type == MEDIA_TYPE);
    for layer in layers.take(SIGNATURES_MAX) {
        let text = layer.annotations.get(ANNOTATION);
        let signature = text.and_then(|text| STANDARD.decode(text).ok());
        let (Some(signature), Ok(digest)) = (signature, layer.digest.parse()) else { continue };
        match client.small_blob(source, &digest, PAYLOAD_MAX).await {
            Ok(payload) => signatures.push(Signature { payload, signature }),
            Err(
                RegistryError::NotFound { .. }
                | RegistryError::Digest { .. }
                | RegistryError::TooLarge { .. },
            ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(signatures)
}
