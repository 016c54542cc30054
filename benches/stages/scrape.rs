//! A scrape of 10,000 sessions, each with series of its own.

use std::time::Duration;

use criterion::{Criterion, Throughput};
use media_service::limits::Cap;
use media_service::message::Message;
use media_service::metrics::{LastAnswers, ProcessFigures, Snapshot, encode};
use media_service::shard::Job;

use crate::CpuTime;
use crate::hall::{Hall, cpu};

const SESSIONS: usize = 10_000;
/// Sessions of a device.
const SESSIONS_PER_DEVICE: usize = 10;

/// Per session: the shard's part, over all of its turns, and the side thread's.
pub(crate) fn scrape(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("scrape_10000_sessions");
    group.sample_size(10);
    group.throughput(Throughput::Elements(SESSIONS as u64));
    let mut hall = Hall::new(|config| config.metrics.session_series = Cap::OFF);
    for session in 0..SESSIONS {
        hall.create(session / SESSIONS_PER_DEVICE);
    }
    hall.settle();
    let mut snapshots = Vec::new();
    group.bench_function("shard", |bencher| {
        bencher.iter_custom(|rounds| {
            (0..rounds)
                .map(|_| snapshot(&mut hall, &mut snapshots))
                .sum()
        });
    });
    let mut last = LastAnswers::new();
    group.bench_function("side_thread", |bencher| {
        bencher.iter(|| {
            let text = encode(last.update(snapshots.clone()), &ProcessFigures::default());
            text.expect("figures that can be written").len()
        });
    });
}

fn snapshot(hall: &mut Hall, snapshots: &mut Vec<Option<Snapshot>>) -> Duration {
    let began = cpu();
    hall.ask("GET", "/metrics", "");
    hall.finish();
    let took = cpu() - began;
    let Some(Job::Scrape(scrape)) = hall.jobs.pop() else {
        panic!("the side thread is asked");
    };
    *snapshots = scrape.snapshots;
    // Its client is answered, and may ask again.
    hall.mail(Message::Encoded {
        connection: scrape.connection,
        gather: scrape.gather,
        text: String::new(),
    });
    took
}
