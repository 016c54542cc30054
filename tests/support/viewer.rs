//! A viewer: str0m over a real UDP socket. [`super::viewers::Viewers`] drives one or hundreds of them.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use str0m::change::SdpOffer;
use str0m::channel::ChannelId;
use str0m::config::DtlsCert;
use str0m::crypto::{CryptoProvider, from_feature_flags};
use str0m::format::{Codec, PayloadParams};
use str0m::media::{KeyframeRequestKind, MediaData, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};

use super::http::Connection;
use super::rtp::Streams;

/// Asked of the kernel for each socket, which gives what it allows: a keyframe of 720p is some 50 kB in one burst.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// One read: no datagram is longer.
pub const READ_BYTES: usize = 64 * 1024;

/// Reads per wake-up, so that no viewer starves the others.
const READS_PER_TURN: usize = 16;

/// What a viewer can do, and how it behaves.
#[derive(Clone, Copy, Debug)]
pub struct ViewerOptions {
    /// Codecs in the answer.
    pub codecs: &'static [Codec],
    /// Whether pictures are put together again. Without it packets are decrypted and counted, at a third of the cost.
    pub frames: bool,
    /// Whether lost packets are asked for again.
    pub nack: bool,
    /// Loses each nth RTP packet before the viewer sees it; 0: none.
    pub lose_each: u32,
    /// Address of its socket.
    pub local: IpAddr,
}

impl Default for ViewerOptions {
    fn default() -> Self {
        let codecs = &[Codec::H264, Codec::Vp8, Codec::Opus];
        Self {
            codecs,
            frames: true,
            nack: true,
            lose_each: 0,
            local: Ipv4Addr::LOCALHOST.into(),
        }
    }
}

/// A picture, or an audio packet, as the viewer got it.
#[derive(Clone, Debug)]
pub struct Frame {
    pub at: Instant,
    pub codec: Codec,
    pub keyframe: bool,
    /// Whether nothing is missing between the one before and this.
    pub contiguous: bool,
    /// RTP time in seconds, extended.
    pub time: f64,
    pub data: Arc<[u8]>,
}

/// One viewer.
pub struct Viewer {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    options: ViewerOptions,
    deadline: Instant,
    rtp_seen: u32,
    video: Option<Mid>,
    channel: Option<ChannelId>,

    /// Id of the session, once it is known.
    pub session: String,
    /// When the session was asked for.
    pub clicked: Instant,
    /// When ICE and DTLS were done.
    pub connected: Option<Instant>,
    /// When the first picture was whole.
    pub first_picture: Option<Instant>,
    pub ice: IceConnectionState,
    /// Why the viewer is over: the server's close, or a fault of the stack.
    pub closed: Option<String>,
    /// RTP on the wire, before any loss that the viewer plays.
    pub wire: Streams,
    /// Pictures in order, with [`ViewerOptions::frames`].
    pub pictures: Vec<Frame>,
    /// Audio packets in order, with [`ViewerOptions::frames`].
    pub sounds: Vec<Frame>,
    /// Packets that were decrypted, without [`ViewerOptions::frames`].
    pub packets: u64,
    /// Label of the data channel that the server opened.
    pub channel_label: Option<String>,
    /// What came over the data channel and was not taken yet.
    pub texts: VecDeque<String>,
}

impl Viewer {
    /// Asks for a session of `device` over HTTP and answers its offer. The connection comes up as it is driven.
    ///
    /// # Panics
    /// When the server refuses.
    #[track_caller]
    pub fn join(http: SocketAddr, device: &str, options: ViewerOptions) -> Self {
        let clicked = Instant::now();
        let mut connection = Connection::open(http);
        let mut post = |target: &str, body: Value| {
            let headers = [("Content-Type", "application/json")];
            let response =
                connection.request("POST", target, &headers, body.to_string().as_bytes());
            assert!(
                response.status < 300,
                "{} {}",
                response.status,
                response.text()
            );
            response
        };
        let created = post(
            "/api/media/sessions",
            json!({"deviceId": device, "userId": "viewer"}),
        )
        .json();
        let session = created["sessionId"]
            .as_str()
            .expect("a session has an id")
            .to_owned();
        let offer = created["offer"]["sdp"]
            .as_str()
            .expect("a session has an offer");
        let (mut viewer, answer) = Self::answer(offer, options);
        viewer.clicked = clicked;
        post(
            &format!("/api/media/sessions/{session}/answer"),
            json!({"type": "answer", "sdp": answer}),
        );
        viewer.session = session;
        viewer
    }

