use super::*;

fn cpu(user_ms: u64, system_ms: u64, live_us: u64) -> Cpu {
    Cpu {
        user: Duration::from_millis(user_ms),
        system: Duration::from_millis(system_ms),
        live: Duration::from_micros(live_us),
    }
}

#[test]
fn a_total_is_exact_and_shared_out_as_the_ticks_say() {
    let used = cpu(130, 310, 431_234).since(cpu(100, 300, 400_000));
    assert_eq!(used.total(), Duration::from_micros(31_234));
    assert_eq!(used.user, Duration::from_nanos(23_425_500));
    // Not a tick has passed, and yet there was work.
    let used = cpu(100, 300, 400_250).since(cpu(100, 300, 400_000));
    assert_eq!(used.total(), Duration::from_micros(250));
}

/// With a thread its exact time is gone, which the process's ticks still have.
#[test]
fn the_time_of_a_thread_that_ended_is_told_in_ticks() {
    let used = cpu(900, 600, 700_000).since(cpu(100, 300, 400_000));
    let ticks = (Duration::from_millis(800), Duration::from_millis(300));
    assert_eq!((used.user, used.system), ticks);
    let used = cpu(900, 600, 10_000).since(cpu(100, 300, 400_000));
    assert_eq!(used.total(), Duration::from_millis(1_100));
}

#[test]
fn this_process_has_what_every_process_has() {
    let own = Process::own();
    let before = own.cpu();
    assert!(own.rss() >= own.anonymous() && own.anonymous() > 0);
    assert!(own.fds() >= 3 && own.threads() >= 1);
    assert!(!own.cpu_by_thread().is_empty());
    let mut used = Duration::ZERO;
    while used.is_zero() {
        used = own.cpu().since(before).total();
    }
}
