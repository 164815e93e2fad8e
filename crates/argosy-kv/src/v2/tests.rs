//! The v2 and v1 views over keys that v3 wrote.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::state::tests::Feed;
use crate::{Op, PutRequest, SpaceId, Txn, v1};

fn stage(keys: &[&'static str]) -> Feed {
    let mut feed = Feed::default();
    for key in keys {
        feed.put(key, "x");
    }
    feed
}

fn render(node: &Node, indent: usize, out: &mut String) {
    let name = if node.dir { format!("{}/", node.key) } else { node.key.clone() };
    let Node { created_index, modified_index, .. } = node;
    *out += &format!("{:indent$}{name} {created_index} {modified_index}\n", "");
    for child in &node.nodes {
        render(child, indent + 2, out);
    }
}

fn check(feed: &Feed, path: &str, recursive: bool, expected: Expect) {
    let shown = match get(&feed.state, path, recursive, true) {
        Ok(node) => {
            let mut out = String::new();
            render(&node, 0, &mut out);
            out
        }
        Err(Error { code, message, cause, index }) => {
            format!("{code} {message} ({cause}) [{index}]\n")
        }
    };
    expected.assert_eq(&shown);
}

#[test]
fn a_directory_is_made_of_the_keys_below_it() {
    let feed = stage(&["/a/b", "/a/c/d", "/a/c/e", "/f"]);
    check(
        &feed,
        "/",
        false,
        expect![[r#"
        // 0 0
          /a/ 2 2
          /f 5 5
    "#]],
    );
    check(
        &feed,
        "/",
        true,
        expect![[r#"
        // 0 0
          /a/ 2 2
            /a/b 2 2
            /a/c/ 3 3
              /a/c/d 3 3
              /a/c/e 4 4
          /f 5 5
    "#]],
    );
    check(
        &feed,
        "/a",
        false,
        expect![[r#"
        /a/ 2 2
          /a/b 2 2
          /a/c/ 3 3
    "#]],
    );
    check(
        &feed,
        "a//./x/../c/",
        true,
        expect![[r#"
        /a/c/ 3 3
          /a/c/d 3 3
          /a/c/e 4 4
    "#]],
    );
    check(
        &feed,
        "/f",
        true,
        expect![[r#"
        /f 5 5
    "#]],
    );
    check(
        &Feed::default(),
        "/",
        true,
        expect![[r#"
        // 0 0
    "#]],
    );
}

#[test]
fn what_is_not_there_is_named() {
    let feed = stage(&["/a/b"]);
    check(
        &feed,
        "/nope",
        false,
        expect![[r#"
        100 Key not found (/nope) [2]
    "#]],
    );
    check(
        &feed,
        "/a/nope/deeper",
        false,
        expect![[r#"
        100 Key not found (/a/nope) [2]
    "#]],
    );
    check(
        &feed,
        "/a/b/c",
        false,
        expect![[r#"
        104 Not a directory (/a/b) [2]
    "#]],
    );
}

#[test]
fn a_directory_hides_a_key_of_its_name() {
    let mut feed = stage(&["/a", "/a-b", "/a/b", "/a0"]);
    check(
        &feed,
        "/",
        false,
        expect![[r#"
        // 0 0
          /a/ 4 4
          /a-b 3 3
          /a0 5 5
    "#]],
    );
    check(
        &feed,
        "/a",
        false,
        expect![[r#"
        /a/ 4 4
          /a/b 4 4
    "#]],
    );
    feed.delete("/a/b");
    check(
        &feed,
        "/a",
        false,
        expect![[r#"
        /a 2 2
    "#]],
    );
}

#[test]
fn hidden_nodes_are_read_but_not_listed() {
    let feed = stage(&["/_h/x", "/a/_s", "/a/t", "/only/_s"]);
    check(
        &feed,
        "/",
        true,
        expect![[r#"
        // 0 0
          /a/ 3 3
            /a/t 4 4
          /only/ 5 5
    "#]],
    );
    check(
        &feed,
        "/_h",
        false,
        expect![[r#"
        /_h/ 2 2
          /_h/x 2 2
    "#]],
    );
    check(
        &feed,
        "/a/_s",
        false,
        expect![[r#"
        /a/_s 3 3
    "#]],
    );
}

#[test]
fn keys_without_a_path_are_not_seen() {
    let mut feed = stage(&["no-slash", "/", "//x", "/d//y", "/d/.", "/d/..", "/e/", "/d/z"]);
    for key in [&b"/d/\xff"[..], &[b"/".as_slice(), &b"x/".repeat(200), b"y"].concat()] {
        let put = PutRequest::new(key.to_vec(), "x");
        feed.txn(Txn::unconditional(vec![Op::Put(SpaceId::User, put)]));
    }
    check(
        &feed,
        "/",
        true,
        expect![[r#"
        // 0 0
          /d/ 9 9
            /d/z 9 9
    "#]],
    );
    check(
        &feed,
        "/e",
        true,
        expect![[r#"
        100 Key not found (/e) [11]
    "#]],
    );
}

#[test]
fn indexes_follow_v2() {
    let mut feed = stage(&["/a"]);
    feed.put("/a", "y");
    check(
        &feed,
        "/a",
        false,
        expect![[r#"
        /a 3 3
    "#]],
    );
    assert_eq!(feed.get("/a").unwrap().create_revision, 2, "v3 counts from the first put");
}

#[test]
fn v1_shows_a_key_or_a_flat_list() {
    let mut feed = stage(&["/d/a", "/d/b/c"]);
    feed.grant(9, 10);
    feed.put_leased("/database", "10.0.0.1", 9);
    let Ok(v1::Get::Key(node)) = v1::get(&feed.state, "/database") else { panic!("no key") };
    assert_eq!((node.value, node.index, node.lease), (Some("10.0.0.1".into()), 5 - 1, 9));
    let Ok(v1::Get::Directory(nodes)) = v1::get(&feed.state, "/d") else { panic!("no list") };
    let shown: Vec<_> = nodes.iter().map(|node| (node.key.as_str(), node.dir)).collect();
    assert_eq!(shown, [("/d/a", false), ("/d/b", true)]);
    assert_eq!(v1::get(&feed.state, "/x").unwrap_err().code, 100);
}

fn key() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "a-", "_c", "", "."]), 1..4)
        .prop_map(|parts| format!("/{}", parts.join("/")))
}

/// Collects the paths of all keys below a node.
fn files(node: &Node, out: &mut Vec<String>) {
    if !node.dir {
        out.push(node.key.clone());
    }
    node.nodes.iter().for_each(|child| files(child, out));
}

proptest! {
    #[test]
    fn a_recursive_listing_has_every_key_once(keys in prop::collection::btree_set(key(), 0..20)) {
        let mut feed = Feed::default();
        for key in &keys {
            let put = PutRequest::new(key.clone(), "x");
            feed.txn(Txn::unconditional(vec![Op::Put(SpaceId::User, put)]));
        }
        let clean = |key: &&String| key[1..].split('/').all(|part| !part.is_empty() && part != ".");
        let nameable: Vec<&String> = keys.iter().filter(clean).collect();
        let is_directory =
            |key: &str| nameable.iter().any(|other| other.starts_with(&format!("{key}/")));
        let mut expected: Vec<String> = nameable
            .iter()
            .filter(|key| !key.contains("/_") && !is_directory(key))
            .map(|key| (*key).clone())
            .collect();
        let mut listed = Vec::new();
        files(&get(&feed.state, "/", true, false).unwrap(), &mut listed);
        expected.sort();
        listed.sort();
        prop_assert_eq!(listed, expected);
        for key in &nameable {
            let node = get(&feed.state, key, false, true).unwrap();
            prop_assert_eq!(node.dir, is_directory(key));
            prop_assert!(node.nodes.is_sorted_by(|a, b| a.key < b.key));
        }
    }
}
