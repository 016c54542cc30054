//! Random schedules: a few of each kind here, as many as one likes with the program.

use std::collections::BTreeSet;

use media_service::http::routes::Route;
use simulation::swarm::{Options, Summary, play};

/// What a debug build plays in half a minute.
const SEEDS: u64 = 200;

#[test]
fn the_server_survives_any_schedule() {
    let mut summary = Summary::default();
    let mut failed = Vec::new();
    for seed in 0..SEEDS {
        match play(&Options::new(seed)) {
            Ok(verdict) => summary.add(verdict.counts),
            Err(failure) => failed.push(failure.to_string()),
        }
    }
    println!("{summary}");
    assert!(failed.is_empty(), "{failed:#?}");
    let asked: BTreeSet<&str> = summary.counts.asked.iter().map(|(_, path)| *path).collect();
    for route in Route::ALL {
        assert!(
            asked.contains(route.template()),
            "nobody asks for {route:?}"
        );
    }
}

#[test]
fn a_seed_plays_the_same_schedule_to_the_same_end() {
    for seed in 1_000..1_008 {
        let [first, again] = [(); 2].map(|()| match play(&Options::new(seed)) {
            Ok(verdict) => verdict.hash,
            Err(failure) => failure.hash,
        });
        assert_eq!(first, again, "seed {seed}");
    }
}