    /// A viewer for an offer, and its answer.
    ///
    /// # Panics
    /// When the offer cannot be answered.
    pub fn answer(offer: &str, options: ViewerOptions) -> (Self, String) {
        let socket = UdpSocket::bind((options.local, 0)).expect("a free port");
        socket.set_nonblocking(true).expect("a UDP socket");
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES);
        let local = socket.local_addr().expect("it is bound");

        let now = Instant::now();
        let mut rtc = config(options).build(now);
        rtc.add_local_candidate(Candidate::host(local, "udp").expect("an address of this host"));
        let mut viewer = Self {
            rtc,
            socket,
            local,
            options,
            deadline: now,
            rtp_seen: 0,
            video: None,
            channel: None,
            session: String::new(),
            clicked: now,
            connected: None,
            first_picture: None,
            ice: IceConnectionState::New,
            closed: None,
            wire: Streams::default(),
            pictures: Vec::new(),
            sounds: Vec::new(),
            packets: 0,
            channel_label: None,
            texts: VecDeque::new(),
        };
        let answer = viewer.answer_again(offer);
        (viewer, answer)
    }

    /// The answer to a further offer: renegotiation or an ICE restart.
    pub fn answer_again(&mut self, offer: &str) -> String {
        let offer =
            SdpOffer::from_sdp_string(offer).unwrap_or_else(|error| panic!("{error}:\n{offer}"));
        let answer = self
            .rtc
            .sdp_api()
            .accept_offer(offer)
            .unwrap_or_else(|error| panic!("offer: {error}"));
        self.drain();
        let answer = answer.to_sdp_string();
        if self.options.nack {
            answer
        } else {
            without_nack(&answer)
        }
    }

    /// The host candidate, as it is trickled.
    pub fn candidate(&self) -> String {
        Candidate::host(self.local, "udp")
            .expect("an address of this host")
            .to_sdp_string()
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    pub fn is_connected(&self) -> bool {
        self.connected.is_some() && self.closed.is_none()
    }

    /// Time from the request for a session to the first whole picture.
    pub fn join_time(&self) -> Option<Duration> {
        self.first_picture.map(|at| at - self.clicked)
    }

    pub fn keyframes(&self) -> usize {
        self.pictures
            .iter()
            .filter(|picture| picture.keyframe)
            .count()
    }

    /// Asks for a keyframe by PLI (RFC 4585 §6.3.1).
    pub fn ask_for_keyframe(&mut self) {
        let mid = self.video.expect("video was negotiated");
        let mut api = self.rtc.direct_api();
        let stream = api.stream_rx_by_mid(mid, None).expect("video has come");
        stream.request_keyframe(KeyframeRequestKind::Pli);
        self.timeout(Instant::now());
    }

    /// Sends on the data channel; false while it is not open or is full.
    pub fn send_text(&mut self, text: &str) -> bool {
        let Some(channel) = self.channel.and_then(|id| self.rtc.channel(id)) else {
            return false;
        };
        let mut channel = channel;
        let sent = channel.write(false, text.as_bytes()).unwrap_or(false);
        self.drain();
        sent
    }

    /// The next connectivity check (STUN) that it would send, instead of sending it.
    pub fn next_check(&mut self) -> Vec<u8> {
        let limit = Instant::now() + super::SOON;
        while Instant::now() < limit {
            match self.rtc.poll_output().expect("a fresh viewer") {
                Output::Transmit(transmit) => return transmit.contents.to_vec(),
                Output::Event(event) => self.event(event),
                Output::Timeout(at) => {
                    let _ = self.rtc.handle_input(Input::Timeout(at));
                }
            }
        }
        panic!("no check is sent");
    }

    /// Leaves as a browser's `close()` does.
    pub fn leave(&mut self) {
        let _ = self.rtc.close();
        self.drain();
        self.closed.get_or_insert_with(|| "left".to_owned());
    }

    /// When [`Self::timeout`] is due.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        self.input(Input::Timeout(now));
    }

    /// The socket is readable.
    pub fn readable(&mut self, buffer: &mut [u8]) {
        for _ in 0..READS_PER_TURN {
            match self.socket.recv_from(buffer) {
                Ok((length, from)) => self.datagram(Instant::now(), from, &buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {} // ICMP of a server that is gone: ICE finds out
            }
        }
    }

    fn datagram(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        if self.wire.count(datagram).is_some() {
            self.rtp_seen += 1;
            if self.options.lose_each > 0 && self.rtp_seen.is_multiple_of(self.options.lose_each) {
                return;
            }
        }
        let Ok(contents) = datagram.try_into() else {
            return;
        };
        let receive = Receive {
            proto: Protocol::Udp,
            source,
            destination: self.local,
            contents,
        };
        self.input(Input::Receive(now, receive));
    }

    fn input(&mut self, input: Input<'_>) {
        if let Err(error) = self.rtc.handle_input(input) {
            self.closed.get_or_insert_with(|| error.to_string());
        }
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    // What the kernel does not take is lost, as on any network.
                    let _ = self
                        .socket
                        .send_to(&transmit.contents, transmit.destination);
                }
                Ok(Output::Event(event)) => self.event(event),
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    return;
                }
                Err(error) => {
                    self.closed.get_or_insert_with(|| error.to_string());
                    return;
                }
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Connected => self.connected = Some(Instant::now()),
            Event::IceConnectionStateChange(state) => self.ice = state,
            Event::MediaAdded(media) if media.kind == MediaKind::Video => {
                self.video = Some(media.mid)
            }
            Event::MediaData(data) => self.frame(data),
            Event::RtpPacket(packet) => {
                self.packets += 1;
                let payload_type = packet.header.payload_type;
                let of_video =
                    |p: &PayloadParams| p.pt() == payload_type && p.spec().codec.is_video();
                if packet.header.marker && self.rtc.codec_config().find(of_video).is_some() {
                    self.first_picture.get_or_insert_with(Instant::now);
                }
            }
            Event::ChannelOpen(id, label) => {
                self.channel = Some(id);
                self.channel_label = Some(label);
            }
            Event::ChannelData(data) => self
                .texts
                .push_back(String::from_utf8_lossy(&data.data).into_owned()),
            Event::Closed => {
                self.closed
                    .get_or_insert_with(|| "closed by the server".to_owned());
            }
            _ => {}
        }
    }

    fn frame(&mut self, data: MediaData) {
        let frame = Frame {
            at: Instant::now(),
            codec: data.params.spec().codec,
            keyframe: data.is_keyframe(),
            contiguous: data.contiguous,
            time: data.time.as_seconds(),
            data: data.data,
        };
        if frame.codec.is_audio() {
            self.sounds.push(frame);
        } else {
            self.first_picture.get_or_insert(frame.at);
            self.pictures.push(frame);
        }
    }
}

