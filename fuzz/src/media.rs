//! The media plane's entries: datagrams, answers, candidates.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use rtc::{
    MAX_SDP_BYTES, MediaSocket, Outbox, Plane, PlaneConfig, PlaneLimits, SessionError, SessionKey,
    SessionState, SocketIndex,
};
use str0m::change::SdpOffer;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Output, Rtc, RtcConfig};

use super::bitstreams::epoch;
use super::world::identity;

/// Bytes of a full datagram over Ethernet.
const DATAGRAM_BYTES: usize = 1_500;
/// Steps in which a handshake is over, where nothing disturbs it.
const HANDSHAKE_STEPS: usize = 30;
const STEP: Duration = Duration::from_millis(20);
/// What a viewer's answer says of itself where it stands for any.
const UFRAG: &str = "abcd";

fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 40_000))
}

fn viewer_address() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 10_000))
}

fn stranger() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 9], 4_242))
}

/// A plane with one session.
struct Session {
    now: Instant,
    plane: Plane,
    out: Outbox,
    key: SessionKey,
    offer: String,
}

impl Session {
    fn new() -> Self {
        let now = epoch();
        let config = PlaneConfig {
            identity: identity(),
            sockets: vec![MediaSocket {
                bound: server(),
                advertised: server(),
            }],
            limits: PlaneLimits::default(),
            seed: [3; 32],
        };
        let mut plane = Plane::new(now, config).expect("a plane");
        let mut out = Outbox::new();
        let source = plane.add_source();
        let (key, offer) = plane
            .create_session(now, source, &mut out)
            .expect("a session");
        Self {
            now,
            plane,
            out,
            key,
            offer,
        }
    }

    fn answer(&mut self, sdp: &str) -> Result<(), SessionError> {
        self.plane
            .accept_answer(self.now, self.key, sdp, &mut self.out)
    }

    fn is_open(&self) -> bool {
        self.plane.session(self.key).is_some()
    }

    /// What is due, and what that leaves to send: destination and bytes.
    fn step(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.now += STEP;
        self.plane.timeout(self.now, self.key, &mut self.out);
        self.take()
    }

    fn take(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.out.events().for_each(drop);
        self.out.timers().for_each(drop);
        let runs = self.out.runs();
        let sent = runs
            .flat_map(|run| {
                run.contents
                    .chunks(run.segment)
                    .map(move |bytes| (run.to, bytes.to_vec()))
            })
            .collect();
        self.out.clear_runs();
        sent
    }

    fn hear(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.plane
            .datagram(self.now, SocketIndex(0), from, bytes, &mut self.out);
    }

    /// Nothing was caught, and closing leaves nothing.
    fn finish(mut self) {
        self.plane.close_session(self.now, self.key, &mut self.out);
        assert_eq!(self.plane.sessions(), 0);
        assert_eq!(self.plane.demux_entries(), 0, "the tables are empty");
        assert_eq!(self.plane.counters().panics, 0, "a panic was caught");
    }
}

/// A viewer's answer. `MID0`, `MID1` and `MID2` stand for the mids of the offer.
pub fn sdp_answer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut session = Session::new();
    let text = with_mids(text, &session.offer);
    match session.answer(&text) {
        Ok(()) => {
            assert!(text.len() <= MAX_SDP_BYTES);
            assert!(session.is_open());
            let again = session
                .answer(&text)
                .expect_err("an offer is answered once");
            assert!(matches!(again, SessionError::NoOpenOffer), "{again}");
            // It goes on: with time, and with a fresh offer.
            session.step();
            let (now, key) = (session.now, session.key);
            let offer = session.plane.offer(now, key, true, &mut session.out);
            let offer = offer.expect("another offer");
            let _ = session.answer(&with_mids(&text, &offer));
        }
        Err(SessionError::BadSdp(fault)) => {
            assert!(fault.len() < 64 + 2 * text.len().min(MAX_SDP_BYTES));
            assert!(!fault.contains('\n'), "{fault:?}");
            let good = answer_to(&session.offer);
            session.answer(&good).expect("the offer is still open");
        }
        Err(other) => panic!("neither good nor bad: {other}"),
    }
    session.step();
    session.finish();
}

