//! One viewer's WebRTC session: str0m, driven so that nothing can be forgotten.
//!
//! Everything that changes the `Rtc` goes through [`Session::turn`], which makes the one change,
//! drains all that follows from it into the outbox, re-arms the timer, and catches a panic.

mod alarm;
mod events;
mod negotiation;
mod replay;
mod reports;
mod rtcp;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use str0m::channel::{ChannelConfig, ChannelId};
use str0m::format::PayloadParams;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Candidate, IceCreds, Input, Rtc, RtcConfig};

use self::alarm::Alarm;
use self::negotiation::Negotiation;
use self::replay::Replays;
use self::reports::{Clock, TrackReports};
use self::rtcp::Rtcp;
use crate::demux::{Admitted, Kind};
use crate::dtls;
use crate::egress::{self, Keying, Route};
use crate::{
    CloseReason, Codec, Event, IceState, Identity, MediaSocket, Outbox, SessionKey, SessionState,
    SessionStats, SourceKey,
};

/// Label of the data channel that every offer opens.
pub const CONTROL_LABEL: &str = "control";
/// Longest message on the data channel, in bytes, either way. A clipboard fits.
pub const CONTROL_MESSAGE_BYTES: usize = 64 << 10;
/// How long ICE may be lost before the session is closed. str0m reports the loss 15 s after the
/// last check, which is longer than a change of networks takes.
pub const ICE_GONE: Duration = Duration::from_secs(30);

/// Bytes written to the data channel and not acknowledged. More are refused.
const CONTROL_BUFFERED_BYTES: usize = 2 * CONTROL_MESSAGE_BYTES;
/// Packets that str0m queues per track where it seals itself: half a second of 720p at 2 Mbit/s.
const SEND_BUFFER_PACKETS: usize = 128;
/// How many times str0m may ask to be called again at once. It does so while a handshake moves on;
/// after that the next tick is soon enough.
const IMMEDIATE_TIMEOUTS: usize = 4;
/// A WebRTC session with one viewer.
pub struct Session {
    key: SessionKey,
    source: SourceKey,
    rtc: Rtc,
    pub(crate) negotiation: Negotiation,
    sockets: Rc<[MediaSocket]>,
    state: SessionState,
    ice_state: IceState,
    /// When ICE was lost.
    ice_lost: Option<Instant>,
    created: Instant,
    last_activity: Instant,
    pub(crate) candidates: usize,
    control: Control,
    /// Authenticated addresses, the least recently checked one first.
    pub(crate) addresses: VecDeque<Admitted>,
    /// How many were ever admitted since the last ICE restart.
    pub(crate) addresses_seen: usize,
    /// Its place in the source's table of viewers, while it is connected.
    pub(crate) viewer: Option<usize>,
    pub(crate) restarted: Option<Instant>,
    /// Codecs reported as not negotiated.
    pub(crate) reported: Vec<crate::Codec>,
    /// Keys that its viewer has not been given yet.
    pub(crate) keying: Option<Keying>,
    /// Where the viewer is served.
    pub(crate) route: Option<Route>,
    /// Where str0m sent its last datagram that was not for ICE: its selected pair.
    selected: Option<Route>,
    pub(crate) video: TrackReports,
    pub(crate) audio: TrackReports,
    clock: Clock,
    replays: Replays,
    rtcp: Rtcp,
    stats: SessionStats,
    /// When the last statistics were taken.
    stats_at: Instant,
    /// Bytes of the datagrams that str0m made.
    unsealed_bytes: u64,
    deadline: Instant,
    alarm: Alarm,
    /// A turn has panicked: there is no further one.
    failed: bool,
    pub(crate) signals: Signals,
}

/// What a turn found that concerns more than the session. The plane acts on it after the turn.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    pub(crate) connected: bool,
    pub(crate) ice_lost: bool,
    pub(crate) ice_back: bool,
    pub(crate) keyframe_requests: u64,
    pub(crate) nacks: u64,
    /// Sequence numbers of pictures that the viewer asks for again.
    pub(crate) lost: Vec<u16>,
    /// Keys, or another address, that the viewer is to be served with.
    pub(crate) refitted: bool,
    pub(crate) refused: u64,
    pub(crate) replayed: u64,
    /// SRTCP before there were keys for it.
    pub(crate) early: u64,
    /// An RTCP packet was authentic.
    pub(crate) reported: bool,
    pub(crate) messages_dropped: u64,
    pub(crate) panics: u64,
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
    pub(crate) rtp_packets: u64,
    pub(crate) rtp_packets_resent: u64,
    pub(crate) closed: Option<CloseReason>,
    /// Channels that the viewer opened; only ours is served.
    pub(crate) foreign_channels: Vec<ChannelId>,
    /// Its next turn is to panic.
    #[cfg(feature = "fault-injection")]
    pub(crate) struck: bool,
}

struct Control {
    id: ChannelId,
    open: bool,
}

