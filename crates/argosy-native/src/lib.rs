//! The native unit backend: the supervisor process and the client that drives it.
//!
//! [`supervisor_main`] is the process that the keeper starts: one loop that hands every event to
//! [`argosy_supervisor::Supervisor`] and sends what follows as one commit to the keeper, copies
//! the units' output into the journal exactly once, and serves `RUNTIME_DIR/supervisor.sock`.
//! [`NativeBackend`] is the daemon's end of that socket.

mod accounts;
mod backend;
mod backend_wire;
mod call;
mod clock;
mod config;
mod engine;
mod environment;
mod error;
mod expand;
mod lines;
mod machine_facts;
mod output;
mod private;
mod process;
mod server;
mod shell;
mod spawn;
mod text_file;
mod unit_files;
mod unit_store;

pub use backend::NativeBackend;
pub use config::NativeConfig;
pub use engine::docker_is_ours;
pub use error::NativeError;
pub use process::{check_places, supervisor_main};
