//! Seeded v2 writes on Debian's etcd and on the server: status, JSON and the whole tree after
//! each must be the same. Indexes are compared by the write that made them, because etcd counts
//! v2 changes apart from v3 revisions.

use serde_json::{Map, Value};

use super::generator::Generator;
use super::v2_side::{Request, Side, read};
use crate::debian::Etcd;
use crate::ours::Ours;

/// Seeds to run, each in a directory of its own.
const SEEDS: std::ops::Range<u64> = 0..12;

/// Writes of one seed.
const STEPS: usize = 150;

/// Few paths, so that keys, directories and what is in the way of them meet often.
const PATHS: [&str; 9] = ["", "/a", "/a/b", "/a/b/c", "/d", "/d/e", "/_h", "/d/_h/x", "/q"];

/// Requests for the root, and for what is nowhere near any other.
const ROOT: [(&str, &str, &str); 14] = [
    ("PUT", "/", "value=1"),
    ("PUT", "/", "dir=true"),
    ("PUT", "/", "value=1&prevExist=true"),
    ("PUT", "/", "value=1&prevExist=false"),
    ("PUT", "/", "value=1&prevValue=2"),
    ("DELETE", "/", ""),
    ("DELETE", "/?recursive=true", ""),
    ("DELETE", "/?dir=true", ""),
    ("DELETE", "/?prevIndex=1", ""),
    ("POST", "/", "value=1"),
    ("PUT", "/new/parent/key", "value=%C3%A4"),
    ("PUT", "/new/parent/key", "value=%FF"),
    ("PUT", "/new%20one?value=2", "value=%3Ca%3E"),
    ("PUT", "/new/parent/key", "prevExist=true"),
];

/// What is known while a seed runs.
struct Course {
    random: Generator,
    root: String,
    /// Steps that made in-order keys, with the path.
    in_order: Vec<(usize, String)>,
}

impl Course {
    fn path(&mut self) -> String {
        if self.random.one_in(8)
            && let Some((step, path)) = self.in_order.last()
        {
            return format!("{path}/@{step}");
        }
        format!("{}{}", self.root, self.random.pick(&PATHS))
    }

    fn request(&mut self, step: usize) -> Request {
        let mut path = self.path();
        let mut fields: Vec<String> = Vec::new();
        let method = match self.random.below(10) {
            0..6 => "PUT",
            6 => "POST",
            _ => "DELETE",
        };
        let field = |random: &mut Generator, fields: &mut Vec<String>, one_in, texts: &[&str]| {
            if random.one_in(one_in) {
                fields.push(random.pick(texts).to_owned());
            }
        };
        let random = &mut self.random;
        if method == "DELETE" {
            field(random, &mut fields, 3, &["dir=true", "dir=1"]);
            field(random, &mut fields, 4, &["recursive=true"]);
        } else {
            field(random, &mut fields, 4, &["dir=true"]);
            if !fields.is_empty() && random.one_in(2) {
                fields.push("value=".to_owned());
            } else {
                let value = random.below(4);
                fields.push(format!("value=v+{value}%26"));
            }
            field(random, &mut fields, 5, &["ttl=500", "ttl=1000", "ttl="]);
            field(random, &mut fields, 3, &["prevExist=true", "prevExist=false"]);
            field(random, &mut fields, 30, &["ttl=x", "ttl=-1", "prevExist=maybe"]);
            field(random, &mut fields, 30, &["refresh=true", "refresh=x", "wait=true"]);
            field(random, &mut fields, 40, &["noValueOnSuccess=true"]);
        }
        field(random, &mut fields, 9, &["prevValue=v+1%26", "prevValue=v+2%26", "prevValue="]);
        field(random, &mut fields, 40, &["prevIndex=x", "prevIndex=0"]);
        if random.one_in(6) {
            let back = usize::try_from(random.below(12)).unwrap();
            fields.push(format!("prevIndex=@{}", step.saturating_sub(back)));
        }
        let text = fields.join("&");
        let in_query = method == "DELETE" || random.one_in(4);
        if method == "POST" {
            self.in_order.push((step, path.clone()));
        }
        if in_query {
            path = format!("{path}?{text}");
        }
        let form = if in_query { String::new() } else { text };
        Request { method, path: format!("/v2/keys{path}"), form }
    }
}