/// A panic was caught. The session is closed; its `Rtc` is not touched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// What a session is made from.
pub(crate) struct Birth<'a> {
    pub(crate) key: SessionKey,
    pub(crate) source: SourceKey,
    pub(crate) identity: &'a Identity,
    pub(crate) sockets: Rc<[MediaSocket]>,
    pub(crate) candidates: &'a [Candidate],
    pub(crate) credentials: IceCreds,
    /// An instant, and the time of day that it was.
    pub(crate) clock: (Instant, SystemTime),
    pub(crate) formats: Vec<PayloadParams>,
}

impl Session {
    /// A session with its first offer open.
    pub(crate) fn new(now: Instant, birth: Birth<'_>) -> Result<Box<Self>, Panicked> {
        // str0m's constructors panic where they fail, which must not end the shard.
        catch_unwind(AssertUnwindSafe(|| Self::build(now, birth))).map_err(|_| Panicked)
    }

    fn build(now: Instant, birth: Birth<'_>) -> Box<Self> {
        let mut rtc = configuration(&birth).build(now);
        for candidate in birth.candidates {
            rtc.add_local_candidate(candidate.clone());
        }
        let mut changes = rtc.sdp_api();
        // One stream for both tracks, so that the browser plays them in step (RFC 8830 §2).
        let stream = Some("media".to_owned());
        let mut add = |kind, track: &str| {
            let track = Some(track.to_owned());
            changes.add_media(kind, Direction::SendOnly, stream.clone(), track, None)
        };
        let video = add(MediaKind::Video, "video");
        let audio = add(MediaKind::Audio, "audio");
        let control = changes.add_channel_with_config(ChannelConfig {
            label: CONTROL_LABEL.to_owned(),
            ..ChannelConfig::default()
        });
        let (offer, pending) = changes.apply().expect("added media needs an offer");
        let negotiation = Negotiation::new(
            video,
            audio,
            birth.credentials,
            &offer.to_sdp_string(),
            pending,
        );
        Box::new(Self {
            key: birth.key,
            source: birth.source,
            rtc,
            negotiation,
            sockets: birth.sockets,
            state: SessionState::New,
            ice_state: IceState::New,
            ice_lost: None,
            created: now,
            last_activity: now,
            candidates: 0,
            control: Control {
                id: control,
                open: false,
            },
            addresses: VecDeque::new(),
            addresses_seen: 0,
            viewer: None,
            restarted: None,
            reported: Vec::new(),
            keying: None,
            route: None,
            selected: None,
            video: TrackReports::new(Codec::H264.clock_rate()),
            audio: TrackReports::new(Codec::Opus.clock_rate()),
            clock: Clock::new(birth.clock),
            replays: Replays::default(),
            rtcp: Rtcp::default(),
            stats: SessionStats::new(),
            stats_at: now,
            unsealed_bytes: 0,
            deadline: now,
            alarm: Alarm::default(),
            failed: false,
            signals: Signals::default(),
        })
    }

    /// Its key.
    pub fn key(&self) -> SessionKey {
        self.key
    }

    /// The source that it shows.
    pub fn source(&self) -> SourceKey {
        self.source
    }

    /// Where it is in its life.
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// State of ICE.
    pub fn ice_state(&self) -> IceState {
        self.ice_state
    }

    /// When it was created.
    pub fn created(&self) -> Instant {
        self.created
    }

    /// When the viewer last proved that it is there: a STUN check with the right integrity, SRTCP,
    /// the data channel, or a request through the API.
    pub fn last_activity(&self) -> Instant {
        self.last_activity
    }

    /// Remote ICE candidates taken, those of the answer included.
    pub fn candidates(&self) -> usize {
        self.candidates
    }

    /// Whether the data channel is open.
    pub fn channel_open(&self) -> bool {
        self.control.open
    }

    /// Statistics, up to date to a second or two.
    pub fn stats(&self) -> &SessionStats {
        &self.stats
    }

    pub(crate) fn stats_mut(&mut self) -> &mut SessionStats {
        &mut self.stats
    }

    pub(crate) fn touch(&mut self, now: Instant) {
        self.last_activity = self.last_activity.max(now);
    }

    pub(crate) fn move_to(&mut self, state: SessionState, out: &mut Outbox) {
        if self.state != state {
            self.state = state;
            out.event(Event::SessionState {
                session: self.key,
                state,
            });
        }
    }

    /// Makes one change and drains what follows from it.
    pub(crate) fn turn<R>(
        &mut self,
        now: Instant,
        out: &mut Outbox,
        change: impl FnOnce(&mut Rtc) -> R,
    ) -> Result<R, Panicked> {
        if self.failed {
            return Err(Panicked);
        }
        let turn = AssertUnwindSafe(|| {
            #[cfg(feature = "fault-injection")]
            if std::mem::take(&mut self.signals.struck) {
                panic!("an injected fault: a session's turn");
            }
            let result = change(&mut self.rtc);
            self.drain(now, out);
            for _ in 0..IMMEDIATE_TIMEOUTS {
                if self.deadline > now || self.signals.closed.is_some() {
                    break;
                }
                self.input(Input::Timeout(now));
                self.drain(now, out);
            }
            result
        });
        let (turned, keyed) = egress::during(|| catch_unwind(turn));
        if let Some((keying, keys)) = keyed {
            self.replays.keyed(&keying);
            self.rtcp.keyed(keys);
            self.keying = Some(keying);
            self.signals.refitted = true;
        }
        match turned {
            Ok(result) => {
                self.take_stats(now);
                self.arm(now, out);
                Ok(result)
            }
            Err(_) => {
                self.failed = true;
                self.signals.panics += 1;
                self.signals.closed = Some(CloseReason::Fault);
                Err(Panicked)
            }
        }
    }

