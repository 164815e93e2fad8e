//! Debian's etcdctl (3.4) against the server.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::clients::PATIENCE;
use crate::debian::{etcdctl, run};
use crate::ours::Ours;

/// Runs one command that must succeed.
async fn ctl(server: &Ours, arguments: &[&str]) -> String {
    input(server, arguments, "").await
}

async fn input(server: &Ours, arguments: &[&str], text: &str) -> String {
    match run(&server.endpoint, arguments, text).await {
        Ok(output) => output,
        Err(error) => panic!("etcdctl {arguments:?}: {error}"),
    }
}

/// Runs one command that must fail and returns what it complained about.
async fn fails(server: &Ours, arguments: &[&str]) -> String {
    run(&server.endpoint, arguments, "").await.expect_err("the command fails")
}

/// A running `etcdctl` whose lines are read one by one.
struct Following {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    fn start(server: &Ours, arguments: &[&str]) -> Following {
        let mut child = etcdctl(&server.endpoint, arguments).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Following { _child: child, lines }
    }

    async fn expect(&mut self, lines: &[&str]) {
        for expected in lines {
            let line = timeout(PATIENCE, self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("{expected:?} in time")).unwrap();
            assert_eq!(line.as_deref(), Some(*expected), "of {lines:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_get_and_del() {
    let server = Ours::start().await;
    assert_eq!(ctl(&server, &["put", "k1", "one"]).await, "OK\n");
    assert_eq!(ctl(&server, &["put", "k2", "two"]).await, "OK\n");
    assert_eq!(input(&server, &["put", "k3"], "from stdin\n").await, "OK\n");
    assert_eq!(ctl(&server, &["put", "--prev-kv", "k1", "uno"]).await, "OK\nk1\none\n");
    assert_eq!(ctl(&server, &["get", "k1"]).await, "k1\nuno\n");
    assert_eq!(ctl(&server, &["get", "--rev", "2", "k1"]).await, "k1\none\n");
    assert_eq!(ctl(&server, &["get", "missing"]).await, "");
    assert_eq!(ctl(&server, &["get", "--prefix", "--keys-only", "k"]).await, "k1\n\nk2\n\nk3\n\n");
    let sorted = ["get", "--prefix", "k", "--sort-by=MODIFY", "--order=DESCEND", "--limit=2"];
    assert_eq!(ctl(&server, &sorted).await, "k1\nuno\nk3\nfrom stdin\n\n");
    assert_eq!(
        ctl(&server, &["get", "k2", "--from-key", "--print-value-only"]).await,
        "two\nfrom stdin\n\n"
    );
    let fields = ctl(&server, &["get", "k1", "-w", "fields"]).await;
    for field in ["\"Revision\" : 5", "\"CreateRevision\" : 2", "\"Version\" : 2", "\"Count\" : 1"]
    {
        assert!(fields.contains(field), "{field} in {fields}");
    }
    assert_eq!(ctl(&server, &["del", "k1", "k3", "--prev-kv"]).await, "2\nk1\nuno\nk2\ntwo\n");
    assert_eq!(ctl(&server, &["del", "--prefix", ""]).await, "1\n");
    assert_eq!(ctl(&server, &["del", "k1"]).await, "0\n");
    assert!(fails(&server, &["get", "--rev", "99", "k1"]).await.contains("future revision"));
    assert_eq!(ctl(&server, &["compact", "6"]).await, "compacted revision 6\n");
    assert!(fails(&server, &["get", "--rev", "5", "k1"]).await.contains("has been compacted"));
    assert!(fails(&server, &["compact", "6"]).await.contains("has been compacted"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions() {
    let server = Ours::start().await;
    ctl(&server, &["put", "k", "v"]).await;
    let script = "value(\"k\") = \"v\"\nmod(\"k\") > \"1\"\n\nput k w\nget k\n\nget k\n\n";
    assert_eq!(input(&server, &["txn"], script).await, "SUCCESS\n\nOK\n\nk\nw\n");
    assert_eq!(input(&server, &["txn"], script).await, "FAILURE\n\nk\nw\n");
    let interactive = input(&server, &["txn", "-i"], "create(\"n\") = \"0\"\n\ndel k\n\n\n").await;
    assert!(interactive.starts_with("compares:\n"), "{interactive}");
    assert!(interactive.ends_with("SUCCESS\n\n1\n"), "{interactive}");
    let twice = run(&server.endpoint, &["txn"], "\nput a 1\nput a 2\n\n\n").await.unwrap_err();
    assert!(twice.contains("duplicate key given in txn request"), "{twice}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches() {
    let server = Ours::start().await;
    ctl(&server, &["put", "k1", "a"]).await;
    ctl(&server, &["put", "other", "x"]).await;
    ctl(&server, &["del", "k1"]).await;
    let mut history = Following::start(&server, &["watch", "--rev", "2", "--prefix", "k"]);
    history.expect(&["PUT", "k1", "a", "DELETE", "k1", ""]).await;
    let mut before = Following::start(&server, &["watch", "--rev", "4", "--prev-kv", "k1", "k9"]);
    before.expect(&["DELETE", "k1", "a", "k1", ""]).await;
    ctl(&server, &["put", "k2", "b"]).await;
    history.expect(&["PUT", "k2", "b"]).await;
    before.expect(&["PUT", "k2", "b"]).await;
    ctl(&server, &["compact", "5"]).await;
    let compacted = fails(&server, &["watch", "--rev", "3", "k1"]).await;
    assert!(compacted.contains("required revision has been compacted"), "{compacted}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases() {
    let server = Ours::start().await;
    let granted = ctl(&server, &["lease", "grant", "600"]).await;
    let id = granted.split_whitespace().nth(1).unwrap().to_owned();
    assert_eq!(granted, format!("lease {id} granted with TTL(600s)\n"));
    ctl(&server, &["put", "--lease", &id, "k2", "v"]).await;
    ctl(&server, &["put", "--lease", &id, "k1", "v"]).await;
    let listed = ctl(&server, &["lease", "list"]).await;
    assert_eq!(listed, format!("found 1 leases\n{id}\n"));
    let kept = ctl(&server, &["lease", "keep-alive", "--once", &id]).await;
    assert_eq!(kept, format!("lease {id} keepalived with TTL(600)\n"));
    let left = ctl(&server, &["lease", "timetolive", "--keys", &id]).await;
    let start = format!("lease {id} granted with TTL(600s), remaining(");
    assert!(left.starts_with(&start) && left.ends_with("attached keys([k1 k2])\n"), "{left}");
    assert_eq!(ctl(&server, &["lease", "revoke", &id]).await, format!("lease {id} revoked\n"));
    assert_eq!(ctl(&server, &["get", "--prefix", "k"]).await, "");
    let gone = fails(&server, &["lease", "revoke", &id]).await;
    assert!(gone.contains("requested lease not found"), "{gone}");
    let gone = fails(&server, &["put", "--lease", &id, "k", "v"]).await;
    assert!(gone.contains("requested lease not found"), "{gone}");
    let gone = ctl(&server, &["lease", "timetolive", &id]).await;
    assert_eq!(gone, format!("lease {id} already expired\n"));
    let gone = fails(&server, &["lease", "keep-alive", "--once", &id]).await;
    assert!(gone.contains("requested lease not found"), "{gone}");
    let gone = ctl(&server, &["lease", "keep-alive", &id]).await;
    assert_eq!(gone, format!("lease {id} expired or revoked.\n"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_of_the_server_and_locks() {
    let server = Ours::start().await;
    let members = ctl(&server, &["member", "list"]).await;
    let urls = format!("{},http://192.0.2.1:2379", server.endpoint);
    assert_eq!(members, format!("a7, started, mole, , {urls}, false\n"));
    // etcdctl 3.4 sends the whole URL as the HTTP/2 authority for this one command.
    let status = ctl(&server, &["endpoint", "status", "-w", "fields"]).await;
    for field in ["\"MemberID\" : 167", "\"Leader\" : 167", "\"IsLearner\" : false"] {
        assert!(status.contains(field), "{field} in {status}");
    }
    ctl(&server, &["endpoint", "health"]).await;
    assert_eq!(ctl(&server, &["alarm", "list"]).await, "");
    assert_eq!(ctl(&server, &["alarm", "disarm"]).await, "");
    assert_eq!(ctl(&server, &["lock", "name", "echo", "held"]).await, "held\n");
    let refused = fails(&server, &["user", "list"]).await;
    assert!(refused.contains("Unimplemented"), "{refused}");
    server.end().await;
}
