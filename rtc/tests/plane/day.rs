//! A day: whatever wraps in one, wraps here, and packets are lost on both sides of it.

use std::time::Duration;

use rtc::Codec;

use super::support::media::picture;
use super::support::{Sim, ViewerId};

const SECOND: Duration = Duration::from_secs(1);
/// Pictures a second, each of one packet: few, so that a day takes seconds.
const RATE: u32 = 3;
/// Sequence numbers before and after a rollover among which two of three packets are lost.
const NEAR: u16 = 12;
/// Elsewhere one of so many is.
const LOST: u32 = 50;

/// What has come of the day so far.
#[derive(Default)]
struct Seen {
    pictures: u32,
    sequence: u64,
    /// RTP time of the first picture and of the last, in seconds.
    times: Option<(f64, f64)>,
}

impl Seen {
    /// Looks at the pictures that came, and forgets them.
    fn take(&mut self, sim: &mut Sim, viewer: ViewerId) {
        for frame in std::mem::take(&mut sim.viewer_mut(viewer).frames) {
            assert_eq!(frame.number, Some(self.pictures), "in order, none missing");
            assert!(frame.contiguous);
            self.pictures += 1;
            self.sequence = frame.sequence;
            let (first, _) = *self.times.get_or_insert((frame.time, frame.time));
            self.times = Some((first, frame.time));
        }
    }
}

/// Publishes for so long; every picture comes, once, and the reports agree.
fn pass(seed: u64, hours: u32) -> Seen {
    let mut sim = Sim::new(seed);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let mut seen = Seen::default();
    let pictures = hours * 3_600 * RATE;
    let mut lost = 0;
    for number in 0..pictures {
        seen.take(&mut sim, viewer);
        let near = (seen.sequence as u16).wrapping_add(NEAR) < 2 * NEAR;
        let loses = if near {
            !number.is_multiple_of(3)
        } else {
            number % LOST == LOST / 2
        };
        sim.publish(source, &picture(Codec::H264, number, number % 40 == 0, 60));
        lost += u32::from(loses);
        sim.network.loss = if loses { 1.0 } else { 0.0 };
        sim.step();
        sim.network.loss = 0.0;
        sim.pass(SECOND / RATE - super::support::STEP);
        sim.take_events();
        sim.media_runs.clear();
        sim.viewer_mut(viewer).reports.truncate(1);
    }
    sim.pass(SECOND);
    seen.take(&mut sim, viewer);
    assert_eq!(seen.pictures, pictures);
    let (first, last) = seen.times.expect("pictures");
    let passed = f64::from(pictures - 1) / f64::from(RATE);
    let drift = last - first - passed;
    assert!(drift.abs() < 0.001, "RTP time is off by {drift} s");
    let stats = sim.plane.session(sim.key(viewer)).unwrap().stats();
    assert!(stats.video.nacks >= u64::from(lost) / 3, "{stats:?}");
    assert!(
        (19.0..40.0).contains(&stats.video.rtt_ms.unwrap()),
        "{stats:?}"
    );
    assert_eq!(sim.plane.counters().panics, 0);
    println!(
        "{pictures} pictures, {lost} of them lost at first, {} NACKs, last sequence number {:#x}",
        stats.video.nacks, seen.sequence
    );
    seen
}

#[test]
fn every_picture_comes_through_a_rollover() {
    assert!(pass(500, 8).sequence >> 16 >= 1);
}

#[test]
#[ignore = "half a minute where nothing else runs"]
fn every_picture_of_a_day_comes_through_three_rollovers() {
    assert!(pass(501, 24).sequence >> 16 >= 3);
}