    /// Time has come to what is due.
    pub(crate) fn advance(&mut self, now: Instant, out: &mut Outbox) -> Result<(), Panicked> {
        if self.ice_lost.is_some_and(|lost| now >= lost + ICE_GONE) {
            self.signals.closed.get_or_insert(CloseReason::IceTimeout);
        }
        self.report(now, out)?;
        if self.next_deadline() > now {
            return Ok(());
        }
        let refused = self.turn(now, out, |rtc| {
            rtc.handle_input(Input::Timeout(now)).is_err()
        })?;
        self.signals.refused += u64::from(refused);
        Ok(())
    }

    /// A datagram from an authenticated address.
    pub(crate) fn datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Panicked> {
        if Kind::of(bytes) != Kind::Stun {
            self.stats.connection.bytes_received += bytes.len() as u64;
        }
        let refused = self.turn(now, out, |rtc| {
            let Ok(receive) = Receive::new(Protocol::Udp, from, to, bytes) else {
                return true;
            };
            rtc.handle_input(Input::Receive(now, receive)).is_err()
        })?;
        // Junk from an address that anyone can forge is no reason to close anything.
        self.signals.refused += u64::from(refused) + dtls::take_kept_back();
        Ok(())
    }

    fn input(&mut self, input: Input<'_>) {
        if self.rtc.handle_input(input).is_err() {
            self.signals.refused += 1;
        }
    }

    /// Says goodbye: RTCP BYE and DTLS `close_notify` go into the outbox.
    pub(crate) fn close(&mut self, now: Instant, out: &mut Outbox) {
        self.say_goodbye(now, out);
        // What fails or panics here has nobody left to tell.
        let closed = self.turn(now, out, |rtc| rtc.close().is_ok());
        if closed == Ok(false) {
            // An association that is being opened cannot be shut down, and str0m leaves DTLS as it
            // is then.
            let again = |rtc: &mut Rtc| rtc.handle_input(Input::Timeout(now)).is_ok();
            let _ = dtls::closing(|| self.turn(now, out, again));
        }
        self.state = SessionState::Closed;
    }

    /// Sends text on the data channel; false when it is closed, or holds too much already.
    pub(crate) fn send_text(&mut self, now: Instant, text: &str, out: &mut Outbox) -> bool {
        if !self.control.open || text.len() > CONTROL_MESSAGE_BYTES {
            return false;
        }
        let id = self.control.id;
        let write = |rtc: &mut Rtc| {
            let written = rtc
                .channel(id)
                .map(|mut channel| channel.write(false, text.as_bytes()));
            matches!(written, Some(Ok(true)))
        };
        self.turn(now, out, write).unwrap_or(false)
    }

    /// The owner's timer fired, perhaps early, perhaps one that an earlier time had replaced.
    pub(crate) fn fired(&mut self, now: Instant, out: &mut Outbox) -> Result<(), Panicked> {
        self.alarm.fired(now);
        if self.next_deadline() <= now {
            self.advance(now, out)
        } else {
            self.arm(now, out);
            Ok(())
        }
    }

    fn next_deadline(&self) -> Instant {
        let gone = self.ice_lost.map(|lost| lost + ICE_GONE);
        let others = [gone, self.reports_at()].into_iter().flatten();
        others.fold(self.deadline, Instant::min)
    }

    fn arm(&mut self, now: Instant, out: &mut Outbox) {
        let next = self.next_deadline();
        if self.alarm.arm(now, next) {
            out.timer(self.key, next);
        }
    }
}

fn configuration(birth: &Birth<'_>) -> RtcConfig {
    let mut extensions = ExtensionMap::empty();
    // No transport-wide sequence numbers: without a bandwidth estimate they only cost.
    extensions.set(1, Extension::RtpMid);
    extensions.set(2, Extension::AbsoluteSendTime);
    let mut config = RtcConfig::new()
        .set_crypto_provider(birth.identity.crypto().clone())
        .set_dtls_cert(birth.identity.certificate())
        .set_local_ice_credentials(birth.credentials.clone())
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_extension_map(extensions)
        // Of RTCP: what viewers report is read here.
        .enable_raw_packets(true)
        .set_send_buffer_audio(SEND_BUFFER_PACKETS)
        .set_send_buffer_video(SEND_BUFFER_PACKETS)
        .set_sctp_max_buffered_amount(CONTROL_BUFFERED_BYTES)
        .set_sctp_max_message_size(CONTROL_MESSAGE_BYTES as u32);
    *config.codec_config() =
        str0m::format::CodecConfig::new_from_payload_params(birth.formats.clone());
    config
}

#[cfg(test)]
mod tests;