/// Trickled candidates, one a line.
pub fn candidate(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut session = Session::new();
    let limit = PlaneLimits::default().candidates;
    let mut full = false;
    for line in text.split('\n') {
        match session.plane.add_candidate(session.now, session.key, line) {
            Ok(()) => {}
            Err(SessionError::BadCandidate(fault)) => assert!(!fault.contains('\n'), "{fault:?}"),
            Err(SessionError::TooManyCandidates { limit: told }) => {
                assert_eq!(told, limit);
                assert!(text.lines().count() > limit);
                full = true;
            }
            Err(other) => panic!("neither good nor bad: {other}"),
        }
    }
    let refused = session.plane.counters().candidates_refused;
    assert_eq!(full, refused > 0);
    // Nothing else suffers.
    session
        .answer(&answer_to(&session.offer.clone()))
        .expect("a good answer");
    session.step();
    session.finish();
}

/// Datagrams at a session. First byte: how far its handshake is; then each datagram has a byte for
/// where it comes from and how it is made, two for its length, and its bytes.
pub fn datagram(data: &[u8]) {
    let Some((&stage, mut rest)) = data.split_first() else {
        return;
    };
    let mut call = Call::new(stage);
    while let [how, high, low, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])) % DATAGRAM_BYTES;
        let (bytes, more) = more.split_at(length.min(more.len()));
        call.play(*how, bytes);
        rest = more;
    }
    call.end();
}

/// A session and its viewer, who is real.
struct Call {
    session: Session,
    viewer: Rtc,
    /// The viewer's datagrams that are still to come.
    on_the_way: Vec<Vec<u8>>,
    /// It has been told something that its viewer did not say.
    disturbed: bool,
}

impl Call {
    fn new(stage: u8) -> Self {
        let mut session = Session::new();
        let mut viewer = RtcConfig::new().build(session.now);
        let host = Candidate::host(viewer_address(), "udp").expect("a host candidate");
        viewer.add_local_candidate(host);
        // As the DTLS client that every browser then is.
        let offer = session.offer.replace("a=setup:actpass", "a=setup:passive");
        let offer = SdpOffer::from_sdp_string(&offer).expect("an offer");
        let answer = viewer
            .sdp_api()
            .accept_offer(offer)
            .expect("an offer to accept");
        let stages = usize::from(stage) % (HANDSHAKE_STEPS + 2);
        if stages > 0 {
            session
                .answer(&answer.to_sdp_string())
                .expect("a good answer");
        }
        let mut call = Self {
            session,
            viewer,
            on_the_way: Vec::new(),
            disturbed: false,
        };
        (1..stages).for_each(|_| call.step());
        let connected = call.state() == Some(SessionState::Connected);
        assert!(
            connected || stages <= HANDSHAKE_STEPS,
            "the handshake is over"
        );
        call
    }

    /// Time passes, and what the viewer has said arrives.
    fn step(&mut self) {
        let sent = self.session.step();
        self.show(sent);
        for bytes in std::mem::take(&mut self.on_the_way) {
            self.session.hear(viewer_address(), &bytes);
            let sent = self.session.take();
            self.show(sent);
        }
        let _ = self.viewer.handle_input(Input::Timeout(self.session.now));
        self.drain();
    }

    fn show(&mut self, sent: Vec<(SocketAddr, Vec<u8>)>) {
        for (to, bytes) in sent {
            if to != viewer_address() {
                continue;
            }
            if let Ok(receive) = Receive::new(Protocol::Udp, server(), to, &bytes) {
                // The viewer's own opinion of what it hears is not what is tested here.
                let _ = self
                    .viewer
                    .handle_input(Input::Receive(self.session.now, receive));
                self.drain();
            }
        }
    }

    fn drain(&mut self) {
        while let Ok(output) = self.viewer.poll_output() {
            match output {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => self.on_the_way.push(transmit.contents.to_vec()),
                Output::Event(_) => {}
            }
        }
    }

