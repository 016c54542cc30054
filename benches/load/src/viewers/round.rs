//! One round: viewers join, warm up, are measured and leave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Arguments;
use super::clip::Clip;
use super::crowd::Crowd;
use super::frames::{FrameDelays, FrameLog};
use super::loss::Recovery;
use super::publisher::{Publisher, Stream};
use super::signalling::Signalling;
use super::sink;
use super::viewer::{Media, Viewer};
use crate::Error;
use crate::report::{Cost, Latencies, Outcome, Unit};
use crate::target::Target;

/// How long viewers may take to be connected and to see their first picture.
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// Viewers that may be on their way to their first picture at once. A browser's share of a server is no larger, and those that
/// only drop packets shall not first be too many to be read.
const JOINING_AT_ONCE: usize = 64;

/// The rounds of saturation: from one raise of the frames a second to the next.
const STEP: Duration = Duration::from_secs(1);
/// Steps that bring no more packets until it is taken that there are no more.
const STEPS_IN_VAIN: usize = 3;
/// More by less is none.
const GROWTH: f64 = 1.03;
/// A server that is busy for this share of the time has no room for more.
const BUSY: f64 = 0.97;
/// What is aimed at, so that the last step reaches it.
const AIM: f64 = 1.03;
/// A step is no larger, since a server's cost is not proportional to its load.
const LARGEST_STEP: f64 = 1.5;

struct Round<'a> {
    arguments: &'a Arguments,
    target: Target,
    signalling: Box<dyn Signalling>,
    publisher: Option<Publisher>,
    crowd: Crowd,
    clip: &'a Arc<Clip>,
}

/// What is counted at both ends of the measured span.
struct Counts {
    packets: u64,
    frames: u64,
    pictures: u64,
    /// Of the server's own counting, if it has one.
    server: Option<u64>,
}

/// A round on a server of its own, or on the one that runs already.
pub(super) fn run(arguments: &Arguments, clip: &Arc<Clip>) -> Result<Outcome, Error> {
    let target = Target::start(&arguments.target, &[])?;
    let signalling = arguments
        .signalling
        .connect(target.http, &arguments.device)?;
    let source = &arguments.source;
    let publisher = if source.idle || source.no_publish {
        None
    } else {
        let stream = Stream {
            clip: Arc::clone(clip),
            frames_per_second: source.fps,
            delimited: source.delimited,
        };
        let device = &arguments.device;
        Some(Publisher::start(target.http, device, stream)?)
    };
    let mut round = Round {
        arguments,
        target,
        signalling,
        publisher,
        crowd: Crowd::new(arguments.behaviour.gro)?,
        clip,
    };
    let outcome = round.measure()?;
    for viewer in round.crowd.iter_mut() {
        viewer.leave();
    }
    Ok(outcome)
}

