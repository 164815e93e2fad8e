//! One requirement of a policy, read whole and early: what is written wrongly is an error of the
//! file, not of the first image that meets it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::identity::Identity;
use super::sigstore::{KeySource, SigstoreSigned};

/// What is asked of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub(super) enum Requirement {
    AcceptAnything,
    Reject,
    /// A signature as cosign makes them, by a known key.
    Sigstore(SigstoreSigned),
    /// What is not verified here.
    Unknown {
        kind: String,
    },
}

/// The keys of `sigstoreSigned`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    key_path: Option<String>,
    #[serde(default)]
    key_paths: Vec<String>,
    key_data: Option<String>,
    #[serde(default)]
    key_datas: Vec<String>,
    #[serde(default)]
    signed_identity: Identity,
}

/// What asks for the services of Sigstore, in whose certificates and log signatures may be found.
const OF_SERVICES: [&str; 7] = [
    "fulcio",
    "pki",
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
    "certificate",
];

impl TryFrom<Map<String, Value>> for Requirement {
    type Error = String;

    fn try_from(mut written: Map<String, Value>) -> Result<Requirement, String> {
        let kind = match written.remove("type") {
            Some(Value::String(kind)) => kind,
            _ => return Err("a requirement has no \"type\"".to_owned()),
        };
        match kind.as_str() {
            "insecureAcceptAnything" | "reject" => {
                if let Some(key) = written.keys().next() {
                    return Err(format!("{kind} has no key {key:?}"));
                }
                let accepts = kind == "insecureAcceptAnything";
                Ok(if accepts { Requirement::AcceptAnything } else { Requirement::Reject })
            }
            "sigstoreSigned" => {
                if let Some(key) = OF_SERVICES.iter().find(|key| written.contains_key(**key)) {
                    return Ok(Requirement::Unknown { kind: format!("{kind} with {key}") });
                }
                let read: Written = serde_json::from_value(Value::Object(written))
                    .map_err(|error| format!("{kind}: {error}"))?;
                sigstore(read).map(Requirement::Sigstore)
            }
            _ => Ok(Requirement::Unknown { kind }),
        }
    }
}

fn sigstore(written: Written) -> Result<SigstoreSigned, String> {
    let data = |text: String| {
        let bytes = STANDARD.decode(&text);
        bytes.map(KeySource::Data).map_err(|_| "keyData is not in base64".to_owned())
    };
    let sources = usize::from(written.key_path.is_some())
        + usize::from(!written.key_paths.is_empty())
        + usize::from(written.key_data.is_some())
        + usize::from(!written.key_datas.is_empty());
    let paths = written.key_path.into_iter().chain(written.key_paths);
    let datas = written.key_data.into_iter().chain(written.key_datas);
    let mut keys: Vec<KeySource> = paths.map(|path| KeySource::File(path.into())).collect();
    for one in datas {
        keys.push(data(one)?);
    }
    if keys.is_empty() {
        return Err("sigstoreSigned names no key: give it keyPath or keyData".to_owned());
    }
    if sources > 1 {
        return Err(
            "sigstoreSigned takes one of keyPath, keyPaths, keyData and keyDatas".to_owned()
        );
    }
    Ok(SigstoreSigned { keys, identity: written.signed_identity })
}