/// Leaves out what is decided otherwise here: a refresh makes no index.
fn is_left_out(request: &Request) -> bool {
    let text = format!("{}&{}", request.path, request.form);
    text.contains("refresh=true") && text.contains("ttl=")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v2_writes_are_alike() {
    let etcd = Etcd::start().await;
    let ours = Ours::start().await;
    let mut theirs = Side::new(&etcd.endpoint);
    let mut ours_side = Side::new(&ours.endpoint);
    let mut step = 0;
    for (method, path, form) in ROOT {
        step += 1;
        let path = format!("/v2/keys{path}");
        let request = Request { method, path, form: form.to_owned() };
        let expected = theirs.ask(step, &request).await;
        assert_eq!(ours_side.ask(step, &request).await, expected, "left is ours: {request:?}");
    }
    for seed in SEEDS {
        let root = format!("/seed{seed}");
        let random = Generator::new(seed + 1000);
        let mut course = Course { random, root: root.clone(), in_order: Vec::new() };
        let mut watched: Vec<(usize, String)> = Vec::new();
        for _ in 0..STEPS {
            step += 1;
            let request = course.request(step);
            if is_left_out(&request) {
                continue;
            }
            let expected = theirs.ask(step, &request).await;
            let found = ours_side.ask(step, &request).await;
            assert_eq!(found, expected, "left is ours, seed {seed} step {step}: {request:?}");
            if let Some(key) = expected.1.pointer("/node/key").and_then(Value::as_str)
                && !key.contains('#')
            {
                watched.push((step, key.to_owned()));
            }
            let all = read(&format!("{root}?recursive=true&sorted=true"));
            let expected = sorted(theirs.ask(step, &all).await);
            let found = sorted(ours_side.ask(step, &all).await);
            assert_eq!(found, expected, "left is ours, seed {seed} after step {step}: {request:?}");
        }
        // Each of these has something to tell at once.
        for (step, key) in watched {
            for recursive in ["", "&recursive=true"] {
                let back = step.saturating_sub(usize::try_from(course.random.below(20)).unwrap());
                let from = (back..=step).find(|step| theirs.indexes.contains_key(step)).unwrap();
                let wait = read(&format!("{key}?wait=true&waitIndex=@{from}{recursive}"));
                let expected = without_ttl(theirs.ask(step, &wait).await);
                let found = without_ttl(ours_side.ask(step, &wait).await);
                if found != expected && only_in_the_past(&expected.1, &key) {
                    continue;
                }
                assert_eq!(found, expected, "left is ours, seed {seed}: {wait:?}");
            }
        }
    }
    ours.end().await;
    etcd.end().await;
}

/// Tells whether etcd tells of this only when it looks back, and a watch that waits (as ours
/// always) would not be told: of a hidden key, and of the end of a directory above where nothing
/// was at the path itself.
fn only_in_the_past(told: &Value, watched: &str) -> bool {
    let key = told.pointer("/node/key").and_then(Value::as_str).unwrap_or_default();
    let hidden = key.strip_prefix(watched).is_some_and(|rest| rest.contains("/_"));
    hidden || watched.strip_prefix(key).is_some_and(|rest| rest.starts_with('/'))
}

/// Leaves times to live out: of a past change we tell only those that still run.
fn without_ttl((status, mut json): (u16, Value)) -> (u16, Value) {
    for node in ["node", "prevNode"] {
        if let Some(Value::Object(fields)) = json.get_mut(node) {
            fields.remove("ttl");
            fields.remove("expiration");
        }
    }
    (status, json)
}

/// Sorts in-order names, which are normalised, by their writes.
fn sorted((status, mut json): (u16, Value)) -> (u16, Value) {
    fn sort(fields: &mut Map<String, Value>) {
        if let Some(Value::Array(nodes)) = fields.get_mut("nodes") {
            nodes.sort_by_key(|node| node["key"].as_str().map(str::to_owned));
            nodes.iter_mut().filter_map(Value::as_object_mut).for_each(sort);
        }
    }
    if let Some(Value::Object(node)) = json.get_mut("node") {
        sort(node);
    }
    (status, json)
}
