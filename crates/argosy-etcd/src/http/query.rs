//! The query parameters of a v2 GET, checked as etcd does it.

use std::collections::BTreeMap;

use argosy_kv::v2::Error;

/// Parameters of a v2 GET.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// All levels of a directory.
    pub(super) recursive: bool,
    /// Sorted by key.
    pub(super) sorted: bool,
    /// As new as any acknowledged write.
    pub(super) quorum: bool,
    /// Wait for a change.
    pub(super) wait: bool,
}

/// etcd's code for a parameter that does not parse.
const INVALID_FIELD: u32 = 209;

/// etcd's code for an index that is no number.
const INDEX_NAN: u32 = 203;

impl Parameters {
    /// Reads them from the pairs of a query; the first of several wins, unknown ones pass.
    pub(super) fn parse(pairs: Vec<(String, String)>) -> Result<Parameters, Error> {
        let mut first = BTreeMap::new();
        for (name, value) in pairs {
            first.entry(name).or_insert(value);
        }
        if first.get("waitIndex").is_some_and(|index| index.parse::<u64>().is_err()) {
            return Err(Error {
                code: INDEX_NAN,
                message: "The given index in POST form is not a number",
                cause: "invalid value for \"waitIndex\"".to_owned(),
                index: 0,
            });
        }
        let flag = |name: &str| first.get(name).map_or(Ok(false), |text| boolean(name, text));
        let parameters = Parameters {
            recursive: flag("recursive")?,
            sorted: flag("sorted")?,
            wait: flag("wait")?,
            quorum: flag("quorum")?,
        };
        flag("stream")?;
        Ok(parameters)
    }
}

/// Reads a truth value as Go's `strconv.ParseBool` does.
fn boolean(name: &str, text: &str) -> Result<bool, Error> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error {
            code: INVALID_FIELD,
            message: "Invalid field",
            cause: format!("invalid value for \"{name}\""),
            index: 0,
        }),
    }
}

#[cfg(test)]
mod tests;
