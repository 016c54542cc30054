//! What no client can bring about. Everything else is in `tests/simulation.rs`.

use std::num::NonZeroUsize;
use std::time::UNIX_EPOCH;

use super::*;

fn shard(now: Instant) -> Shard {
    let address = SocketAddr::from(([192, 0, 2, 1], 40_000));
    let shards = NonZeroUsize::new(1).and_then(Shards::new).unwrap();
    let config = Arc::new(Config::default());
    let seed = ShardSeed {
        id: shards.all().next().unwrap(),
        shards,
        listen: config.server.listen.clone().into(),
        config,
        plane: rtc::PlaneConfig {
            identity: rtc::Identity::generate().unwrap(),
            sockets: vec![rtc::MediaSocket {
                bound: address,
                advertised: address,
            }],
            limits: rtc::PlaneLimits::default(),
            seed: [1; 32],
        },
        random: [2; 32],
        totals: Arc::new(Totals::new(1)),
        auth: None,
        rooms: Vec::new(),
        store: Windows::new(1),
    };
    Shard::new(now, UNIX_EPOCH, seed).unwrap()
}

#[test]
fn a_panic_ends_the_connection_that_it_was_in() {
    let now = Instant::now();
    let mut shard = shard(now);
    let peer = SocketAddr::from(([198, 51, 100, 1], 1_024));
    let [struck, other] = [(); 2].map(|()| shard.accepted(now, peer).unwrap());
    let publish = "PUT /api/media/devices/cam-1/video HTTP/1.1\r\nHost: 127.0.0.1:30006\r\n\
                   Content-Type: video/h264\r\nTransfer-Encoding: chunked\r\n\r\n";
    shard.received(now, struck, publish.as_bytes());
    let device = DeviceId::try_from("cam-1").unwrap();
    assert!(shard.devices[&device].is_live());

    shard.with(now, struck, |_, _| panic!("a fault of the server"));
    assert_eq!(std::mem::take(&mut shard.outbox.dirty), [struck]);
    assert_eq!(shard.wrote(now, struck, 0), Flushed::Close);
    assert!(!shard.devices[&device].is_live(), "what it held is free");
    assert_eq!(shard.metrics.panics, 1);

    let health = "GET /health HTTP/1.1\r\nHost: 127.0.0.1:30006\r\n\r\n";
    shard.received(now, other, health.as_bytes());
    assert!(shard.output(other).starts_with(b"HTTP/1.1 200 "));
    assert_eq!(shard.totals.sum(Total::Connections), 1);
}