/// What all viewers share: making a certificate each time would cost a client of hundreds most of its time.
fn shared() -> &'static (Arc<CryptoProvider>, DtlsCert) {
    static SHARED: OnceLock<(Arc<CryptoProvider>, DtlsCert)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let crypto = Arc::new(from_feature_flags());
        let certificate = crypto
            .dtls_provider
            .generate_certificate()
            .expect("a working crypto library");
        (crypto, certificate)
    })
}

fn config(options: ViewerOptions) -> RtcConfig {
    let (crypto, certificate) = shared();
    let mut config = RtcConfig::new()
        .set_crypto_provider(Arc::clone(crypto))
        .set_dtls_cert(certificate.clone())
        .set_rtp_mode(!options.frames)
        .clear_codecs();
    for codec in options.codecs {
        config = match codec {
            Codec::H264 => config.enable_h264(true),
            Codec::Vp8 => config.enable_vp8(true),
            Codec::Opus => config.enable_opus(true, false),
            other => panic!("{other:?} is no codec of the server's"),
        };
    }
    config
}

/// Generic NACK (RFC 4585 §6.2.1) taken out of a description; PLI stays.
fn without_nack(sdp: &str) -> String {
    let generic_nack = |line: &&str| line.starts_with("a=rtcp-fb:") && line.ends_with(" nack");
    sdp.split_inclusive("\r\n")
        .filter(|line| !generic_nack(&line.trim_end()))
        .collect()
}
