//! A huge room beside small ones and a device's video, all on one shard.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Rooms, SETTLE, setting};
use crate::metrics::{Metrics, Sample};
use crate::report::{Outcome, Report};
use crate::rooms::Arguments;
use crate::rooms::crowd::Crowd;
use crate::rooms::load::{self, Pace, Stream};
use crate::target::Target;
use crate::{Error, SOON};

const SMALL: Rooms = Rooms {
    rooms: 50,
    members: 10,
    probes: 2,
    group: 0,
};
const SMALL_MESSAGES_PER_SECOND: f64 = 100.0;
const HUGE: Rooms = Rooms {
    rooms: 1,
    members: 5_000,
    probes: 10,
    group: 1,
};
const HUGE_MESSAGES_PER_SECOND: f64 = 5.0;
const VIEWERS: usize = 20;

/// Small rooms and a video alone, then with the huge room.
pub(in crate::rooms) fn neighbours(
    name: &str,
    arguments: &Arguments,
    report: &mut Report,
) -> Result<(), Error> {
    let target = Target::start(&arguments.target, &[])?;
    // Who has no rooms to be opened has other metrics too.
    let video = (!arguments.any_room)
        .then(|| Video::start(arguments, &target))
        .transpose()?;
    let mut crowd = Crowd::new(target.http);
    SMALL.fill(arguments, &target, &mut crowd)?;
    HUGE.fill(arguments, &target, &mut crowd)?;
    crowd.run_for(SETTLE);
    crowd.calibrate(arguments.frame_bytes);

    let small = Stream {
        rooms: 0..SMALL.rooms,
        pace: Pace::PerSecond(SMALL_MESSAGES_PER_SECOND),
    };
    let huge = Stream {
        rooms: SMALL.rooms..SMALL.rooms + HUGE.rooms,
        pace: Pace::PerSecond(HUGE_MESSAGES_PER_SECOND),
    };
    for with in [false, true] {
        let mut streams = vec![small.clone()];
        streams.extend(with.then(|| huge.clone()));
        let before = video.is_some().then(|| target.metrics());
        let measured = load::run(&mut crowd, &target, &streams, arguments.plan());
        let of = json!({
            "rooms": SMALL.rooms, "members": SMALL.members,
            "messages_per_second": SMALL_MESSAGES_PER_SECOND,
            "huge_room": if with { HUGE.members } else { 0 },
        });
        let mut outcome = measured.outcome(name, setting(arguments, of));
        if let Some(before) = before {
            FrameLatency::between(&before, &target.metrics()).count(&mut outcome);
        }
        report.push(outcome)?;
    }
    Ok(())
}

/// The server's own histogram, from a frame's last byte in to its first packet's send.
struct FrameLatency {
    /// Upper bounds in seconds with the frames up to each, ascending.
    buckets: Vec<(f64, f64)>,
}

impl FrameLatency {
    const BUCKETS: &str = "media_frame_latency_seconds_bucket";

    /// Of the frames between two scrapes.
    fn between(before: &Metrics, after: &Metrics) -> Self {
        let bucket = |sample: &Sample| {
            let bound = sample.labels.get("le")?;
            let earlier = before.sum(Self::BUCKETS, &[("le", bound)]);
            Some((bound.parse().ok()?, sample.value - earlier))
        };
        let mut buckets: Vec<(f64, f64)> = after
            .matching(Self::BUCKETS, &[])
            .filter_map(bucket)
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { buckets }
    }

    /// How many there were, and the bounds that so many of them kept.
    fn count(&self, outcome: &mut Outcome) {
        let Some((_, frames)) = self.buckets.last() else {
            return;
        };
        outcome.count("frames", *frames as u64);
        for (name, share) in [("frame_p50_us", 0.5), ("frame_p99_us", 0.99)] {
            let kept = self.buckets.iter().find(|(_, to)| *to >= frames * share);
            // Beyond the last finite bound nothing is known.
            if let Some((bound, _)) = kept.filter(|(bound, _)| bound.is_finite()) {
                outcome.count(name, (bound * 1e6).round() as u64);
            }
        }
    }
}

/// A device's video and its viewers: a process of this program, so that what they compute is not in the rooms' turns.
/// Dropped, they leave.
struct Video(Child);

impl Video {
    fn start(arguments: &Arguments, target: &Target) -> Result<Self, Error> {
        /// Longer than any load.
        const SECONDS: &str = "86400";
        let program = std::env::current_exe().map_err(Error::machine("where this program is"))?;
        let mut command = Command::new(program);
        command
            .args(["viewers", "--rounds", "1", "--warm-up", "0"])
            .args(["--seconds", SECONDS])
            .args(["--viewers", &VIEWERS.to_string()])
            .args(["--client-cpu", &arguments.target.client_cpu.to_string()])
            .args(["--base", &target.http.to_string()])
            .args(["--pid", &target.process.0.to_string()]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut video = Self(child.map_err(Error::machine("viewers of a video"))?);
        video.plays(target)?;
        Ok(video)
    }

    /// Waits until all viewers are connected and frames pass.
    fn plays(&mut self, target: &Target) -> Result<(), Error> {
        const POLL: Duration = Duration::from_millis(50);
        let deadline = Instant::now() + SOON;
        loop {
            let metrics = target.metrics();
            let with = |state| metrics.sum("media_sessions_ice_state", &[("state", state)]);
            let connected = with("connected") + with("completed");
            let frames = metrics.sum("media_frame_latency_seconds_count", &[]);
            if connected >= VIEWERS as f64 && frames > 0.0 {
                return Ok(());
            }
            let ended = self.0.try_wait().map_err(Error::machine("viewers"))?;
            if ended.is_some() || Instant::now() > deadline {
                return Err(Error::Arguments(format!(
                    "the video does not play: {connected} of {VIEWERS} viewers are connected, {frames} frames have passed"
                )));
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