impl Round<'_> {
    fn measure(&mut self) -> Result<Outcome, Error> {
        // One viewer first: what a process allocates once is not a viewer's.
        self.join()?;
        self.wait_for_all()?;
        let rss_of_one = self.target.process.rss();
        while self.crowd.len() < self.arguments.viewers {
            self.join()?;
            self.crowd.turn();
            if self.crowd.len().is_multiple_of(JOINING_AT_ONCE) {
                self.wait_for_all()?;
            }
        }
        self.wait_for_all()?;
        self.stay(self.arguments.target.warm_up())?;
        if self.arguments.source.saturate {
            self.saturate()?;
        }
        if self.arguments.behaviour.latency {
            for viewer in self.crowd.iter_mut() {
                viewer.log = Some(FrameLog::default());
            }
        }
        let before = self.counts()?;
        let meter = self.target.meter();
        self.stay(self.arguments.target.span())?;
        let cost = meter.stop();
        let after = self.counts()?;
        let rss = cost.server.rss_after.saturating_sub(rss_of_one);
        let mut outcome = self.outcome(cost, &before, &after);
        if !self.arguments.behaviour.sink {
            let overflowed = sink::dropped(&self.crowd.ports());
            let overflowed = overflowed.map_err(Error::machine("/proc/net/udp"))?;
            outcome.count("overflowed", overflowed);
        }
        let others = (self.crowd.len() as u64 - 1).max(1);
        outcome.count("rss_per_viewer", rss / others);
        self.count_joins(&mut outcome);
        self.count_recovery(&mut outcome);
        self.count_delays(&mut outcome);
        Ok(outcome)
    }

    fn join(&mut self) -> Result<(), Error> {
        let index = self.crowd.len();
        let options = self.arguments.behaviour.options(index);
        let clicked = Instant::now();
        let created = self.signalling.create()?;
        let (mut viewer, answer) = Viewer::answer(&created.offer, &options)?;
        self.signalling.answer(&created.session, &answer)?;
        (viewer.session, viewer.clicked) = (created.session, clicked);
        if options.media == Media::Frames && self.publisher.is_some() {
            viewer.compare_with(self.clip.slices().into());
        }
        self.crowd.add(viewer)?;
        Ok(())
    }

    /// Until those that have come are all there.
    fn wait_for_all(&mut self) -> Result<(), Error> {
        let idle = self.arguments.source.idle;
        let there =
            |viewer: &Viewer| viewer.is_connected() && (idle || viewer.first_picture.is_some());
        self.crowd
            .run_until(JOIN_LIMIT, "all viewers are there", |crowd| {
                // The last to come are those that are waited for.
                crowd.iter().rev().take(JOINING_AT_ONCE).all(there)
            })?;
        if self.arguments.behaviour.sink {
            let newest = self.crowd.iter().rev().take(JOINING_AT_ONCE);
            newest.into_iter().try_for_each(Viewer::drop_media)?;
        }
        self.check()
    }

    /// Drives the viewers for a time.
    fn stay(&mut self, time: Duration) -> Result<(), Error> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            self.crowd.run_for(left.min(STEP));
            self.signalling.keep_alive()?;
        }
        self.check()
    }

    fn check(&self) -> Result<(), Error> {
        self.publisher.as_ref().map_or(Ok(()), Publisher::check)
    }

    /// Raises the frames a second until the server has no time left, or sends no more packets for it: a server that is not
    /// alone on its CPU is never seen busy, and one that skips frames takes any number.
    fn saturate(&mut self) -> Result<(), Error> {
        let mut fps = self.arguments.source.fps;
        let (mut most, mut in_vain) = (0.0, 0);
        while in_vain < STEPS_IN_VAIN {
            let (before, meter) = (self.counts()?, self.target.meter());
            self.stay(STEP)?;
            let cost = meter.stop();
            let after = self.counts()?;
            let busy = cost.server.cpu_us() / cost.seconds / 1e6;
            let rate = |count: u64| count as f64 / cost.seconds;
            let packets = rate(after.packets - before.packets);
            let taken = rate(after.frames - before.frames);
            eprintln!(
                "{fps:.0} frames/s, {taken:.0} taken: {packets:.0} packets/s, server {:.0} % busy",
                busy * 100.0
            );
            if busy >= BUSY {
                return Ok(());
            }
            in_vain = if packets > most * GROWTH {
                0
            } else {
                in_vain + 1
            };
            most = packets.max(most);
            fps *= (AIM / busy).clamp(1.0, LARGEST_STEP);
            if let Some(publisher) = &self.publisher {
                publisher.set_frames_per_second(fps);
            }
        }
        Ok(())
    }

    fn published(&self) -> u64 {
        self.publisher.as_ref().map_or(0, Publisher::frames)
    }

    fn counts(&self) -> Result<Counts, Error> {
        let server = match self.arguments.signalling {
            super::signalling::Kind::MediaService => self
                .target
                .metrics()
                .get("media_rtp_packets_sent_total", &[])
                .map(|packets| packets as u64),
            super::signalling::Kind::Janus => None,
        };
        let behaviour = &self.arguments.behaviour;
        let packets = match server {
            // A run that is dropped whole counts as one.
            Some(packets) if behaviour.sink && behaviour.gro => packets,
            _ if behaviour.sink => {
                sink::dropped(&self.crowd.ports()).map_err(Error::machine("/proc/net/udp"))?
            }
            _ => self.crowd.iter().map(|it| it.wire.received()).sum(),
        };
        Ok(Counts {
            packets,
            frames: self.published(),
            pictures: self.crowd.iter().map(Viewer::pictures).sum(),
            server,
        })
    }

    fn outcome(&self, cost: Cost, before: &Counts, after: &Counts) -> Outcome {
        let arguments = self.arguments;
        let (scenario, setting) = (arguments.scenario(), arguments.setting());
        if arguments.source.idle {
            return cost.outcome(scenario, setting, Unit::Viewer, self.crowd.len() as u64);
        }
        let packets = after.packets - before.packets;
        let mut outcome = cost.outcome(scenario, setting, Unit::Packet, packets);
        if self.publisher.is_some() {
            outcome.count("published_frames", after.frames - before.frames);
        }
        if let (Some(before), Some(after)) = (before.server, after.server) {
            outcome.count("server_packets", after - before);
        }
        if !arguments.behaviour.sink {
            let lost = self.crowd.iter().map(|it| it.wire.lost()).sum();
            outcome.count("lost", lost);
            let streams = self.crowd.iter().flat_map(|it| it.wire.by_ssrc.values());
            outcome.count("reordered", streams.map(|stream| stream.reordered).sum());
            outcome.count("pictures", after.pictures - before.pictures);
        }
        outcome
    }

    fn count_joins(&self, outcome: &mut Outcome) {
        let mut joins = Latencies::default();
        for viewer in self.crowd.iter() {
            let there = viewer.first_picture.or(viewer.connected);
            if let Some(there) = there {
                joins.record((there - viewer.clicked).as_nanos() as u64);
            }
        }
        for (name, share) in [("join_p50_us", 0.5), ("join_p99_us", 0.99)] {
            let time = joins.quantile_us(share).unwrap_or_default();
            outcome.count(name, time as u64);
        }
        let over = self.crowd.iter().filter(|it| it.closed.is_some()).count();
        outcome.count("over", over as u64);
    }

    fn count_recovery(&mut self, outcome: &mut Outcome) {
        let behaviour = &self.arguments.behaviour;
        let now = Instant::now();
        if behaviour.loss > 0.0 {
            let mut sum = Recovery::default();
            let mut repairs = Latencies::default();
            for viewer in self.crowd.iter_mut() {
                sum.add(viewer.missing().counts(now));
                for time in viewer.repairs.drain(..) {
                    repairs.record(time.as_nanos() as u64);
                }
            }
            let pending = self.crowd.iter_mut();
            let pending: usize = pending.map(|viewer| viewer.missing().pending(now)).sum();
            outcome.count("pending", pending as u64);
            outcome.count("dropped", sum.dropped);
            outcome.count("recovered", sum.recovered);
            outcome.count("late", sum.late);
            outcome.count("never", sum.never);
            for (name, share) in [("repair_p50_us", 0.5), ("repair_p99_us", 0.99)] {
                if let Some(time) = repairs.quantile_us(share) {
                    outcome.count(name, time as u64);
                }
            }
        }
        if behaviour.verify > 0 {
            let whole = |of: fn(&Viewer) -> u64| self.crowd.iter().map(of).sum();
            outcome.count("frames", whole(|it| it.whole.frames));
            outcome.count("gaps", whole(|it| it.whole.gaps));
            outcome.count("wrong", whole(|it| it.whole.wrong));
        }
    }

    fn count_delays(&self, outcome: &mut Outcome) {
        let Some(publisher) = &self.publisher else {
            return;
        };
        if !self.arguments.behaviour.latency {
            return;
        }
        let sent = publisher.sent();
        let mut delays = FrameDelays::default();
        for log in self.crowd.iter().filter_map(|it| it.log.as_ref()) {
            delays.add(&sent, log);
        }
        outcome.latency_us = delays.between.last.summary();
        let mut count = |name: &str, latencies: &Latencies, share: f64| {
            if let Some(time) = latencies.quantile_us(share) {
                outcome.count(name, time as u64);
            }
        };
        count("first_p50_us", &delays.between.first, 0.5);
        count("first_p99_us", &delays.between.first, 0.99);
        count("keyframe_first_p99_us", &delays.keyframes.first, 0.99);
        count("keyframe_p50_us", &delays.keyframes.last, 0.5);
        count("keyframe_p99_us", &delays.keyframes.last, 0.99);
        count("keyframe_max_us", &delays.keyframes.last, 1.0);
        outcome.count("unmatched_frames", delays.unmatched);
    }
}
