//! Messages to the kernel about the network of a namespace: links, addresses and routes by
//! rtnetlink(7), packet filter tables by nf_tables. No outside program, no daemon, no `unsafe`.
//!
//! A socket belongs to the network namespace in which its thread was when it was opened.

mod conntrack;
mod message;
mod netfilter;
mod route;
mod socket;

pub use conntrack::Connections;
pub use netfilter::{Chain, ChainKind, Family, Hook, NfTables, Rule, Table};
pub use route::{End, Link, Namespace, Route, RouteSocket};
