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

use criterion::{Criterion, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Few samples over a short time: the machine's noise is larger than what more of them would show.
fn short() -> Criterion {
    Criterion::default()
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
