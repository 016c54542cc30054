//! Every socket of the process, before the shards have them.

use std::net::SocketAddr;

use executor::{Listener, UdpPort, bind_all};
use rtc::MediaSocket;
use tracing::warn;

use super::LaunchError;
use crate::config::Config;
use crate::connection::Scope;
use crate::placement::{ShardId, Shards};

/// All that is bound.
pub(super) struct Sockets {
    pub(super) addresses: Addresses,
    /// In the order of the shards.
    pub(super) of_shards: Vec<ShardSockets>,
}

/// What one shard gets.
pub(super) struct ShardSockets {
    /// For TCP, each with what may be asked for through it.
    pub(super) listeners: Vec<(Listener, Scope)>,
    /// For UDP.
    pub(super) ports: Vec<UdpPort>,
    /// What those are, for the media plane.
    pub(super) media: Vec<MediaSocket>,
}

/// The addresses as they were bound.
pub(super) struct Addresses {
    /// HTTP and WebSocket.
    pub(super) http: Vec<SocketAddr>,
    /// Metrics and probes alone.
    pub(super) metrics: Vec<SocketAddr>,
    /// UDP, as viewers are told.
    pub(super) media: Vec<SocketAddr>,
}

impl Addresses {
    /// By what addresses clients may ask for the server.
    pub(super) fn own(&self) -> Vec<SocketAddr> {
        [&self.http[..], &self.metrics].concat()
    }
}

impl Sockets {
    pub(super) fn bind(config: &Config, shards: Shards) -> Result<Self, LaunchError> {
        let mut listeners: Vec<Vec<_>> = shards.all().map(|_| Vec::new()).collect();
        let mut addresses = Addresses {
            http: bind_tcp(&config.server.listen, Scope::Everything, &mut listeners)?,
            // A scrape comes now and then: one shard is enough.
            metrics: bind_tcp(&config.metrics.listen, Scope::Metrics, &mut listeners[..1])?,
            media: Vec::new(),
        };
        let open = |address: &&SocketAddr| !address.ip().to_canonical().is_loopback();
        for address in addresses.metrics.iter().filter(open) {
            warn!("metrics.listen: whoever reaches {address} reads the metrics, without a token");
        }
        let mut of_shards = Vec::new();
        for (id, listeners) in shards.all().zip(listeners) {
            let (ports, media) = bind_media(config, id)?;
            let advertised = media.iter().map(|socket| socket.advertised);
            addresses.media.extend(advertised);
            of_shards.push(ShardSockets {
                listeners,
                ports,
                media,
            });
        }
        Ok(Self {
            addresses,
            of_shards,
        })
    }
}

/// Listens on each of the addresses, on all of these shards: the addresses as they were bound.
fn bind_tcp(
    list: &[SocketAddr],
    scope: Scope,
    shards: &mut [Vec<(Listener, Scope)>],
) -> Result<Vec<SocketAddr>, LaunchError> {
    let mut addresses = Vec::new();
    for &address in list {
        let bound = bind_all(address, shards.len())?;
        addresses.extend(bound.first().map(Listener::local_addr));
        for (shard, listener) in shards.iter_mut().zip(bound) {
            shard.push((listener, scope));
        }
    }
    Ok(addresses)
}

/// The shard's UDP ports, one per media address.
fn bind_media(
    config: &Config,
    shard: ShardId,
) -> Result<(Vec<UdpPort>, Vec<MediaSocket>), LaunchError> {
    let port = config
        .media
        .port_of(shard)
        .ok_or(LaunchError::Shards(shard.index() + 1))?;
    let (mut ports, mut sockets) = (Vec::new(), Vec::new());
    for address in config.media_addresses() {
        let udp = UdpPort::bind(SocketAddr::new(address.bind, port))?;
        let bound = udp.local_addr();
        let advertised = SocketAddr::new(address.advertise, bound.port());
        sockets.push(MediaSocket { bound, advertised });
        ports.push(udp);
    }
    Ok((ports, sockets))
}
