//! Fan-out: from the tracks of the sources to every viewer, in slices.
//!
//! A written frame marks its source dirty. A sweep then goes once around the source's viewers, from
//! another first viewer each time, and gives each what it has not got, at most [`BURST_PACKETS`].
//! Who has more to get (a keyframe, a join) waits in the pacing queue, where it gets as much again
//! each [`PACE`]. A viewer reads its track in order whichever way it is served, so no frame
//! overtakes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use str0m::rtp::RtpWrite;
use str0m::{Input, Rtc};

use crate::egress::{Keying, SendTime, Shipped};
use crate::session::{Panicked, Session};
use crate::source::RESTART_INTERVAL;
use crate::track::Track;
use crate::viewer::{Beginning, Lane, Negotiated, Viewer};
use crate::{CloseReason, Codec, Outbox, Plane, SessionKey, SourceKey};

/// RTP packets that a viewer gets at a time. A frame of 720p at 2 Mbit/s has 7, a keyframe 41:
/// those would be a burst that a home router drops.
pub(crate) const BURST_PACKETS: usize = 16;
/// Time between two bursts to one viewer: 16 packets each 2 ms are 73 Mbit/s.
pub(crate) const PACE: Duration = Duration::from_millis(2);
/// Viewers of one source that are served before the next source has its turn.
const SWEEP_VIEWERS: usize = 16;

/// A viewer in the pacing queue.
#[derive(Clone, Copy)]
pub(crate) struct Paced {
    at: Instant,
    session: SessionKey,
    /// Where it was when it was queued, so that its session, which is large and elsewhere in memory,
    /// need not be asked.
    source: SourceKey,
    place: usize,
}

impl Plane {
    /// One slice of fan-out: writes RTP packets until about `packets` are written (a viewer's burst
    /// is not divided), or nothing is left. True while work is left that needs no waiting.
    pub fn fan_out(&mut self, now: Instant, packets: usize, out: &mut Outbox) -> bool {
        let mut left = packets;
        while left > 0
            && let Some(paced) = self.paced.front().copied()
            && paced.at <= now
        {
            self.paced.pop_front();
            if let Some((source, place)) = self.place_of_paced(&paced) {
                left = left.saturating_sub(self.serve(now, source, place, true, out));
            }
        }
        while left > 0
            && let Some(source) = self.dirty.pop_front()
        {
            left = left.saturating_sub(self.sweep(now, source, left, out));
        }
        self.is_unswept() || self.next_pacing().is_some_and(|at| at <= now)
    }

