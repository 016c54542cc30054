//! What viewers report (RTCP), and the statistics that follow from it.

use std::time::{Duration, Instant, SystemTime};

use str0m::rtp::rtcp::{ReceptionReport, Rtcp};
use str0m::rtp::{RawPacket, Ssrc};

use super::Session;
use crate::TrackStats;
use crate::egress::{Report, Sent, Tally};
use crate::rtcp::Missing;
use crate::stats::STATS_INTERVAL;
use crate::viewer::Negotiated;

/// From 1900, where NTP time begins, to 1970 (RFC 868).
const NTP_TO_UNIX: Duration = Duration::from_secs(2_208_988_800);
/// Longest round trip that is believed. More comes from a report of something else.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(10);
/// What clocks and roundings may make a round trip too short by.
const ROUNDING: i32 = 65_536 / 1_000;
/// Least time that a loss ratio is taken over. A browser may report each 40 packets, of which one
/// lost would be a lot.
const LOSS_WINDOW: Duration = Duration::from_secs(2);
/// Packets that one turn may ask for again: those of a NACK as large as str0m reads.
pub(super) const MAX_LOST: usize = 31 * 17;

/// One track as our reports and the viewer's show it.
pub(crate) struct TrackReports {
    pub(super) ssrc: Option<Ssrc>,
    resend: Option<Ssrc>,
    /// Its canonical name (RFC 3550 §6.5.1), as the offer says it.
    pub(super) name: Box<str>,
    clock_rate: u32,
    /// What its lane has sent, and had at the last statistics.
    pub(crate) tally: Tally,
    counted: Sent,
    /// The viewer's reports at the last two beginnings of a window, the older one first.
    windows: Option<(Received, Received)>,
}

/// What a viewer has reported of a track.
#[derive(Clone, Copy)]
struct Received {
    at: Instant,
    /// Highest sequence number, with its rollovers.
    highest: u32,
    lost: i32,
}

/// The time of day that sender reports carry.
pub(super) struct Clock {
    /// An instant, and the time of day that it was.
    start: (Instant, SystemTime),
    /// Of the last report: ours, or one that str0m has made, whose clock is its own.
    pub(super) reported: Option<(Instant, SystemTime)>,
}

impl TrackReports {
    pub(super) fn new(clock_rate: u32) -> Self {
        Self {
            ssrc: None,
            resend: None,
            name: Box::default(),
            clock_rate,
            tally: Tally::default(),
            counted: Sent::default(),
            windows: None,
        }
    }

    pub(super) fn negotiated(&mut self, track: &Negotiated) {
        // A track refused for a while keeps its SSRC.
        self.ssrc = self.ssrc.or(track.ssrc);
        self.resend = self.resend.or(track.resend);
        if self.name.is_empty() {
            self.name = track.name.clone();
        }
    }

    /// What a sender report made now should say.
    pub(super) fn report(&self, now: Instant) -> Option<Report> {
        let sent = self.tally.get();
        Some(Report {
            ssrc: self.ssrc?,
            packets: sent.packets as u32,
            octets: sent.bytes as u32,
            rtp: sent.rtp_at(now, self.clock_rate),
        })
    }

    /// Takes a reception report (RFC 3550 §6.4.1) of this track.
    fn received(&mut self, now: Instant, report: &ReceptionReport, stats: &mut TrackStats) {
        let received = Received {
            at: now,
            highest: report.max_seq,
            // 24 bits with a sign: packets that came twice count as found.
            lost: ((report.packets_lost << 8) as i32) >> 8,
        };
        stats.packets_lost = u64::try_from(received.lost).unwrap_or(0);
        stats.jitter_ms = f64::from(report.jitter) * 1_000.0 / f64::from(self.clock_rate);
        let Some((older, newer)) = self.windows else {
            stats.loss_ratio = f64::from(report.fraction_lost) / 256.0;
            self.windows = Some((received, received));
            return;
        };
        // RFC 3550 §A.3, over one to two windows.
        let expected = received.highest.wrapping_sub(older.highest) as i32;
        let lost = received.lost.wrapping_sub(older.lost);
        if expected > 0 {
            stats.loss_ratio = (f64::from(lost) / f64::from(expected)).clamp(0.0, 1.0);
        }
        if now.saturating_duration_since(newer.at) >= LOSS_WINDOW {
            self.windows = Some((newer, received));
        }
    }

