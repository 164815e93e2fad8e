//! The words of the two local interfaces, and HTTP/1.1 with JSON over unix sockets.
//!
//! [`local`] is spoken on `/run/argosy/supervisor.sock` by the supervisor about one machine's
//! units; [`operator`] on `/run/argosy/api.sock` by the daemon about the cluster, and there
//! [`traffic`] with proxies. Both use the
//! same error body, status view and journal line, so one client serves both.

mod client;
mod error;
pub mod images;
pub mod journal_line;
pub mod local;
pub mod operator;
mod server;
mod status_view;
pub mod traffic;
mod unit_container;

pub use client::{
    ByteStream, Client, ClientError, Connect, Connecting, Forwarded, HOPS_HEADER, LineStream,
    NOTE_HEADER, Stream,
};
pub use error::{ApiError, ErrorBody, ErrorCode, chain};
pub use server::{Peer, bind_unix, serve_unix};
pub use status_view::{EpochView, ExitView, StatusViewError, UnitStatusView};
pub use unit_container::UnitContainer;
