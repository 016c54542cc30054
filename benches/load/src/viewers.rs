//! WebRTC viewers of one device: what a packet costs the server, what a viewer costs in memory, how long joining takes and how
//! long frames take.

pub mod clip;
pub mod crowd;
pub mod frames;
pub mod loss;
pub mod publisher;
#[allow(unsafe_code, reason = "recvmmsg(2) has no safe interface in std")]
pub mod receive;
mod round;
pub mod signalling;
pub mod sink;
pub mod viewer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::Error;
use crate::report::{BUSY, Column, LATENCY, Outcome, Report};
use crate::target;
use clip::{Clip, FRAME_RATE};

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The server, and how long it is measured.
    #[command(flatten)]
    pub target: target::Arguments,
    /// How sessions are made
    #[arg(long, value_enum, default_value_t = signalling::Kind::MediaService)]
    pub signalling: signalling::Kind,
    /// Device to publish and to watch
    #[arg(long, default_value = "load")]
    pub device: String,
    /// Viewers that watch at once
    #[arg(long, default_value_t = 300)]
    pub viewers: usize,
    /// What they see, and who publishes it.
    #[command(flatten)]
    pub source: Source,
    /// What they do with it.
    #[command(flatten)]
    pub behaviour: Behaviour,
}

/// What viewers see.
#[derive(Clone, Debug, clap::Args)]
pub struct Source {
    /// The server has a source of its own
    #[arg(long)]
    pub no_publish: bool,
    /// Nobody publishes: the viewers are connected, and that is all
    #[arg(long, conflicts_with_all = ["no_publish", "sink", "saturate", "loss", "latency"])]
    pub idle: bool,
    /// H.264 in Annex B with one slice a picture; the demo clip by default
    #[arg(long)]
    pub clip: Option<PathBuf>,
    /// Frames a second
    #[arg(long, default_value_t = f64::from(FRAME_RATE))]
    pub fps: f64,
    /// Bits a second at 30 frames a second, which the clip is filled up to; 0: as it is. At more frames a second each stays
    /// as large
    #[arg(long, default_value_t = 2_000_000)]
    pub bitrate: u64,
    /// Each picture comes with the access unit delimiter of the next one, which tells the server that it is complete;
    /// otherwise 5 ms of silence do
    #[arg(long, conflicts_with = "no_publish")]
    pub delimited: bool,
    /// Raises the frames a second until the server is busy all of the time, or sends no more for it, and measures there
    #[arg(long, conflicts_with = "no_publish")]
    pub saturate: bool,
}

/// What viewers do with what comes.
#[derive(Clone, Debug, clap::Args)]
pub struct Behaviour {
    /// The kernel may hand over several datagrams at once (UDP_GRO)
    #[arg(long)]
    pub gro: bool,
    /// The kernel drops media as it arrives and counts it, on the sender's CPU; the viewers never see it
    #[arg(long, conflicts_with_all = ["loss", "latency", "verify", "reports"])]
    pub sink: bool,
    /// So many of the viewers decrypt everything, put frames together and compare them with the clip
    #[arg(long, default_value_t = 0)]
    pub verify: usize,
    /// Viewers decrypt, and send receiver reports each so many seconds
    #[arg(long)]
    pub reports: Option<f64>,
    /// Packets lost on arrival, in percent
    #[arg(long, default_value_t = 0.0)]
    pub loss: f64,
    /// So many of the viewers decrypt, and ask again for what was lost; all of them if --loss is given
    #[arg(long)]
    pub nacking: Option<usize>,
    /// Which packets are lost
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Measures how long frames take to their first and last packets
    #[arg(long, conflicts_with = "no_publish")]
    pub latency: bool,
}

/// An interval of receiver reports as browsers have it, where they are not measured.
const REPORTS: Duration = Duration::from_secs(1);

impl Behaviour {
    /// What the viewer of this index, and with it each, does.
    fn options(&self, index: usize) -> viewer::Options {
        let lossy = self.loss > 0.0;
        let nacking = self.nacking.unwrap_or(if lossy { usize::MAX } else { 0 });
        let media = if index < self.verify {
            viewer::Media::Frames
        } else if index < nacking || self.reports.is_some() {
            viewer::Media::Decrypted
        } else {
            viewer::Media::Counted
        };
        let seed = self.seed.wrapping_add((index as u64) << 32);
        viewer::Options {
            media,
            nack: !lossy || index < nacking,
            loss: lossy.then(|| loss::Loss::new(self.loss / 100.0, seed)),
            details: receive::Details {
                gro: self.gro,
                times: self.latency,
            },
            reports: self.reports.map_or(REPORTS, Duration::from_secs_f64),
        }
    }
}

impl Arguments {
    fn check(&self) -> Result<(), Error> {
        let wrong = |text: &str| Err(Error::Arguments(text.to_owned()));
        if self.viewers == 0 {
            return wrong("--viewers: one at least");
        }
        if !(1.0..=10_000.0).contains(&self.source.fps) {
            return wrong("--fps: 1 to 10000");
        }
        if !(0.0..=100.0).contains(&self.behaviour.loss) {
            return wrong("--loss: 0 to 100 percent");
        }
        let reports = self.behaviour.reports;
        if reports.is_some_and(|seconds| !(0.01..=3600.0).contains(&seconds)) {
            return wrong("--reports: 0.01 to 3600 seconds");
        }
        if self.behaviour.sink && self.behaviour.nacking.is_some() {
            return wrong("--nacking: a --sink sees nothing that it could miss");
        }
        Ok(())
    }

