//! The server in front of a real store, against Debian's etcdctl and etcd.

mod clients;
mod debian;
mod differential;
mod etcdctl;
mod http;
mod lease;
mod ours;
mod watch;
