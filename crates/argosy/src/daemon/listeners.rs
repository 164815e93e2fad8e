//! The store's client addresses: bound together or not at all.

use std::net::SocketAddr;

use argosy_api::{ApiError, ErrorCode};
use tokio::net::TcpListener;

/// Binds every address. One that cannot be bound gives all back.
pub(crate) async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ApiError> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            ApiError::new(ErrorCode::Conflict, format!("cannot listen on {address}: {error}"))
                .with_help("stop what uses the address, or choose others with --client-listen")
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Returns the addresses as URLs.
pub(crate) fn urls(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(|address| format!("http://{address}")).collect()
}
