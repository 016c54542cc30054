//! HTTP heads, and connections that move.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use executor::mailboxes;
use media_service::connection::Transfer;
use media_service::http::{Decoder, Event, HttpLimits};
use media_service::placement::ShardId;
use media_service::shard::{Flushed, Shard};

use crate::{CpuTime, hall};

/// What a browser sends with a request of the page.
const BROWSER: &str = "GET /api/media/sessions/8a6f3a52-6b8b-4d5e-9c37-0d3e6f1b2a49/stats HTTP/1.1\r\n\
    Host: 127.0.0.1:30006\r\nConnection: keep-alive\r\nsec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
    Accept: application/json\r\nsec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\n\
    Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n\
    Referer: http://127.0.0.1:30006/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n";
/// What a program sends.
const PLAIN: &str = "GET /api/media/sessions/8a6f3a52-6b8b-4d5e-9c37-0d3e6f1b2a49 HTTP/1.1\r\nHost: 127.0.0.1:30006\r\n\r\n";

/// A head is read, checked and taken apart.
pub(crate) fn head(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("http_head");
    group.throughput(Throughput::Elements(1));
    for (name, head) in [("program", PLAIN), ("browser", BROWSER)] {
        let mut decoder = Decoder::new(HttpLimits::default());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let (used, event) = decoder.decode(black_box(head.as_bytes())).expect("a head");
                assert!(matches!(event, Event::Head(_)));
                let (_, event) = decoder.decode(&head.as_bytes()[used..]).expect("its end");
                assert!(matches!(event, Event::End));
            });
        });
    }
}

/// A request on a connection of the other shard: it is packed, goes through the mailbox, is unpacked and answered. The
/// same request on its own shard is what it costs without the move. Without the descriptor's change of `epoll`.
pub(crate) fn hand_over(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("hand_over");
    group.throughput(Throughput::Elements(1));
    let now = hall::start();
    let mut shards = hall::shards(now, 2, |_| {});
    let requests: Vec<String> = (0..2)
        .map(|shard| request_for(&mut shards, shard))
        .collect();
    let (postbox, mut inboxes) = mailboxes::<(ShardId, Box<Transfer>)>(2, 64).expect("mailboxes");
    let mut mail = Vec::new();
    let mut ask = |from: usize, request: &str| {
        let mut id = hall::connect(&mut shards[from], now);
        let mut at = from;
        shards[from].received(now, id, request.as_bytes());
        for (moved, to, transfer) in std::mem::take(&mut shards[from].outbox().moves) {
            assert!(postbox.send(to.index(), (to, transfer)).is_ok());
            shards[from].moved(moved);
            inboxes[to.index()].receive(1, &mut mail);
            let (to, transfer) = mail.pop().expect("the mail");
            at = to.index();
            id = shards[at].adopt(now, *transfer);
        }
        let shard = &mut shards[at];
        shard.outbox().dirty.clear();
        let count = shard.output(id).len();
        assert!(shard.output(id).starts_with(b"HTTP/1.1 200 "));
        shard.wrote(now, id, count);
        shard.ended(now, id, false);
        assert_eq!(shard.wrote(now, id, 0), Flushed::Close);
        shard.outbox().dirty.clear();
        shard.flushed(now);
    };
    group.bench_function("same_shard", |bencher| {
        bencher.iter(|| ask(0, &requests[0]))
    });
    group.bench_function("other_shard", |bencher| {
        bencher.iter(|| ask(1, &requests[0]))
    });
}

/// A session of that shard, as it is asked for.
fn request_for(shards: &mut [Shard], shard: usize) -> String {
    let now = hall::start();
    let device = (0..).map(|n| format!("cam-{n}")).find(|device| {
        let body = format!(r#"{{"deviceId":"{device}","userId":"ann"}}"#);
        let id = hall::connect(&mut shards[shard], now);
        let request = hall::request("POST", "/api/media/sessions", &body);
        shards[shard].received(now, id, request.as_bytes());
        let moves = std::mem::take(&mut shards[shard].outbox().moves);
        moves.iter().for_each(|(id, _, _)| shards[shard].moved(*id));
        moves.is_empty()
    });
    format!(
        "GET /api/media/devices/{} HTTP/1.1\r\nHost: 127.0.0.1:30006\r\n\r\n",
        device.expect("one in two")
    )
}
