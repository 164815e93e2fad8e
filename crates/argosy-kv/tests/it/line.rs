//! The words of a script's line.

use argosy_kv::{
    Compare, CompareResult, CompareTarget, DeleteRequest, KeyRange, Op, PutRequest, RangeRequest,
    SortOrder, SortTarget, SpaceId, Txn,
};

/// A command's words: those with `=` are options, the others places.
pub(crate) struct Words {
    places: Vec<String>,
    options: Vec<(String, String)>,
}

impl Words {
    pub(crate) fn of(line: &str) -> Words {
        let mut words = Words { places: Vec::new(), options: Vec::new() };
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((name, value)) => words.options.push((name.to_owned(), value.to_owned())),
                None => words.places.push(word.to_owned()),
            }
        }
        words
    }

    pub(crate) fn place(&self, at: usize) -> &str {
        self.places.get(at).map_or("", String::as_str)
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.places.iter().any(|place| place == word)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(option, _)| option == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn number(&self, name: &str) -> i64 {
        self.text(name).map_or(0, |value| value.parse().unwrap())
    }

    /// `KEY`, `KEY..END`, `KEY..` (all from there), `KEY*` (prefix).
    pub(crate) fn range(&self, at: usize) -> KeyRange {
        let place = self.place(at).to_owned();
        if let Some(prefix) = place.strip_suffix('*') {
            return KeyRange::prefix(prefix.to_owned());
        }
        match place.split_once("..") {
            Some((key, "")) => KeyRange::from_key(key.to_owned()),
            Some((key, end)) => KeyRange::between(key.to_owned(), end.to_owned()),
            None => KeyRange::key(place),
        }
    }

    pub(crate) fn range_request(&self) -> RangeRequest {
        RangeRequest {
            range: self.range(1),
            limit: self.number("limit"),
            revision: self.number("rev"),
            sort_order: match self.text("order") {
                None => SortOrder::None,
                Some("ascend") => SortOrder::Ascend,
                Some("descend") => SortOrder::Descend,
                Some(other) => panic!("order {other}"),
            },
            sort_target: match self.text("by") {
                None | Some("key") => SortTarget::Key,
                Some("version") => SortTarget::Version,
                Some("create") => SortTarget::Create,
                Some("mod") => SortTarget::Mod,
                Some("value") => SortTarget::Value,
                Some(other) => panic!("by {other}"),
            },
            keys_only: self.has("keys-only"),
            count_only: self.has("count-only"),
            min_mod_revision: self.number("min-mod"),
            max_mod_revision: self.number("max-mod"),
            min_create_revision: self.number("min-create"),
            max_create_revision: self.number("max-create"),
        }
    }

    fn put(&self) -> PutRequest {
        let ignore_value = self.has("ignore-value");
        let value = if ignore_value { String::new() } else { self.place(2).to_owned() };
        PutRequest {
            lease: self.number("lease"),
            prev_kv: self.has("prev"),
            ignore_value,
            ignore_lease: self.has("ignore-lease"),
            ..PutRequest::new(self.place(1).to_owned(), value)
        }
    }
}

/// `put`, `del` or `get`, with `registry` behind it for the other space.
pub(crate) fn op(line: &str) -> Op {
    let words = Words::of(line);
    let space = if words.has("registry") { SpaceId::Registry } else { SpaceId::User };
    match words.place(0) {
        "put" => Op::Put(space, words.put()),
        "del" => {
            let (range, prev_kv) = (words.range(1), words.has("prev"));
            Op::Delete(space, DeleteRequest { range, prev_kv })
        }
        "get" => Op::Range(space, words.range_request()),
        other => panic!("step {other}"),
    }
}

/// `if CONDITIONS then STEPS else STEPS`, each separated by `;`. A condition is
/// `FIELD KEY RELATION VALUE`.
pub(crate) fn txn(line: &str) -> Txn {
    let line = line.strip_prefix("if").unwrap_or(line);
    let (conditions, steps) = line.split_once("then").unwrap_or(("", line));
    let (success, failure) = steps.split_once("else").unwrap_or((steps, ""));
    let parts = |text: &str| -> Vec<String> {
        text.split(';').map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned).collect()
    };
    Txn {
        compare: parts(conditions).iter().map(|part| compare(part)).collect(),
        success: parts(success).iter().map(|part| op(part)).collect(),
        failure: parts(failure).iter().map(|part| op(part)).collect(),
    }
}

fn compare(line: &str) -> Compare {
    let words = Words::of(line);
    let given = words.place(3);
    let number = || given.parse().unwrap();
    Compare {
        space: SpaceId::User,
        range: words.range(1),
        target: match words.place(0) {
            "version" => CompareTarget::Version(number()),
            "create" => CompareTarget::Create(number()),
            "mod" => CompareTarget::Mod(number()),
            "lease" => CompareTarget::Lease(number()),
            "value" => CompareTarget::Value(given.to_owned().into()),
            other => panic!("field {other}"),
        },
        result: match words.place(2) {
            "is" => CompareResult::Equal,
            "above" => CompareResult::Greater,
            "below" => CompareResult::Less,
            "is-not" => CompareResult::NotEqual,
            other => panic!("relation {other}"),
        },
    }
}