    /// What makes rounds comparable.
    fn setting(&self) -> Map<String, Value> {
        let mut setting = Map::new();
        let mut set = |name: &str, value: Value| setting.insert(name.to_owned(), value);
        set("viewers", json!(self.viewers));
        let (source, behaviour) = (&self.source, &self.behaviour);
        if !source.idle && !source.no_publish {
            let fps = if source.saturate {
                "up".into()
            } else {
                json!(source.fps)
            };
            set("fps", fps);
            set("bitrate", json!(source.bitrate));
        }
        for (name, on) in [
            ("gro", behaviour.gro),
            ("sink", behaviour.sink),
            ("delimited", source.delimited),
        ] {
            if on {
                set(name, json!(on));
            }
        }
        if behaviour.loss > 0.0 {
            set("loss", json!(behaviour.loss));
        }
        if let Some(nacking) = behaviour.nacking {
            set("nacking", json!(nacking));
        }
        if let Some(reports) = behaviour.reports {
            set("reports", json!(reports));
        }
        if behaviour.verify > 0 {
            set("verify", json!(behaviour.verify));
        }
        setting
    }

    /// What an outcome is called.
    fn scenario(&self) -> &'static str {
        if self.source.idle {
            "viewers-idle"
        } else {
            "viewers"
        }
    }
}

/// Runs the load, round by round.
///
/// # Errors
/// What keeps it from being measured.
pub fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Error> {
    arguments.check()?;
    arguments.target.prepare()?;
    let clip = Clip::read(arguments.source.clip.as_deref(), arguments.source.bitrate)?;
    let clip = Arc::new(clip);
    for _ in 0..arguments.target.rounds {
        report.push(round::run(arguments, &clip)?)?;
    }
    let title = "WebRTC viewers of one device";
    if arguments.source.idle {
        report.print(title, arguments.scenario(), &IDLE);
    } else {
        report.print(title, arguments.scenario(), &columns());
    }
    Ok(())
}

fn columns() -> Vec<Column> {
    [
        &STREAMING[..],
        &BUSY,
        &JOINING,
        &RECOVERY,
        &WHOLE,
        &LATENCY,
        &FRAMES,
    ]
    .concat()
}

const STREAMING: [Column; 7] = [
    Column::median("µs/packet", Outcome::us_per_unit),
    Column::median("(user)", |it| it.server.user_us / it.units as f64),
    Column::median("packets/s", |it| it.units as f64 / it.seconds),
    // What the core would do if it did nothing else.
    Column::median("packets/core·s", |it| 1e6 / it.us_per_unit()),
    Column::worst("lost", |it| given(it, "lost", 1.0)),
    Column::worst("overflowed", |it| given(it, "overflowed", 1.0)),
    Column::median("frames/s", |it| given(it, "published_frames", it.seconds)),
];

const JOINING: [Column; 4] = [
    Column::median("RSS/viewer kB", |it| given(it, "rss_per_viewer", 1e3)),
    Column::median("join P50 ms", |it| given(it, "join_p50_us", 1e3)),
    Column::median("join P99 ms", |it| given(it, "join_p99_us", 1e3)),
    Column::worst("over", |it| given(it, "over", 1.0)),
];

const RECOVERY: [Column; 4] = [
    Column::median("dropped", |it| given(it, "dropped", 1.0)),
    Column::median("recovered", |it| given(it, "recovered", 1.0)),
    Column::worst("late", |it| given(it, "late", 1.0)),
    Column::worst("never", |it| given(it, "never", 1.0)),
];

const WHOLE: [Column; 3] = [
    Column::median("whole frames", |it| given(it, "frames", 1.0)),
    Column::worst("gaps", |it| given(it, "gaps", 1.0)),
    Column::worst("wrong", |it| given(it, "wrong", 1.0)),
];

/// Beside [`LATENCY`], which is that of the last packets of frames between keyframes.
const FRAMES: [Column; 4] = [
    Column::median("first packet P99 ms", |it| given(it, "first_p99_us", 1e3)),
    Column::median("keyframe P50 ms", |it| given(it, "keyframe_p50_us", 1e3)),
    Column::median("keyframe P99 ms", |it| given(it, "keyframe_p99_us", 1e3)),
    Column::median("keyframe max ms", |it| given(it, "keyframe_max_us", 1e3)),
];

const IDLE: [Column; 5] = [
    Column::median("RSS/viewer kB", |it| given(it, "rss_per_viewer", 1e3)),
    Column::median("CPU/viewer µs/s", |it| it.us_per_unit() / it.seconds),
    Column::median("join P50 ms", |it| given(it, "join_p50_us", 1e3)),
    Column::median("join P99 ms", |it| given(it, "join_p99_us", 1e3)),
    Column::worst("over", |it| given(it, "over", 1.0)),
];

/// A count in units of `of`; NaN where it was not counted.
fn given(outcome: &Outcome, name: &str, of: f64) -> f64 {
    let count = outcome.counts.get(name);
    count.map_or(f64::NAN, |count| *count as f64 / of)
}
