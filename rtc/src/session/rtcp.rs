//! RTCP of a session whose media is ours: reports each second, a goodbye, and what the viewer says.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::rtp::Ssrc;
use str0m::{Input, Rtc};

use super::replay::Sent;
use super::{Panicked, Session};
use crate::egress::{self, Route, Srtcp};
use crate::rtcp::{self, Feedback};
use crate::{Outbox, SocketIndex};

/// How often the tracks are reported. RFC 3550 §6.2 asks for once in 5 s; a browser needs two reports of
/// each track to play them in step.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// When the first reports go out after the connection: there are packets to report by then.
const FIRST_REPORT: Duration = Duration::from_millis(100);

/// How long reports may wait for what the viewer sends, which wakes the session anyway: a browser
/// reports each second, give or take half of it.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// How long after the last word of a viewer another one is expected.
const HEARD: Duration = Duration::from_secs(2);

/// RTCP of a session whose keys are for AES-GCM.
#[derive(Default)]
pub(super) struct Rtcp {
    pub(super) keys: Option<Srtcp>,
    /// When to report next; nothing before the connection.
    pub(super) due: Option<Instant>,
}

impl Rtcp {
    /// There are keys, perhaps new ones. Should they be the old ones once more, indices still go on.
    pub(super) fn keyed(&mut self, keys: Option<Srtcp>) {
        let before = std::mem::replace(&mut self.keys, keys);
        if let (Some(before), Some(keys)) = (before, &mut self.keys) {
            keys.go_on_from(&before);
        }
    }
}

impl Session {
    /// The viewer is connected and its media ours: reports begin.
    pub(crate) fn begin_reports(&mut self, now: Instant, out: &mut Outbox) {
        if self.rtcp.keys.is_some() && self.rtcp.due.is_none() {
            self.rtcp.due = Some(now + FIRST_REPORT);
            self.arm(now, out);
        }
    }

    /// When the session is to wake for its reports. A viewer that was heard just now is soon heard again.
    pub(super) fn reports_at(&self) -> Option<Instant> {
        let due = self.rtcp.due?;
        let waits = due < self.last_activity + HEARD;
        Some(if waits { due + PATIENCE } else { due })
    }

    /// Reports both tracks, where it is time to. str0m is asked first where the viewer is: a change of
    /// networks shows in nothing else while there is only media.
    pub(super) fn report(&mut self, now: Instant, out: &mut Outbox) -> Result<(), Panicked> {
        if self.rtcp.due.is_none_or(|due| now < due) {
            return Ok(());
        }
        self.rtcp.due = Some(now + REPORT_INTERVAL);
        self.turn(now, out, |rtc: &mut Rtc| {
            egress::probe();
            rtc.handle_input(Input::Timeout(now)).is_ok()
        })?;
        // Where ICE is lost, nobody has agreed to be sent anything any more (RFC 7675 §5.1).
        if self.ice_lost.is_none() {
            let compound = self.compound(now);
            self.clock.reported = Some((now, self.clock.time(now)));
            self.send_sealed(compound, out);
        }
        Ok(())
    }

    /// SRTCP from an authenticated address. Where str0m opens it, it does not know what it had before.
    pub(crate) fn reports(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Panicked> {
        let Some(sent) = self.replays.read(bytes) else {
            self.signals.early += 1;
            return Ok(());
        };
        if self.replays.has(sent) {
            self.signals.replayed += 1;
            return Ok(());
        }
        if let Some(keys) = &self.rtcp.keys {
            let Some(compound) = keys.open(bytes) else {
                self.signals.refused += 1;
                return Ok(());
            };
            self.stats.connection.bytes_received += bytes.len() as u64;
            self.heard(sent, from, to);
            self.on_feedback(now, &compound);
            return self.report(now, out);
        }
        self.signals.reported = false;
        self.datagram(now, from, to, bytes, out)?;
        if self.signals.reported {
            self.heard(sent, from, to);
        }
        Ok(())
    }

    /// An authentic packet of RTCP came. A viewer sends it from where it wants to be sent to, so the
    /// newest one shows a change of address that str0m takes for no better pair, and would see when
    /// the old one has been silent for 15 s. Of a check, which anybody can send again from anywhere,
    /// that cannot be said.
    fn heard(&mut self, sent: Sent, from: SocketAddr, to: SocketAddr) {
        let newest = self.replays.insert(sent);
        let mut sockets = self.sockets.iter();
        let socket = sockets.position(|socket| socket.advertised == to);
        if let Some(socket) = socket.and_then(|at| u8::try_from(at).ok())
            && newest
            && self.route.is_some()
        {
            self.serve_at(Route {
                socket: SocketIndex(socket),
                to: from,
            });
        }
    }

    /// Says that the tracks end (RFC 3550 §6.6).
    pub(super) fn say_goodbye(&mut self, now: Instant, out: &mut Outbox) {
        if self.rtcp.due.is_none() {
            return;
        }
        let mut compound = self.compound(now);
        let tracks = [&self.video, &self.audio];
        let sources: Vec<Ssrc> = tracks.iter().filter_map(|track| track.ssrc).collect();
        rtcp::write_goodbye(&mut compound, &sources);
        self.send_sealed(compound, out);
    }

    /// A sender report and a name of each track (RFC 3550 §6.1).
    fn compound(&self, now: Instant) -> Vec<u8> {
        let mut compound = Vec::new();
        let ntp = self.clock.ntp(now);
        let tracks = [&self.video, &self.audio];
        for report in tracks.iter().filter_map(|track| track.report(now)) {
            rtcp::write_sender_report(&mut compound, ntp, &report);
        }
        for track in tracks {
            if let Some(ssrc) = track.ssrc {
                rtcp::write_description(&mut compound, ssrc, &track.name);
            }
        }
        compound
    }

    fn send_sealed(&mut self, compound: Vec<u8>, out: &mut Outbox) {
        let Some(route) = self.route else { return };
        let Some(keys) = &mut self.rtcp.keys else {
            return;
        };
        if let Some(sealed) = keys.seal(compound) {
            self.signals.datagrams += 1;
            self.signals.bytes += sealed.len() as u64;
            self.unsealed_bytes += sealed.len() as u64;
            out.datagram(self.key, route.socket, route.to, false, &sealed);
        }
    }

    /// What the viewer says, of a datagram that is authentic.
    pub(super) fn on_feedback(&mut self, now: Instant, compound: &[u8]) {
        self.touch(now);
        let mut wants_keyframe = false;
        rtcp::read(compound, |feedback| match feedback {
            Feedback::Received(report) => self.on_report(now, &report),
            Feedback::Nack { ssrc, missing } => self.on_nack(ssrc, missing),
            Feedback::Keyframe { ssrc } if Some(ssrc) == self.video.ssrc => {
                self.stats.video.plis += 1;
                wants_keyframe = true;
            }
            Feedback::Keyframe { .. } => {}
        });
        self.signals.keyframe_requests += u64::from(wants_keyframe);
    }
}
