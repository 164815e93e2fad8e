//! Which listeners are open: those of the configuration always, those of the table as it says.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::directive::ListenerCell;
use crate::socket::Opened;
use crate::{ListenerConfig, ProxyConfig, Published, SocketHolder, holder, socket};

/// The listeners, and those that could not be opened.
pub(crate) struct Listening {
    workers: usize,
    published_at: Option<IpAddr>,
    /// Who holds the sockets of published ports.
    holder: Option<Arc<dyn SocketHolder>>,
    configured: Vec<Arc<ListenerCell>>,
    published: Vec<Arc<ListenerCell>>,
    lacking: Vec<(ListenerConfig, String)>,
}

impl Listening {
    pub(crate) fn new(config: &ProxyConfig, configured: Vec<Arc<ListenerCell>>) -> Listening {
        Listening {
            workers: config.workers.max(1),
            published_at: config.published_at,
            holder: config.holder.clone(),
            configured,
            published: Vec::new(),
            lacking: Vec::new(),
        }
    }

    /// Opens what a table publishes anew and closes what it publishes no more. A port that leads
    /// elsewhere now is opened anew, for connections belong to one service.
    pub(crate) fn follow(&mut self, published: &[Published]) {
        let Some(at) = self.published_at else { return };
        let wanted: Vec<ListenerConfig> = published
            .iter()
            .map(|one| ListenerConfig {
                address: SocketAddr::new(at, one.port),
                protocol: one.protocol,
                service: one.service.clone(),
            })
            .collect();
        self.published.retain(|cell| {
            let kept = wanted.contains(&cell.config);
            if !kept {
                // Those that a worker has taken it closes itself.
                (0..self.workers).for_each(|worker| drop(cell.take_socket(worker)));
                if let Some(holder) = self.holder.as_deref() {
                    holder::close(holder, cell.address, self.workers);
                }
            }
            kept
        });
        let is_open = |config: &ListenerConfig| self.published.iter().any(|c| &c.config == config);
        let lacking = wanted.iter().filter(|config| !is_open(config));
        self.lacking = lacking.map(|config| (config.clone(), String::new())).collect();
        self.try_again();
    }

    /// Tries to open what is lacking; tells whether anything changed.
    pub(crate) fn try_again(&mut self) -> bool {
        let mut changed = false;
        for (config, before) in std::mem::take(&mut self.lacking) {
            match self.open_at(config.address) {
                Ok(opened) => {
                    tracing::info!(address = %config.address, service = config.service, "listens");
                    self.published.push(Arc::new(ListenerCell::new(config, opened)));
                    changed = true;
                }
                Err(error) => {
                    let why = error.to_string();
                    if why != before {
                        tracing::warn!(address = %config.address, %error, "cannot listen");
                        changed = true;
                    }
                    self.lacking.push((config, why));
                }
            }
        }
        changed
    }

    fn open_at(&self, address: SocketAddr) -> io::Result<Opened> {
        match self.holder.as_deref() {
            Some(holder) => holder::open(holder, address, self.workers),
            None => socket::listen(address, self.workers),
        }
    }

    /// Lets go of sockets that an earlier proxy had held and no table asks for. To be called only
    /// once there is a table that is not older than that proxy's last one.
    pub(crate) fn release_rest(&self) {
        if let Some(holder) = self.holder.as_deref()
            && let Err(error) = holder.release_rest()
        {
            tracing::warn!(%error, "sockets of closed ports are still held");
        }
    }

    pub(crate) fn is_lacking(&self) -> bool {
        !self.lacking.is_empty()
    }

    /// Returns the open ones, those of the configuration first.
    pub(crate) fn open(&self) -> Vec<Arc<ListenerCell>> {
        self.configured.iter().chain(&self.published).cloned().collect()
    }

    /// Returns one line for each that is lacking.
    pub(crate) fn problems(&self) -> Vec<String> {
        let line = |(config, why): &(ListenerConfig, String)| {
            format!("cannot listen on {} for {}: {why}", config.address, config.service)
        };
        self.lacking.iter().map(line).collect()
    }
}
