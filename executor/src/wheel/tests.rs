use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What a test does to the wheel, in the order of time.
#[derive(Clone, Debug)]
enum Step {
    /// Schedules a timer this far from now, before it if negative.
    Schedule { micros: i64 },
    /// Lets time pass and expires, so many timers at a time.
    Pass { micros: u64, most: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // From within a tick to far beyond what a lower level holds.
    let distance = prop_oneof![
        -20_000..20_000_i64,
        0..2_000_000_i64,
        0..100_000_000_i64,
        0..400_000_000_000_i64,
    ];
    let pause = prop_oneof![
        0..6_000_u64,
        0..1_000_000_u64,
        0..30_000_000_u64,
        0..200_000_000_000_u64,
    ];
    let step = prop_oneof![
        3 => distance.prop_map(|micros| Step::Schedule { micros }),
        2 => (pause, 1..9_usize).prop_map(|(micros, most)| Step::Pass { micros, most }),
    ];
    prop::collection::vec(step, 1..200)
}

fn shifted(now: Instant, micros: i64) -> Instant {
    let distance = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 {
        now - distance
    } else {
        now + distance
    }
}

proptest! {
    /// Against a map from deadlines to keys: nothing early, nothing lost, nothing twice, nothing
    /// more than a tick late, and the hint never after the first deadline.
    #[test]
    fn behaves_like_a_sorted_map(steps in steps()) {
        let start = Instant::now() + Duration::from_secs(1 << 20);
        let mut now = start;
        let mut wheel = Wheel::new(start);
        let mut model: BTreeMap<(Instant, usize), ()> = BTreeMap::new();
        let mut deadlines = Vec::new();
        let mut due = Vec::new();
        for step in steps {
            match step {
                Step::Schedule { micros } => {
                    let at = shifted(now, micros);
                    wheel.schedule(at, deadlines.len());
                    model.insert((at, deadlines.len()), ());
                    deadlines.push(at);
                }
                Step::Pass { micros, most } => {
                    now += Duration::from_micros(micros);
                    let mut before = due.len();
                    while wheel.expire(now, most, &mut due) {
                        prop_assert!(due.len() - before <= most, "too many at a time");
                        before = due.len();
                        let hint = wheel.next_deadline_hint();
                        prop_assert!(hint.is_some_and(|hint| hint <= now), "there are more");
                    }
                    for key in due.drain(..) {
                        prop_assert!(deadlines[key] <= now, "early");
                        prop_assert!(model.remove(&(deadlines[key], key)).is_some(), "twice");
                    }
                    if let Some(((first, _), ())) = model.first_key_value() {
                        prop_assert!(*first + TICK > now, "more than a tick late");
                    }
                }
            }
            prop_assert_eq!(wheel.len(), model.len());
            let first = model.first_key_value().map(|((at, _), ())| *at);
            prop_assert_eq!(wheel.next_deadline_hint().is_some(), first.is_some());
            if let (Some(hint), Some(first)) = (wheel.next_deadline_hint(), first) {
                prop_assert!(hint <= now.max(first + TICK), "the hint is too late");
            }
        }
        wheel.expire(now + Duration::from_secs(1 << 20), usize::MAX, &mut due);
        prop_assert_eq!(due.len(), model.len());
        prop_assert!(wheel.is_empty());
    }
}

#[test]
fn a_timer_fires_at_its_tick_and_not_before() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    let mut due = Vec::new();
    wheel.schedule(start + 7 * MILLISECOND, 'a');
    wheel.expire(start + 9 * MILLISECOND, usize::MAX, &mut due);
    assert_eq!(due, []);
    wheel.expire(start + 10 * MILLISECOND, usize::MAX, &mut due);
    assert_eq!(due, ['a']);
}

#[test]
fn what_is_overdue_comes_out_next_time() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    let mut due = Vec::new();
    wheel.expire(start + 100 * MILLISECOND, usize::MAX, &mut due);
    wheel.schedule(start + 40 * MILLISECOND, 'a');
    assert_eq!(wheel.len(), 1);
    wheel.expire(start + 100 * MILLISECOND, usize::MAX, &mut due);
    assert_eq!(due, ['a']);
    assert!(wheel.is_empty());
}

#[test]
fn timers_come_out_in_the_order_of_their_ticks() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    for seconds in [900, 3, 86_400, 0, 45, 300] {
        wheel.schedule(start + Duration::from_secs(seconds), seconds);
    }
    let mut due = Vec::new();
    wheel.expire(start + Duration::from_secs(100_000), usize::MAX, &mut due);
    assert_eq!(due, [0, 3, 45, 300, 900, 86_400]);
}

#[test]
fn lazy_rearming_costs_one_entry_however_often_the_deadline_moves() {
    let start = Instant::now();
    let timeout = Duration::from_secs(300);
    let mut wheel = Wheel::new(start);
    wheel.schedule(start + timeout, ());
    let (mut now, mut rearmed, mut due) = (start, 0, Vec::new());
    // An hour of a session with a packet each 5 ms.
    while now < start + Duration::from_secs(3600) {
        now += TICK;
        let expires_at = now + timeout;
        wheel.expire(now, usize::MAX, &mut due);
        for () in due.drain(..) {
            wheel.schedule(expires_at, ());
            rearmed += 1;
        }
        assert_eq!(wheel.len(), 1);
    }
    assert_eq!(rearmed, 12);
}

#[test]
fn no_memory_is_taken_beyond_the_most_timers_at_once() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    let (mut now, mut due) = (start, Vec::new());
    for round in 0..10_000_u64 {
        wheel.schedule(now + Duration::from_millis(round * 37 % 5_000), round);
        now += MILLISECOND;
        wheel.expire(now, usize::MAX, &mut due);
        due.clear();
    }
    assert!(
        wheel.nodes.len() <= 5_000,
        "{} places for at most 5,000",
        wheel.nodes.len()
    );
}

#[test]
fn a_deadline_beyond_the_horizon_waits_there() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    wheel.expire(
        start + Duration::from_secs(86_400),
        usize::MAX,
        &mut Vec::new(),
    );
    wheel.schedule(start + Duration::from_secs(1 << 36), 'a');
    let mut due = Vec::new();
    wheel.expire(start + Duration::from_secs(1 << 33), usize::MAX, &mut due);
    assert_eq!(due, []);
    assert_eq!(wheel.len(), 1);
}

#[test]
fn what_is_left_for_later_calls_keeps_its_order_beside_new_timers() {
    let start = Instant::now();
    let mut wheel = Wheel::new(start);
    for n in 0..1_000_u64 {
        // Far enough away to move down twice.
        wheel.schedule(start + Duration::from_secs(300) + TICK * (n as u32 / 10), n);
    }
    let now = start + Duration::from_secs(400);
    let (mut due, mut calls) = (Vec::new(), 0);
    while wheel.expire(now, 10, &mut due) {
        calls += 1;
        if calls == 5 {
            wheel.schedule(now - 50 * SECOND, 1_000);
            wheel.schedule(start, 1_001);
            wheel.schedule(now + TICK, 1_002);
        }
    }
    assert!(!due.contains(&1_001), "it was late: the next expiry has it");
    assert!(calls >= 100, "{calls} calls of ten timers each");
    assert!(!wheel.expire(now, 10, &mut due));
    assert_eq!(due.len(), 1_002, "all of those that are due, once");
    due.retain(|&n| n < 1_000);
    assert!(due.is_sorted_by_key(|n| n / 10));
    assert_eq!(wheel.len(), 1);
}
