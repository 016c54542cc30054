//! One viewer's WebRTC session: str0m, driven so that nothing can be forgotten.
//!
//! Everything that changes the `Rtc` goes through [`Session::turn`], which makes the one change,
//! drains all that follows from it into the outbox, re-arms the timer, and catches a panic.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use str0m::channel::{ChannelConfig, ChannelData, ChannelId};
use str0m::format::PayloadParams;
use str0m::media::{Direction, MediaKind};
use str0m::rtp::{Extension, ExtensionMap};
use str0m::stats::MediaEgressStats;
use str0m::{Candidate, IceCreds, Input, Output, Rtc, RtcConfig};

use crate::negotiation::Negotiation;
use crate::stats::STATS_INTERVAL;
use crate::{
    CloseReason, Event, IceState, Identity, MediaSocket, Outbox, SessionKey, SessionState,
    SessionStats, SocketIndex, SourceKey,
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
/// Packets that str0m queues and keeps for retransmission per track: half a second of 720p at
/// 2 Mbit/s, for 85 kB a session.
const SEND_BUFFER_PACKETS: usize = 128;
/// How many times str0m may ask to be called again at once. It does so while a handshake moves on;
/// after that the next tick is soon enough.
const IMMEDIATE_TIMEOUTS: usize = 4;
/// By how much an owner's timer may be early and still count as fired: one tick.
const TIMER_SLACK: Duration = Duration::from_millis(5);

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
    pub(crate) addresses: VecDeque<(SocketIndex, SocketAddr)>,
    /// How many were ever admitted since the last ICE restart.
    pub(crate) addresses_seen: usize,
    /// Its place in the source's table of viewers, while it is connected.
    pub(crate) viewer: Option<usize>,
    pub(crate) restarted: Option<Instant>,
    /// Codecs reported as not negotiated.
    pub(crate) reported: Vec<crate::Codec>,
    stats: SessionStats,
    /// Frames of video and audio at the last report, when that was, and what it covered.
    frames_reported: (u64, u64),
    stats_at: Instant,
    stats_span: Duration,
    deadline: Instant,
    alarm: Alarm,
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
    pub(crate) refused: u64,
    pub(crate) messages_dropped: u64,
    pub(crate) panics: u64,
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
    pub(crate) rtp_packets: u64,
    pub(crate) closed: Option<CloseReason>,
    /// Channels that the viewer opened; only ours is served.
    pub(crate) foreign_channels: Vec<ChannelId>,
}

struct Control {
    id: ChannelId,
    open: bool,
}

/// The one timer that the owner holds for the session.
#[derive(Debug, Default)]
struct Alarm {
    armed: Option<Instant>,
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
    pub(crate) formats: Vec<PayloadParams>,
}

impl Session {
    /// A session with its first offer open.
    pub(crate) fn new(now: Instant, birth: Birth<'_>) -> Result<Self, Panicked> {
        // str0m's constructors panic where they fail, which must not end the shard.
        catch_unwind(AssertUnwindSafe(|| Self::build(now, birth))).map_err(|_| Panicked)
    }