    fn play(&mut self, how: u8, bytes: &[u8]) {
        match how % 6 {
            // Of somebody who has passed no check: it changes nothing, and gets no answer.
            0 => {
                let before = self.state();
                let known = self.session.plane.demux_entries();
                self.session.hear(stranger(), bytes);
                let sent = self.session.take();
                assert!(
                    sent.iter().all(|(to, _)| *to != stranger()),
                    "an answer to a stranger"
                );
                assert_eq!(self.state(), before);
                assert_eq!(self.session.plane.demux_entries(), known);
                self.show(sent);
            }
            // From the viewer's address, as it is.
            1 => self.tell(viewer_address(), bytes),
            // Of the viewer, turned into something else on its way.
            2 => {
                if let Some(mut datagram) = self.on_the_way.pop() {
                    for (byte, turn) in datagram.iter_mut().zip(bytes) {
                        *byte ^= turn;
                    }
                    self.tell(viewer_address(), &datagram);
                }
            }
            // Somebody who knows the password: integrity and fingerprint are right.
            3 => self.tell(viewer_address(), &self.check(bytes)),
            4 => {
                self.disturbed = true;
                self.session.hear(stranger(), &self.check(bytes));
                let sent = self.session.take();
                self.show(sent);
            }
            _ => self.step(),
        }
    }

    fn tell(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.disturbed = true;
        self.session.hear(from, bytes);
        let sent = self.session.take();
        let answered: usize = sent.iter().map(|(_, bytes)| bytes.len()).sum();
        // A flight of DTLS, or the answer to a check.
        assert!(
            answered <= 8 * DATAGRAM_BYTES,
            "{answered} B for {}",
            bytes.len()
        );
        self.show(sent);
    }

    fn state(&self) -> Option<SessionState> {
        Some(self.session.plane.session(self.session.key)?.state())
    }

    /// A binding request with these attributes and, behind them, the integrity (RFC 8489 §14.5) and
    /// the fingerprint (§14.7) of somebody who knows the session's password.
    fn check(&self, attributes: &[u8]) -> Vec<u8> {
        let value = |name: &str| {
            let (_, rest) = self.session.offer.split_once(name)?;
            rest.lines().next()
        };
        let (ufrag, password) = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
        let (ufrag, password) = (ufrag.unwrap_or_default(), password.unwrap_or_default());
        let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.extend([7; 12]);
        attribute(&mut message, 0x0006, format!("{ufrag}:{UFRAG}").as_bytes());
        message.extend_from_slice(&attributes[..attributes.len() & !3]);
        length(&mut message, 24);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
        let tag = hmac::sign(&key, &message);
        attribute(&mut message, 0x0008, tag.as_ref());
        length(&mut message, 8);
        let fingerprint = crc32(&message) ^ 0x5354_554e;
        attribute(&mut message, 0x8028, &fingerprint.to_be_bytes());
        message
    }

    /// The session is as its viewer left it, or closed; never half.
    fn end(mut self) {
        for _ in 0..3 {
            self.step();
        }
        assert!(self.disturbed || self.session.is_open(), "nobody closed it");
        self.session.finish();
    }
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Writes the length that the message has with `more` bytes to come.
fn length(message: &mut [u8], more: usize) {
    let length = (message.len() - 20 + more) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

/// CRC-32 of ISO/IEC 13239, as STUN uses it.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes
        .iter()
        .fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// An answer to our offer that takes everything, of a viewer that will never be seen.
pub fn answer_to(offer: &str) -> String {
    let mut answer = String::new();
    for line in offer.lines() {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "a=candidate"
            | "a=end-of-candidates"
            | "a=ice-lite"
            | "a=ssrc"
            | "a=ssrc-group"
            | "a=msid" => continue,
            "a=ice-ufrag" => answer += &format!("a=ice-ufrag:{UFRAG}"),
            "a=ice-pwd" => answer += "a=ice-pwd:0123456789012345678901",
            "a=setup" => answer += "a=setup:active",
            "a=sendonly" => answer += "a=recvonly",
            _ => answer += line,
        }
        answer += "\r\n";
    }
    answer
}

/// Puts the offer's mids where the text names them.
fn with_mids(text: &str, offer: &str) -> String {
    let mids = offer.lines().filter_map(|line| line.strip_prefix("a=mid:"));
    let places = ["MID0", "MID1", "MID2"];
    let named = places.iter().zip(mids);
    named.fold(text.to_owned(), |text, (place, mid)| {
        text.replace(place, mid)
    })
}
