//! A huge room beside small ones and a device's video, all on one shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use str0m::format::Codec;

use super::{SETTLE, fill};
use crate::Arguments;
use crate::crowd::Crowd;
use crate::figures::{Figures, Rows};
use crate::load::{self, Pace, Stream};
use crate::support::SOON;
use crate::support::media::{self, Clip};
use crate::support::metrics::Metrics;
use crate::support::publish::PacedPublisher;
use crate::support::viewer::ViewerOptions;
use crate::support::viewers::Viewers;
use crate::target::Target;

const HUGE_MEMBERS: usize = 5_000;
const HUGE_MESSAGES_PER_SECOND: f64 = 5.0;
const HUGE_PROBES: usize = 10;
const SMALL_ROOMS: usize = 50;
const SMALL_MEMBERS: usize = 10;
const SMALL_MESSAGES_PER_SECOND: f64 = 100.0;
const VIEWERS: usize = 20;
const FPS: u32 = 30;
const BITRATE: u64 = 2_000_000;

/// Groups of latencies.
const SMALL: usize = 0;
const HUGE: usize = 1;

/// Small rooms and a video alone, then with the huge room.
pub fn neighbours(arguments: &Arguments) -> Rows {
    let title = format!(
        "{SMALL_ROOMS} rooms of {SMALL_MEMBERS} at {SMALL_MESSAGES_PER_SECOND} messages/s and a video of {VIEWERS} \
         viewers, beside a room of {HUGE_MEMBERS} at {HUGE_MESSAGES_PER_SECOND} messages/s"
    );
    let mut rows = Rows::new("neighbours", title);
    for _ in 0..arguments.rounds {
        let target = Target::start(arguments, &[]);
        let video = (!target.is_peer()).then(|| Video::start(&target));
        let mut crowd = Crowd::new(target.http);
        fill(&mut crowd, &target, SMALL_ROOMS, SMALL_MEMBERS, 2, SMALL);
        fill(&mut crowd, &target, 1, HUGE_MEMBERS, HUGE_PROBES, HUGE);
        crowd.run_for(SETTLE);
        crowd.calibrate(arguments.frame_bytes);

        let small = Stream {
            rooms: 0..SMALL_ROOMS,
            pace: Pace::PerSecond(SMALL_MESSAGES_PER_SECOND),
        };
        let huge = Stream {
            rooms: SMALL_ROOMS..SMALL_ROOMS + 1,
            pace: Pace::PerSecond(HUGE_MESSAGES_PER_SECOND),
        };
        let loads = [
            ("without the huge room", vec![small.clone()]),
            ("with it", vec![small, huge]),
        ];
        for (variant, streams) in loads {
            let figures = measure(arguments, &target, &mut crowd, &streams, video.is_some());
            rows.push(variant, figures);
        }
    }
    rows
}

fn measure(
    arguments: &Arguments,
    target: &Target,
    crowd: &mut Crowd,
    streams: &[Stream],
    video: bool,
) -> Figures {
    let before = video.then(|| target.metrics());
    let outcome = load::run(crowd, &target.meters, streams, arguments.plan());
    let mut figures = Figures::default();
    outcome.add_rate(&mut figures);
    outcome.add_latency(&mut figures, SMALL);
    let [huge] = outcome.latencies[HUGE].quantiles_ms([0.99]);
    figures.add("huge room P99 ms", huge);
    if let Some(before) = before {
        let frames = FrameLatency::between(&before, &target.metrics());
        figures.add("frame P50 ≤ ms", frames.bound_ms(0.5));
        figures.add("frame P99 ≤ ms", frames.bound_ms(0.99));
        figures.add("frames", frames.count());
    }
    outcome.add_doubts(&mut figures);
    figures
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
        let bucket = |sample: &crate::support::metrics::Sample| {
            let bound = &sample.labels["le"];
            let earlier = before.sum(Self::BUCKETS, &[("le", bound)]);
            let bound = bound.parse().expect("a bound is a number or +Inf");
            (bound, sample.value - earlier)
        };
        let mut buckets: Vec<(f64, f64)> = after.matching(Self::BUCKETS, &[]).map(bucket).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { buckets }
    }

    fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, frames)| *frames)
    }

    /// The bound that this share of the frames kept.
    fn bound_ms(&self, share: f64) -> f64 {
        let enough = self.count() * share;
        let kept = self.buckets.iter().find(|(_, frames)| *frames >= enough);
        kept.map_or(f64::NAN, |(bound, _)| bound * 1e3)
    }
}

/// A device's video and its viewers, on threads of their own. Dropped, they leave.
struct Video {
    stop: Arc<AtomicBool>,
    viewers: Option<JoinHandle<()>>,
    _publisher: PacedPublisher,
}

impl Video {
    fn start(target: &Target) -> Self {
        const DEVICE: &str = "bench";
        let clip = media::file("assets/demo.h264");
        let clip = std::fs::read(&clip).unwrap_or_else(|e| panic!("{}: {e}", clip.display()));
        let clip = Clip::h264(&clip, FPS).padded_to(BITRATE);
        let http = target.http;
        let publisher = PacedPublisher::start(http, DEVICE, clip, FPS);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let viewers = thread::spawn(move || {
            let options = ViewerOptions {
                codecs: &[Codec::H264, Codec::Opus],
                frames: false,
                ..ViewerOptions::default()
            };
            let mut viewers = Viewers::default();
            for _ in 0..VIEWERS {
                viewers.join(http, DEVICE, options);
            }
            viewers.run_until(SOON, "every viewer sees a picture", |viewers| {
                viewers.iter().all(|viewer| viewer.first_picture.is_some())
            });
            while !stopped.load(Ordering::Relaxed) {
                viewers.run_for(Duration::from_millis(100));
            }
        });
        Self {
            stop,
            viewers: Some(viewers),
            _publisher: publisher,
        }
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(viewers) = self.viewers.take() {
            let _ = viewers.join();
        }
    }
}
