//! Networks of containers on one machine: without a daemon, and without any outside program.
//!
//! Definitions and reservations are files ([`Networks`]). What must be done for a running container
//! is done by its *companion*: this program again, started before the container's own program is
//! executed, which stays for the container's life.
//!
//! ```text
//!  Networks::reserve --Endpoint--> CompanionRequest --companion_main--> bridge, veth (in the namespace)
//!                                                    packet filter tables (owned by its sockets)
//!                                                    listening sockets, names, store ports
//! ```
//!
//! Nothing is left behind, however a companion ends: the kernel removes tables with the socket that
//! owns them, sockets with their process, and both ends of a veth with the container's namespace.
//! Only a bridge stays, for the next container; [`Networks::release`] and [`Networks::collect`] take
//! away one that nobody uses.

mod allocate;
mod companion;
mod dns;
mod error;
mod files;
mod mac;
mod networks;
mod ports;
mod request;
mod spec;
mod sys;
mod texts;

pub use companion::{COMPANION_ROLE, companion_main};
pub use error::{NetworkError, PublishError};
pub use ipnet::IpNet;
pub use mac::Mac;
pub use networks::{Attach, Attached, Networks, ReserveRequest};
pub use ports::{Ports, Protocol, Publish};
pub use request::{CompanionRequest, Published, PublishedPort, StorePort, published};
pub use spec::{DEFAULT_NETWORK, Driver, Endpoint, Network, NetworkSpec, Subnet};
pub use texts::{RESOLVER, ResolverOptions, hosts, resolv_conf};