    fn build(now: Instant, birth: Birth<'_>) -> Self {
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
        Self {
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
            stats: SessionStats::new(),
            frames_reported: (0, 0),
            stats_at: now,
            stats_span: STATS_INTERVAL,
            deadline: now,
            alarm: Alarm::default(),
            signals: Signals::default(),
        }
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

    /// Statistics, up to date to the second.
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
        let turned = catch_unwind(AssertUnwindSafe(|| {
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
        }));
        match turned {
            Ok(result) => {
                self.arm(now, out);
                Ok(result)
            }
            Err(_) => {
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
        self.receive(now, Input::Timeout(now), out)
    }

    /// Time, or a datagram from an authenticated address.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Panicked> {
        let refused = self.turn(now, out, |rtc| rtc.handle_input(input).is_err())?;
        // Junk from an address that anyone can forge is no reason to close anything.
        self.signals.refused += u64::from(refused);
        Ok(())
    }

    fn input(&mut self, input: Input<'_>) {
        if self.rtc.handle_input(input).is_err() {
            self.signals.refused += 1;
        }
    }

    /// Says goodbye: RTCP BYE and DTLS `close_notify` go into the outbox.
    pub(crate) fn close(&mut self, now: Instant, out: &mut Outbox) {
        // What fails or panics here has nobody left to tell.
        let _ = self.turn(now, out, |rtc| rtc.close().is_ok());
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
        gone.map_or(self.deadline, |gone| gone.min(self.deadline))
    }

    fn arm(&mut self, now: Instant, out: &mut Outbox) {
        let next = self.next_deadline();
        if self.alarm.arm(now, next) {
            out.timer(self.key, next);
        }
    }

    fn drain(&mut self, now: Instant, out: &mut Outbox) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    break;
                }
                Ok(Output::Transmit(transmit)) => self.transmit(&transmit, out),
                Ok(Output::Event(event)) => self.on_event(now, event, out),
                Err(error) => {
                    // Another certificate than the answer named, or a handshake given up.
                    tracing::debug!(%error, "session failed");
                    self.signals.closed.get_or_insert(CloseReason::DtlsFailed);
                    break;
                }
            }
        }
        if !self.rtc.is_alive() {
            self.signals.closed.get_or_insert(CloseReason::DtlsFailed);
        }
    }

    fn transmit(&mut self, transmit: &str0m::net::Transmit, out: &mut Outbox) {
        let from = self
            .sockets
            .iter()
            .position(|socket| socket.advertised == transmit.source);
        let Some(index) = from.and_then(|index| u8::try_from(index).ok()) else {
            return;
        };
        let media = is_rtp(&transmit.contents);
        self.signals.datagrams += 1;
        self.signals.bytes += transmit.contents.len() as u64;
        self.signals.rtp_packets += u64::from(media);
        let to = transmit.destination;
        out.datagram(self.key, SocketIndex(index), to, media, &transmit.contents);
    }

    fn on_event(&mut self, now: Instant, event: str0m::Event, out: &mut Outbox) {
        use str0m::Event as E;
        match event {
            E::Connected => {
                self.touch(now);
                self.signals.connected = true;
                self.move_to(SessionState::Connected, out);
            }
            E::IceConnectionStateChange(state) => self.on_ice(now, state.into(), out),
            E::ChannelOpen(id, _) if id == self.control.id => {
                self.control.open = true;
                out.event(Event::ChannelOpen { session: self.key });
            }
            E::ChannelOpen(id, _) => self.signals.foreign_channels.push(id),
            E::ChannelClose(id) if id == self.control.id => self.control.open = false,
            E::ChannelData(data) => self.on_message(now, data, out),
            E::KeyframeRequest(_) => {
                self.touch(now);
                self.signals.keyframe_requests += 1;
            }
            E::MediaEgressStats(report) => self.on_egress(&report),
            // The first of each round of reports.
            E::PeerStats(report) => {
                self.stats_span = report.timestamp.saturating_duration_since(self.stats_at);
                self.stats_at = report.timestamp;
                let connection = &mut self.stats.connection;
                connection.bytes_sent = report.peer_bytes_tx;
                connection.bytes_received = report.peer_bytes_rx;
                connection.remote = report.selected_candidate_pair.map(|pair| pair.remote.addr);
            }
            E::Closed => {
                self.signals.closed.get_or_insert(CloseReason::PeerClosed);
            }
            _ => {}
        }
    }

    fn on_ice(&mut self, now: Instant, state: IceState, out: &mut Outbox) {
        if state == self.ice_state {
            return;
        }
        self.ice_state = state;
        self.stats.connection.ice_state = state;
        out.event(Event::IceState {
            session: self.key,
            state,
        });
        match state {
            IceState::Disconnected => {
                self.ice_lost.get_or_insert(now);
                self.signals.ice_lost = true;
            }
            IceState::Connected | IceState::Completed => {
                self.ice_lost = None;
                self.signals.ice_back = true;
            }
            // A restart, or a first check after a loss: the time of the loss still runs.
            IceState::New | IceState::Checking => {}
        }
    }

    fn on_message(&mut self, now: Instant, data: ChannelData, out: &mut Outbox) {
        self.touch(now);
        let ours = data.id == self.control.id && !data.binary;
        match String::from_utf8(data.data) {
            Ok(text) if ours && text.len() <= CONTROL_MESSAGE_BYTES => {
                out.event(Event::ChannelMessage {
                    session: self.key,
                    text,
                });
            }
            Ok(_) | Err(_) => self.signals.messages_dropped += 1,
        }
    }

    fn on_egress(&mut self, report: &MediaEgressStats) {
        let video = report.mid == self.negotiation.video();
        let (track, before) = if video {
            (&mut self.stats.video, &mut self.frames_reported.0)
        } else {
            (&mut self.stats.audio, &mut self.frames_reported.1)
        };
        self.signals.nacks += track.report(report, self.stats_span, *before);
        *before = track.frames_sent;
        self.stats.connection.rtt_ms = track.rtt_ms.or(self.stats.connection.rtt_ms);
    }
}

impl Alarm {
    /// A timer fired: the armed one, unless that is still to come.
    fn fired(&mut self, now: Instant) {
        if self.armed.is_some_and(|at| at <= now + TIMER_SLACK) {
            self.armed = None;
        }
    }

    /// Whether the owner must be told of `next`: it is earlier than what is armed, or what is armed
    /// should have fired long ago.
    fn arm(&mut self, now: Instant, next: Instant) -> bool {
        if self
            .armed
            .is_some_and(|at| at <= next && at + TIMER_SLACK >= now)
        {
            return false;
        }
        self.armed = Some(next);
        true
    }
}

/// RTP, and not RTCP (RFC 5761 §4), DTLS or STUN.
fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, ..] if !(64..96).contains(&(second & 0x7f)))
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
        .set_stats_interval(Some(STATS_INTERVAL))
        .set_send_buffer_audio(SEND_BUFFER_PACKETS)
        .set_send_buffer_video(SEND_BUFFER_PACKETS)
        .set_sctp_max_buffered_amount(CONTROL_BUFFERED_BYTES)
        .set_sctp_max_message_size(CONTROL_MESSAGE_BYTES as u32);
    *config.codec_config() =
        str0m::format::CodecConfig::new_from_payload_params(birth.formats.clone());
    config
}
