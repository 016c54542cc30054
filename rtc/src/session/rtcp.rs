//! RTCP of a session whose media is ours: reports each second, a goodbye, and what the viewer says.

use std::time::{Duration, Instant};

use str0m::rtp::Ssrc;
use str0m::{Input, Rtc};

use super::{Panicked, Session};
use crate::Outbox;
use crate::egress::{self, Srtcp};
use crate::rtcp::{self, Feedback};

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
        let compound = self.compound(now);
        self.clock.reported = Some((now, self.clock.time(now)));
        self.send_sealed(compound, out);
        Ok(())
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