    /// Whether something was written that no fan-out has looked at.
    pub fn is_unswept(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// When fan-out has more for a viewer that it holds back.
    pub fn next_pacing(&self) -> Option<Instant> {
        self.paced.front().map(|paced| paced.at)
    }

    pub(crate) fn mark_dirty(&mut self, key: SourceKey) {
        let Some(source) = self.sources.get_mut(key) else {
            return;
        };
        if source.unswept == 0 {
            // Another viewer is first each time.
            source.hand += 1;
        }
        source.unswept = source.viewers.len();
        if !source.dirty {
            source.dirty = true;
            self.dirty.push_back(key);
        }
    }

    /// Serves the next viewers of a source, and puts it back in the queue where some are left.
    /// Returns what that cost, in packets.
    fn sweep(&mut self, now: Instant, key: SourceKey, budget: usize, out: &mut Outbox) -> usize {
        let mut cost = 0;
        for _ in 0..SWEEP_VIEWERS {
            let Some(source) = self.sources.get_mut(key) else {
                return cost;
            };
            if source.unswept == 0 || source.viewers.is_empty() || cost >= budget {
                break;
            }
            source.unswept -= 1;
            source.hand %= source.viewers.len();
            let place = source.hand;
            source.hand += 1;
            cost += self.serve(now, key, place, false, out);
        }
        if let Some(source) = self.sources.get_mut(key) {
            if source.unswept > 0 && !source.viewers.is_empty() {
                self.dirty.push_back(key);
            } else {
                (source.unswept, source.dirty) = (0, false);
                source.trim();
            }
        }
        cost
    }

    /// Gives a viewer what it has not got, up to a burst. One that waits in the pacing queue is
    /// `due` only when that says so. Returns the packets written, at least 1: looking costs
    /// something too.
    fn serve(
        &mut self,
        now: Instant,
        source_key: SourceKey,
        place: usize,
        due: bool,
        out: &mut Outbox,
    ) -> usize {
        let Some(source) = self.sources.get_mut(source_key) else {
            return 1;
        };
        let Some(viewer) = source.viewers.get_mut(place) else {
            return 1;
        };
        if viewer.paced && !due {
            return 1;
        }
        viewer.paced = false;
        let tracks = (&source.video, &source.audio);
        if !viewer.has_work(tracks) {
            return 1;
        }
        let key = viewer.session;
        let written = if viewer.sealer.is_some() {
            let send_time = SendTime::new(now, self.epoch);
            let send = || viewer.send(now, send_time, tracks, BURST_PACKETS, out);
            catch_unwind(AssertUnwindSafe(send)).map_err(|_| {
                self.counters.panics += 1;
                Panicked
            })
        } else {
            match self.sessions.get_mut(key) {
                Some(session) => session.write_media(now, viewer, tracks, out),
                None => return 1,
            }
        };
        if written.is_ok() && viewer.has_work(tracks) {
            viewer.paced = true;
            self.paced.push_back(Paced {
                at: now + PACE,
                session: key,
                source: source_key,
                place,
            });
        }
        let sealed = viewer.sealer.is_some();
        self.counters.frames_skipped += viewer.video.take_skipped();
        let unsupported = [
            viewer.video.take_unsupported(),
            viewer.audio.take_unsupported(),
        ];
        for codec in unsupported.into_iter().flatten() {
            self.not_negotiated(key, codec, out);
        }
        let packets = match written {
            Ok(shipped) => {
                self.counters.datagrams_sent += shipped.datagrams;
                self.counters.rtp_packets_sent += shipped.datagrams;
                self.counters.rtp_packets_resent += shipped.resent;
                self.counters.bytes_sent += shipped.bytes;
                shipped.packets
            }
            Err(Panicked) => {
                if let Some(session) = self.sessions.get_mut(key) {
                    session.signals.closed = Some(CloseReason::Fault);
                }
                0
            }
        };
        if !sealed || written.is_err() {
            self.settle(now, key, out);
        }
        packets.max(1)
    }

    /// A session has connected: its source's pictures are for it from now on. Once in its life, for
    /// its lanes hold the indices that must never begin again.
    pub(crate) fn attach(&mut self, now: Instant, key: SessionKey, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        if session.viewer.is_some() {
            return;
        }
        let Ok((video, audio)) = session.negotiated(now, out) else {
            return;
        };
        let source_key = session.source();
        let Some(source) = self.sources.get_mut(source_key) else {
            return;
        };
        let random = &mut self.random;
        let mut lane = |track: Negotiated, codec: Codec, tally| {
            let beginning = Beginning {
                sequence: random.sequence(),
                resend_sequence: random.sequence(),
                rtp: random.rtp_offset(),
            };
            Lane::new(track, codec.clock_rate(), beginning, tally)
        };
        let video = lane(video, Codec::H264, session.video.tally.clone());
        let audio = lane(audio, Codec::Opus, session.audio.tally.clone());
        session.viewer = Some(source.viewers.len());
        source.viewers.push(Viewer {
            session: key,
            video,
            audio,
            sealer: None,
            route: None,
            paced: false,
        });
        session.begin_reports(now, out);
        self.refit(key);
        self.resume(now, key, out);
    }

    /// Serves the viewer with the keys and to the address that its session has now.
    pub(crate) fn refit(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let Some(viewer) = session.viewer.and_then(|place| {
            let source = self.sources.get_mut(session.source())?;
            source.viewers.get_mut(place)
        }) else {
            return;
        };
        viewer.route = session.route;
        match session.keying.take() {
            Some(Keying::Sealed(sealer)) => viewer.sealer = Some(sealer),
            Some(Keying::Through) => viewer.sealer = None,
            None => {}
        }
    }

    /// The viewer asks for packets again. str0m answers where it has sent them.
    pub(crate) fn ask_again(&mut self, now: Instant, key: SessionKey, lost: &[u16]) {
        let round_trip = self.session(key).and_then(Session::round_trip);
        let asked = self.viewer_mut(key).is_some_and(|viewer| {
            viewer.sealer.is_some() && viewer.video.ask_again(now, lost, round_trip)
        });
        if asked {
            self.serve_soon(now, key);
        }
    }

    /// Another answer may have changed what the viewer takes.
    pub(crate) fn renegotiate(&mut self, now: Instant, key: SessionKey, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let Ok((video, audio)) = session.negotiated(now, out) else {
            return;
        };
        let place = session.viewer;
        let Some(source) = self.sources.get_mut(session.source()) else {
            return;
        };
        let missing: Vec<Codec> = source
            .codecs()
            .filter(|codec| {
                let track = if codec.is_video() { &video } else { &audio };
                track.formats.iter().all(|format| format.codec != *codec)
            })
            .collect();
        if let Some(viewer) = place.and_then(|place| source.viewers.get_mut(place)) {
            viewer.video.renegotiate(video);
            viewer.audio.renegotiate(audio);
        }
        for codec in missing {
            self.not_negotiated(key, codec, out);
        }
    }

    /// Takes the session out of its source's table of viewers.
    pub(crate) fn detach(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let Some(place) = session.viewer.take() else {
            return;
        };
        let Some(source) = self.sources.get_mut(session.source()) else {
            return;
        };
        source.viewers.swap_remove(place);
        if source.unswept > 0 {
            // The viewer that moved may have jumped behind the hand.
            source.unswept = source.viewers.len();
        }
        if let Some(moved) = source.viewers.get(place)
            && let Some(moved) = self.sessions.get_mut(moved.session)
        {
            moved.viewer = Some(place);
        }
    }

    /// ICE is lost: nothing is sent into the void.
    pub(crate) fn pause(&mut self, key: SessionKey) {
        if let Some(viewer) = self.viewer_mut(key) {
            viewer.video.pause();
            viewer.audio.pause();
        }
    }

    /// ICE works: the viewer starts with the pictures since the last keyframe.
    pub(crate) fn resume(&mut self, now: Instant, key: SessionKey, out: &mut Outbox) {
        let Some(session) = self.sessions.get(key) else {
            return;
        };
        let source_key = session.source();
        let Some(place) = session.viewer else { return };
        let Some(source) = self.sources.get_mut(source_key) else {
            return;
        };
        let Some(viewer) = source.viewers.get_mut(place) else {
            return;
        };
        viewer.video.join_video();
        viewer.audio.join_audio(&source.audio);
        let starves = source.video.gop().is_none();
        self.serve_soon(now, key);
        if starves {
            self.want_keyframe(now, source_key, out);
        }
    }

    /// The viewer asks for a keyframe. The publisher is asked, where it was not just now. One that
    /// cannot make keyframes has not answered by the time the viewer asks again: then what is
    /// cached since the last one is sent once more, which is sooner than the next.
    pub(crate) fn picture_lost(&mut self, now: Instant, key: SessionKey, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(key) else {
            return;
        };
        let source_key = session.source();
        let rested = session
            .restarted
            .is_none_or(|at| now >= at + RESTART_INTERVAL);
        if rested
            && self
                .sources
                .get(source_key)
                .is_some_and(|s| s.can_restart(now))
        {
            session.restarted = Some(now);
            if let Some(viewer) = self.viewer_mut(key) {
                viewer.video.join_video();
                self.serve_soon(now, key);
            }
        }
        self.want_keyframe(now, source_key, out);
    }

    /// Puts the viewer at the front of the pacing queue.
    fn serve_soon(&mut self, now: Instant, key: SessionKey) {
        let Some((source, place)) = self.place_of(key) else {
            return;
        };
        let viewers = self.sources.get_mut(source).map(|it| &mut it.viewers);
        if let Some(viewer) = viewers.and_then(|viewers| viewers.get_mut(place))
            && !viewer.paced
        {
            viewer.paced = true;
            self.paced.push_front(Paced {
                at: now,
                session: key,
                source,
                place,
            });
        }
    }

    /// Where a viewer of the pacing queue is now: others may have left since.
    fn place_of_paced(&self, paced: &Paced) -> Option<(SourceKey, usize)> {
        let source = self.sources.get(paced.source);
        let there = source.and_then(|source| source.viewers.get(paced.place));
        match there.is_some_and(|viewer| viewer.session == paced.session) {
            true => Some((paced.source, paced.place)),
            false => self.place_of(paced.session),
        }
    }

    /// Where a viewer is in the tables.
    fn place_of(&self, key: SessionKey) -> Option<(SourceKey, usize)> {
        let session = self.sessions.get(key)?;
        Some((session.source(), session.viewer?))
    }

    fn viewer_mut(&mut self, key: SessionKey) -> Option<&mut Viewer> {
        let (source, place) = self.place_of(key)?;
        self.sources.get_mut(source)?.viewers.get_mut(place)
    }
}

/// A viewer without AES-GCM: str0m seals its packets, and sends them again.
impl Session {
    /// Writes up to a burst of packets, audio first: it is little, and heard at once when late. The
    /// signals of the turn count the datagrams.
    fn write_media(
        &mut self,
        now: Instant,
        viewer: &mut Viewer,
        (video, audio): (&Track, &Track),
        out: &mut Outbox,
    ) -> Result<Shipped, Panicked> {
        let mut packets = 0;
        self.turn(now, out, |rtc| {
            packets = write_lane(now, rtc, &mut viewer.audio, audio, BURST_PACKETS);
            let left = BURST_PACKETS.saturating_sub(packets);
            packets += write_lane(now, rtc, &mut viewer.video, video, left);
            // str0m takes what was written with the time that comes in.
            rtc.handle_input(Input::Timeout(now)).is_ok()
        })?;
        Ok(Shipped {
            packets,
            ..Shipped::default()
        })
    }
}

/// Writes up to `limit` packets; returns how many.
fn write_lane(now: Instant, rtc: &mut Rtc, lane: &mut Lane, track: &Track, limit: usize) -> usize {
    let mut written = 0;
    let mut api = rtc.direct_api();
    let mut stream = lane.ssrc().and_then(|ssrc| api.stream_tx(&ssrc));
    let tally = lane.tally.clone();
    while written < limit
        && let Some(outgoing) = lane.next(now, track, limit - written)
    {
        let (rtp, wallclock) = (outgoing.rtp, outgoing.wallclock);
        for packet in outgoing.packets {
            let index = outgoing.indices.take();
            written += 1;
            tally.update(|sent| sent.count(packet, rtp, wallclock));
            if let Some(stream) = &mut stream {
                let (sequence, payload) = (index.value().into(), packet.payload.clone());
                let write = RtpWrite::new(outgoing.payload_type, sequence, rtp, wallclock, payload)
                    .marker(packet.marker)
                    .nackable(packet.codec.is_video());
                stream.write_rtp(write);
            }
        }
    }
    written
}