    /// Counts and rates since the last time.
    fn count(&mut self, span: Duration, stats: &mut TrackStats) {
        let sent = self.tally.get();
        let seconds = span.as_secs_f64().max(f64::EPSILON);
        let bytes = |sent: &Sent| sent.bytes + sent.resent_bytes;
        stats.fps = (sent.frames - self.counted.frames) as f64 / seconds;
        stats.bitrate_bps = ((bytes(&sent) - bytes(&self.counted)) as f64 * 8.0 / seconds) as u64;
        stats.frames_sent = sent.frames;
        stats.frames_skipped = sent.skipped;
        stats.packets_sent = sent.packets + sent.resent_packets;
        stats.bytes_sent = bytes(&sent);
        stats.codec = sent.codec;
        self.counted = sent;
    }
}

impl Clock {
    pub(super) fn new(start: (Instant, SystemTime)) -> Self {
        Self {
            start,
            reported: None,
        }
    }

    pub(super) fn time(&self, now: Instant) -> SystemTime {
        let (at, time) = self.start;
        time + now.saturating_duration_since(at)
    }

    /// As an NTP timestamp: units of 2⁻³² s since 1900.
    pub(super) fn ntp(&self, now: Instant) -> u64 {
        ntp(self.time(now))
    }

    /// The round trip that a reception report tells (RFC 3550 §6.4.1).
    fn round_trip(&self, now: Instant, report: &ReceptionReport) -> Option<Duration> {
        let (at, time) = self.reported?;
        if report.last_sr_time == 0 {
            return None;
        }
        let now = middle(time + now.saturating_duration_since(at));
        let trip = now
            .wrapping_sub(report.last_sr_time)
            .wrapping_sub(report.last_sr_delay) as i32;
        if trip < -ROUNDING {
            return None;
        }
        let trip = Duration::from_secs(u64::from(trip.max(0).unsigned_abs())) / 65_536;
        (trip <= MAX_ROUND_TRIP).then_some(trip)
    }
}

fn ntp(time: SystemTime) -> u64 {
    let unix = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let ntp = unix + NTP_TO_UNIX;
    ((ntp.as_nanos() << 32) / 1_000_000_000) as u64
}

/// The middle 32 bits of an NTP timestamp: seconds, with 16 bits after the point.
fn middle(time: SystemTime) -> u32 {
    (ntp(time) >> 16) as u32
}

impl Session {
    /// A packet of RTCP that came or went, or one of RTP, where str0m seals.
    pub(super) fn on_packet(&mut self, now: Instant, packet: RawPacket) {
        match packet {
            RawPacket::RtcpRx(rtcp) => {
                self.signals.reported = true;
                self.touch(now);
                self.on_rtcp(now, rtcp);
            }
            RawPacket::RtcpTx(Rtcp::SenderReport(report)) => {
                self.clock.reported = Some((now, report.sender_info.ntp_time));
            }
            RawPacket::RtpTx(header, packet) if Some(header.ssrc) == self.video.resend => {
                let len = packet.len().saturating_sub(header.header_len);
                self.signals.rtp_packets_resent += 1;
                self.video.tally.update(|sent| sent.count_resent(len));
            }
            RawPacket::RtcpTx(_) | RawPacket::RtpTx(..) | RawPacket::RtpRx(..) => {}
        }
    }

    fn on_rtcp(&mut self, now: Instant, rtcp: Rtcp) {
        match rtcp {
            Rtcp::ReceiverReport(report) => {
                report.reports.iter().for_each(|r| self.on_report(now, r));
            }
            Rtcp::SenderReport(report) => {
                report.reports.iter().for_each(|r| self.on_report(now, r));
            }
            Rtcp::Nack(nack) => {
                let missing = nack.reports.iter().map(|entry| Missing {
                    sequence: entry.pid,
                    following: entry.blp,
                });
                self.on_nack(nack.ssrc, missing);
            }
            Rtcp::Pli(pli) if Some(pli.ssrc) == self.video.ssrc => self.stats.video.plis += 1,
            Rtcp::Fir(fir) => {
                let ours = |asked| Some(asked) == self.video.ssrc;
                let asked = fir.reports.iter().filter(|entry| ours(entry.ssrc));
                self.stats.video.plis += asked.count() as u64;
            }
            _ => {}
        }
    }

    /// The viewer asks for packets of a track again.
    pub(super) fn on_nack(&mut self, ssrc: Ssrc, missing: impl IntoIterator<Item = Missing>) {
        if Some(ssrc) != self.video.ssrc {
            return;
        }
        self.signals.nacks += 1;
        self.stats.video.nacks += 1;
        for Missing {
            sequence,
            following,
        } in missing
        {
            let after = (0..16).filter(|bit| following >> bit & 1 == 1);
            let after = after.map(|bit| sequence.wrapping_add(bit + 1));
            self.signals.lost.push(sequence);
            self.signals.lost.extend(after);
        }
        self.signals.lost.truncate(MAX_LOST);
    }

