//! The load balancer: HTTP/1.1 and TCP listeners in front of services whose endpoints come as
//! tables.
//!
//! [`Proxy::start`] serves until [`Proxy::shutdown`]. A [`Table`] says where each service is; a
//! newer one is followed without a reload and without closing a connection. An endpoint that a
//! table withdraws gets no new request, and [`Proxy::acknowledged`] says from when on that is
//! certain. What is decided is decided in plain functions: [`balance`], [`health`], [`retry`],
//! [`difference`], [`expiry`], [`headers`].

pub mod balance;
mod check;
mod config;
mod connect;
mod control;
pub mod difference;
mod directive;
mod endpoint;
pub mod expiry;
pub mod headers;
pub mod health;
mod holder;
mod http1;
mod listening;
mod proxy;
pub mod retry;
mod socket;
mod status;
mod table;
mod tcp;
mod worker;

pub use check::{CheckError, check};
pub use config::{Check, Limits, ListenerConfig, Protocol, ProxyConfig};
pub use holder::SocketHolder;
pub use proxy::{Proxy, Shutdown, StartError};
pub use status::{EndpointState, EndpointStatus, ListenerStatus, ProxyStatus, ServiceStatus};
pub use table::{Endpoint, Published, Standing, Table, TableError};
