//! Serving HTTP on a unix socket, with the caller's user id known to every handler.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

/// Who is at the other end of the socket (SO_PEERCRED, unix(7)). Handlers take it as
/// `ConnectInfo<Peer>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user id; `None` when the kernel did not say, which counts as nobody.
    pub uid: Option<u32>,
    /// The process id, for messages only.
    pub pid: Option<i32>,
}

impl Peer {
    /// Tells whether the peer may change things: root, or the user this process runs as.
    pub fn may_write(self) -> bool {
        self.uid == Some(0) || self.uid == Some(rustix::process::geteuid().as_raw())
    }
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Peer { uid: credentials.map(|c| c.uid()), pid: credentials.and_then(|c| c.pid()) }
    }
}

/// Binds a unix socket at `path` with `mode`, replacing a socket that nobody listens on any more.
///
/// The caller must already hold whatever lock makes it the only server for `path`.
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(listener)
}

/// Serves `router` until `shutdown` resolves and the requests under way have ended.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router.into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(shutdown)
        .await
}
