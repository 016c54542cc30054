//! Sound and picture in step: the capture times that a receiver derives from the sender reports.

use std::time::{Duration, Instant, SystemTime};

use rtc::Codec;

use super::support::media::picture;
use super::support::{Sim, ViewerId};

const SECOND: Duration = Duration::from_secs(1);
/// What is published each time, sound and picture at one instant.
const INTERVAL: Duration = Duration::from_millis(500);

/// The newest sender report of a track: when it came, the time of day, the RTP time that belongs to it.
type Report = (Instant, SystemTime, u32);

/// By how much derived capture times differ from the true ones, least and most. Their epoch is
/// the same for both tracks.
struct Offsets {
    least: f64,
    most: f64,
    /// Units that were compared, of picture and sound.
    compared: [usize; 2],
    /// Newest first, of picture and sound.
    reports: [Vec<Report>; 2],
}

impl Offsets {
    fn new() -> Self {
        Self {
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
            compared: [0; 2],
            reports: Default::default(),
        }
    }

    /// Compares what came, by the report that a receiver had at that time.
    fn take(&mut self, sim: &mut Sim, viewer: ViewerId, captured: &[Instant]) {
        let start = sim.start;
        let viewer = sim.viewer_mut(viewer);
        let video = viewer.video;
        for (at, mid, report) in std::mem::take(&mut viewer.reports) {
            if report.sender_packet_count > 0 {
                let track = usize::from(Some(mid) != video);
                let rtp = report.rtp_time.numer() as u32;
                self.reports[track].insert(0, (at, report.ntp_time, rtp));
            }
        }
        for frame in std::mem::take(&mut viewer.frames) {
            let track = usize::from(!frame.codec.is_video());
            let reports = &self.reports[track];
            let Some((_, ntp, rtp)) = reports.iter().find(|(at, ..)| *at <= frame.at) else {
                continue;
            };
            let ticks = frame.rtp.wrapping_sub(*rtp) as i32;
            let ntp = ntp.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let derived =
                ntp.as_secs_f64() + f64::from(ticks) / f64::from(frame.codec.clock_rate());
            let number = frame.number.expect("a numbered unit") as usize;
            let offset = derived - (captured[number] - start).as_secs_f64();
            self.least = self.least.min(offset);
            self.most = self.most.max(offset);
            self.compared[track] += 1;
        }
        for reports in &mut self.reports {
            reports.truncate(1);
        }
    }
}

#[test]
fn sound_and_picture_have_one_clock_for_hours_whatever_the_publisher_does() {
    const ROUNDS: usize = 3 * 7_200;
    let mut sim = Sim::new(520);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let mut offsets = Offsets::new();
    let mut captured = Vec::new();
    for round in 0..ROUNDS {
        match round % 3_000 {
            700 => sim.pass(5 * SECOND),
            // Longer than what counts as a pause: another mapping begins.
            1_400 => sim.pass(30 * SECOND),
            2_100 => {
                sim.plane.publisher_gone(source);
                sim.pass(60 * SECOND);
            }
            _ => {}
        }
        captured.push(sim.now);
        let number = round as u32;
        let keyframe = round % 10 == 0 || round % 3_000 == 2_100;
        sim.publish(source, &picture(Codec::Opus, number, true, 60));
        sim.publish(source, &picture(Codec::H264, number, keyframe, 60));
        sim.pass(INTERVAL);
        offsets.take(&mut sim, viewer, &captured);
        sim.take_events();
        sim.media_runs.clear();
    }
    for compared in offsets.compared {
        assert!(compared > ROUNDS * 99 / 100, "{compared} of {ROUNDS}");
    }
    let apart = offsets.most - offsets.least;
    println!("capture times differ by {:.3} ms at most", apart * 1e3);
    assert!(apart <= 0.001, "{apart} s");
}
