//! The server in front of a real store, against Debian's etcdctl and etcd.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod browser;
mod clients;
mod debian;
mod differential;
mod etcdctl;
mod http;
mod kv;
mod lease;
mod limits;
mod ours;
mod v1;
mod v2;
mod watch;
