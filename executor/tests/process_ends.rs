//! The process never stays half-alive: it ends when a shard is stuck or has died.
//!
//! Each test runs itself again as a child, in which the fault happens.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use executor::{EXIT_SHARD_DIED, EXIT_STALLED, PoolOptions, Seat, StallLimits, cpu, spawn};

const CHILD: &str = "EXECUTOR_TEST_CHILD";

/// Runs the test `name` of this binary in a child process.
fn run_child(name: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, name)
        // Reading the symbols for a backtrace would itself be a stall.
        .env("RUST_BACKTRACE", "0")
        .status()
        .unwrap()
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Two shards of which the first runs `fault` after its first turn, and nobody who looks at them.
fn half_alive(fault: fn()) -> ! {
    let stall = StallLimits {
        fatal_after: Some(Duration::from_millis(300)),
        ..StallLimits::default()
    };
    let cpus = cpu::available().unwrap().iter().collect();
    let _pool = spawn(
        PoolOptions { cpus, stall },
        vec![(), ()],
        move |mut seat: Seat, ()| {
            let mut events = Vec::new();
            loop {
                seat.reactor.wait(None, &mut events);
                if seat.index == 0 {
                    fault();
                }
            }
        },
    )
    .unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_stuck_shard_ends_the_process() {
    if is_child() {
        half_alive(|| {
            loop {
                std::thread::sleep(Duration::from_secs(60));
            }
        });
    }
    assert_eq!(
        run_child("a_stuck_shard_ends_the_process").code(),
        Some(EXIT_STALLED)
    );
}

#[test]
fn a_dead_shard_ends_the_process() {
    if is_child() {
        half_alive(|| panic!("a bug"));
    }
    assert_eq!(
        run_child("a_dead_shard_ends_the_process").code(),
        Some(EXIT_SHARD_DIED)
    );
}

#[test]
fn shards_that_return_let_the_process_end_as_it_likes() {
    if is_child() {
        let cpus = cpu::available().unwrap().iter().collect();
        let options = PoolOptions {
            cpus,
            stall: StallLimits::default(),
        };
        spawn(options, vec![(), ()], |_, ()| {})
            .unwrap()
            .join()
            .unwrap();
        std::process::exit(3);
    }
    let status = run_child("shards_that_return_let_the_process_end_as_it_likes");
    assert_eq!(status.code(), Some(3));
}
