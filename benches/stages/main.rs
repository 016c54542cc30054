//! The stages of the hot paths, each on its own, on one thread, without sockets.
//!
//! ```text
//! cargo bench --bench stages                  # all, about three minutes
//! cargo bench --bench stages -- fan_out       # those with this in their name
//! ```

#[path = "../hall/mod.rs"]
mod hall;
mod media;
mod requests;
mod scrape;
#[path = "../../rtc/tests/support/mod.rs"]
mod support;
mod upkeep;

use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};

use crate::hall::cpu;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the thread has used of a CPU: what else runs on the machine is not in it.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu()
    }

    fn end(&self, started: Duration) -> Duration {
        cpu() - started
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Few samples over a short time: the machine's noise is larger than what more of them would show.
fn short() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = stages;
    config = short();
    targets = media::demultiplex, media::packetise, media::fan_out, requests::head, requests::hand_over,
        upkeep::timers, upkeep::room, scrape::scrape
}
criterion_main!(stages);
