//! The etcd API in front of the store: v3 gRPC, v2 and v1 over HTTP.

mod fragment;
pub mod proto;
mod status;
mod validate;
