//! Names of registries to addresses, without the C library, which a static program cannot ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_resolver::TokioResolver;
use tokio::sync::OnceCell;

use super::failure::RegistryError;
use super::settings::host_of;

/// Looks names up in `/etc/hosts` and by the servers of `/etc/resolv.conf`.
#[derive(Default)]
pub(super) struct Names {
    resolver: OnceCell<TokioResolver>,
}

impl Names {
    pub(super) async fn addresses(
        &self,
        authority: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, RegistryError> {
        let host = host_of(authority);
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        if host == "localhost" {
            let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Ok(loopback.map(|address| SocketAddr::new(address, port)).to_vec());
        }
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| RegistryError::Resolve {
            host: host.to_owned(),
            source,
        };
        let resolver = self
            .resolver
            .get_or_try_init(|| async { TokioResolver::builder_tokio()?.build() })
            .await
            .map_err(|error| failed(Box::new(error)))?;
        let found = resolver.lookup_ip(host).await.map_err(|error| failed(Box::new(error)))?;
        Ok(found.iter().map(|address| SocketAddr::new(address, port)).collect())
    }
}
