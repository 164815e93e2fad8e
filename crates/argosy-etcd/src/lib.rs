//! The etcd API in front of the store: v3 gRPC, v2 and v1 over HTTP.
//!
//! [`Server`] puts it on listening sockets. Requests are checked and converted in `request`,
//! answers in `answer`; the services only order the steps between.

mod answer;
mod api;
mod authority;
mod cluster_service;
mod fragment;
mod http;
mod kv_service;
mod leader_guard;
mod lease_service;
mod maintenance_service;
pub mod proto;
mod request;
mod server;
mod status;
mod watch_service;

pub use api::{OtherMember, Others, ServerInfo};
pub use server::{CONNECTIONS_MAX, Connections, Server};