    pub(super) fn on_report(&mut self, now: Instant, report: &ReceptionReport) {
        let (track, stats) = if Some(report.ssrc) == self.video.ssrc {
            (&mut self.video, &mut self.stats.video)
        } else if Some(report.ssrc) == self.audio.ssrc {
            (&mut self.audio, &mut self.stats.audio)
        } else {
            return;
        };
        track.received(now, report, stats);
        if let Some(trip) = self.clock.round_trip(now, report) {
            stats.rtt_ms = Some(trip.as_secs_f64() * 1_000.0);
            self.stats.connection.rtt_ms = stats.rtt_ms;
        }
    }

    /// The newest round trip, where a report told one.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let ms = self.stats.connection.rtt_ms?;
        Some(Duration::from_secs_f64(ms / 1_000.0))
    }

    /// Takes statistics, where the last ones are a second old.
    pub(super) fn take_stats(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.stats_at);
        if span < STATS_INTERVAL {
            return;
        }
        self.stats_at = now;
        self.video.count(span, &mut self.stats.video);
        self.audio.count(span, &mut self.stats.audio);
        let sealed = self.video.tally.get().sealed_bytes + self.audio.tally.get().sealed_bytes;
        let connection = &mut self.stats.connection;
        connection.bytes_sent = self.unsealed_bytes + sealed;
        connection.remote = self.route.map(|route| route.to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    fn report(max_seq: u32, packets_lost: u32) -> ReceptionReport {
        ReceptionReport {
            ssrc: 1.into(),
            fraction_lost: 64,
            packets_lost,
            max_seq,
            jitter: 900,
            last_sr_time: 0,
            last_sr_delay: 0,
        }
    }

    #[test]
    fn loss_is_that_of_the_last_seconds() {
        let now = start();
        let mut track = TrackReports::new(90_000);
        let mut stats = TrackStats::default();
        let mut ratios = Vec::new();
        // A hundred packets a second, of which ten are lost in the third second.
        for (second, lost) in [0, 0, 0, 10, 10, 10, 10, 10, 10].into_iter().enumerate() {
            let at = now + Duration::from_secs(second as u64);
            let highest = (u32::MAX - 250).wrapping_add(100 * second as u32);
            track.received(at, &report(highest, lost), &mut stats);
            ratios.push((stats.loss_ratio * 1_000.0).round() as u32);
        }
        assert_eq!(ratios, [250, 0, 0, 33, 25, 33, 25, 0, 0]);
        assert_eq!((stats.packets_lost, stats.jitter_ms), (10, 10.0));
    }

    #[test]
    fn more_found_than_sent_and_sequences_that_go_back_are_no_loss() {
        let now = start();
        let mut track = TrackReports::new(90_000);
        let mut stats = TrackStats::default();
        for (highest, lost) in [(100, 5), (200, 0x00ff_fffe), (50, 0x007f_ffff)] {
            track.received(now, &report(highest, lost), &mut stats);
            assert!((0.0..=1.0).contains(&stats.loss_ratio));
        }
        track.received(now, &report(300, 0x00ff_fffe), &mut stats);
        assert_eq!((stats.packets_lost, stats.loss_ratio), (0, 0.0));
    }

    #[test]
    fn the_round_trip_is_what_the_viewer_did_not_wait() {
        let now = start();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let clock = Clock {
            start: (now, time),
            reported: Some((now, time)),
        };
        let ms = |ms| Duration::from_millis(ms);
        let trip = |last_sr_time, waited: u32, at| {
            let report = ReceptionReport {
                last_sr_time,
                last_sr_delay: waited * 65_536 / 1_000,
                ..report(0, 0)
            };
            let trip = clock.round_trip(now + at, &report);
            trip.map(|trip| trip.as_secs_f64() * 1_000.0)
        };
        let sent = middle(time);
        let found = trip(sent, 500, ms(520)).unwrap();
        assert!((found - 20.0).abs() < 0.1, "{found} ms");
        // A report of an earlier sender report, from before the newest.
        let found = trip(middle(time - ms(1_000)), 1_500, ms(530)).unwrap();
        assert!((found - 30.0).abs() < 0.1, "{found} ms");
        assert_eq!(trip(0, 0, ms(520)), None, "it has seen no sender report");
        assert_eq!(
            trip(sent, 700, ms(520)),
            None,
            "it cannot have waited so long"
        );
        assert_eq!(trip(sent.wrapping_sub(1 << 24), 0, ms(0)), None);
    }
}
