//! The same keys in etcd's v2 store and ours: reads give the same status and JSON. Only the
//! indexes differ, because etcd counts v2 changes apart from v3 revisions.

use serde_json::Value;

use crate::debian::Etcd;
use crate::http::send;
use crate::ours::Ours;

/// Keys written to both.
const KEYS: [&str; 9] = [
    "/a",
    "/dir/one",
    "/dir/two",
    "/dir/sub/deep",
    "/dir/_hidden",
    "/dir/sub/_x/y",
    "/b",
    "/_top",
    "/space%20d",
];

/// Paths and queries read from both. Without `sorted` etcd's order is random.
const READS: [&str; 30] = [
    "/?sorted=true",
    "?sorted=1",
    "/?recursive=true&sorted=true",
    "/a",
    "/a/",
    "//a",
    "/a?recursive=true",
    "/a?quorum=true",
    "/dir?sorted=true",
    "/dir/?sorted=true",
    "/dir?recursive=true&sorted=true",
    "/dir/sub?sorted=true",
    "/dir/sub?recursive=1&sorted=t",
    "/dir/sub/_x?sorted=true",
    "/dir/_hidden",
    "/_top",
    "/space%20d",
    "/missing",
    "/dir/missing",
    "/a/b",
    "/a/b/c",
    "/dir/one/x",
    "/di",
    "/dir/on",
    "/dir/../a",
    "/dir?recursive=yes",
    "/dir?sorted=",
    "/dir?waitIndex=x",
    "/dir?quorum=2",
    "/dir?stream=no",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v2_reads_are_alike() {
    let etcd = Etcd::start().await;
    let ours = Ours::start().await;
    for key in KEYS {
        let path = format!("/v2/keys{key}");
        let (status, _, body) = send(&etcd.endpoint, "PUT", &path, "value=some+%3Cvalue%3E").await;
        assert_eq!(status, 201, "{body}");
        ours.clients.put(&key.replace("%20", " "), "some <value>").await;
    }
    for read in READS {
        let expected = get(&etcd.endpoint, read).await;
        assert_eq!(get(&ours.endpoint, read).await, expected, "left is ours: {read}");
    }
    ours.end().await;
    etcd.end().await;
}

/// Reads a path; follows the redirection with which etcd's multiplexer cleans one.
async fn get(endpoint: &str, read: &str) -> (u16, Value) {
    let mut path = format!("/v2/keys{read}");
    let (mut status, head, mut body) = send(endpoint, "GET", &path, "").await;
    if status == 301 {
        let location = head.lines().find_map(|line| line.strip_prefix("location: "));
        location.unwrap().clone_into(&mut path);
        (status, _, body) = send(endpoint, "GET", &path, "").await;
    }
    let mut json = serde_json::from_str(&body).unwrap_or_else(|_| panic!("JSON in {body:?}"));
    blank(&mut json);
    (status, json)
}

/// Makes every index 1, so that only its presence is compared.
fn blank(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "modifiedIndex" | "createdIndex" | "index" => *value = 1.into(),
                    _ => blank(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(blank),
        _ => {}
    }
}
