//! A WebRTC client: str0m as the answering, controlling side.

#![allow(unreachable_pub)] // the simulation has it too

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtc::{Codec, SessionKey};
use str0m::change::SdpOffer;
use str0m::channel::ChannelId;
use str0m::media::{KeyframeRequestKind, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::rtcp::SenderInfo;
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig};

use super::media;

/// Position in [`Sim::viewers`](super::Sim::viewers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewerId(pub usize);

/// A frame as the viewer's depacketiser put it together.
#[derive(Debug, Clone)]
pub struct Frame {
    pub at: Instant,
    pub codec: Codec,
    /// Number of the picture, where it was one of [`media::picture`].
    pub number: Option<u32>,
    /// Seconds of RTP time.
    pub time: f64,
    /// Nothing is missing between this frame and the one before it.
    pub contiguous: bool,
    /// Sequence number of its last packet, with rollovers.
    pub sequence: u64,
    /// RTP time as in its packets.
    pub rtp: u32,
    pub data: Vec<u8>,
}

/// What a viewer shows and does.
pub struct Viewer {
    pub rtc: Rtc,
    /// The last offer that it answered, and its answer.
    pub offer: String,
    pub answer: String,
    /// It stops where an error would end a test.
    pub forgiving: bool,
    /// It waits for a ClientHello.
    pub dtls_server: bool,
    /// Its session, once it has joined.
    pub key: Option<SessionKey>,
    /// Where the network sees it.
    pub address: SocketAddr,
    /// What it believes to be its address.
    host: SocketAddr,
    pub frames: Vec<Frame>,
    pub messages: Vec<String>,
    /// Sender reports, and when they came.
    pub reports: Vec<(Instant, Mid, SenderInfo)>,
    pub channel: Option<ChannelId>,
    pub ice: IceConnectionState,
    pub connected: Option<Instant>,
    pub closed: bool,
    pub outgoing: Vec<(SocketAddr, Vec<u8>)>,
    pub video: Option<Mid>,
    deadline: Instant,
}

/// A viewer's host address; each has its own.
pub fn viewer_address(index: usize) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 1], 10_000 + index as u16))
}

impl Viewer {
    /// A viewer that takes H.264, VP8 and Opus.
    pub fn new(now: Instant, index: usize) -> Self {
        Self::with(now, index, |config| config)
    }

    pub fn with(now: Instant, index: usize, edit: impl FnOnce(RtcConfig) -> RtcConfig) -> Self {
        let config = RtcConfig::new()
            .clear_codecs()
            .enable_h264(true)
            .enable_vp8(true)
            .enable_opus(true, false)
            .set_reordering_size_video(200);
        let mut rtc = edit(config).build(now);
        let address = viewer_address(index);
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("a host candidate"));
        Self {
            rtc,
            offer: String::new(),
            answer: String::new(),
            forgiving: false,
            dtls_server: false,
            key: None,
            address,
            host: address,
            frames: Vec::new(),
            messages: Vec::new(),
            reports: Vec::new(),
            channel: None,
            ice: IceConnectionState::New,
            connected: None,
            closed: false,
            outgoing: Vec::new(),
            video: None,
            deadline: now,
        }
    }

    /// Answers an offer, as the DTLS client that every browser then is, or as the server.
    pub fn answer(&mut self, now: Instant, offer: &str) -> String {
        self.offer = offer.to_owned();
        let role = if self.dtls_server {
            "active"
        } else {
            "passive"
        };
        let offer = offer.replace("a=setup:actpass", &format!("a=setup:{role}"));
        let offer = SdpOffer::from_sdp_string(&offer).expect("an offer that parses");
        let answer = self
            .rtc
            .sdp_api()
            .accept_offer(offer)
            .expect("an offer to accept");
        self.drain(now);
        self.answer = answer.to_sdp_string();
        self.answer.clone()
    }

    /// Hears a datagram.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        if let Ok(receive) = Receive::new(Protocol::Udp, from, self.host, bytes) {
            let taken = self.rtc.handle_input(Input::Receive(now, receive));
            assert!(taken.is_ok() || self.forgiving, "{taken:?}");
            self.drain(now);
        }
    }

    /// Another network address, behind which the viewer itself notices nothing, as behind a NAT.
    pub fn move_to(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// When it wants to be woken.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    pub fn tick(&mut self, now: Instant) {
        if self.deadline <= now {
            self.rtc
                .handle_input(Input::Timeout(now))
                .expect("time to pass");
            self.drain(now);
        }
    }

    /// Lets it act on what was done to its `rtc`.
    pub fn wake(&mut self, now: Instant) {
        let woken = self.rtc.handle_input(Input::Timeout(now));
        assert!(woken.is_ok() || self.forgiving, "{woken:?}");
        self.drain(now);
    }

    /// Asks for a keyframe (PLI).
    pub fn request_keyframe(&mut self, now: Instant) {
        let mid = self.video.expect("a video track");
        let mut writer = self.rtc.writer(mid).expect("a writer");
        writer
            .request_keyframe(None, KeyframeRequestKind::Pli)
            .expect("a stream to ask for");
        self.rtc
            .handle_input(Input::Timeout(now))
            .expect("time to pass");
        self.drain(now);
    }

    pub fn send_text(&mut self, now: Instant, text: &str) {
        let id = self.channel.expect("an open channel");
        let mut channel = self.rtc.channel(id).expect("the channel");
        assert!(
            channel
                .write(false, text.as_bytes())
                .expect("a channel to write to")
        );
        self.rtc
            .handle_input(Input::Timeout(now))
            .expect("time to pass");
        self.drain(now);
    }

    /// Closes the peer connection.
    pub fn close(&mut self, now: Instant) {
        self.rtc.close().expect("a connection to close");
        self.drain(now);
    }

    pub fn video(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|frame| frame.codec.is_video())
    }

    pub fn audio(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|frame| !frame.codec.is_video())
    }

    /// Numbers of the pictures, in the order of arrival.
    pub fn pictures(&self) -> Vec<u32> {
        self.video().filter_map(|frame| frame.number).collect()
    }

    /// The longest time without a picture, from `since` on.
    pub fn longest_gap(&self, since: Instant) -> Duration {
        let times: Vec<Instant> = self
            .video()
            .map(|frame| frame.at)
            .filter(|at| *at >= since)
            .collect();
        times
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or_default()
    }

    /// Pictures came whole, in order, none twice, and their RTP time always grew.
    pub fn assert_smooth(&self) {
        let video: Vec<&Frame> = self.video().collect();
        assert!(
            video.iter().skip(1).all(|frame| frame.contiguous),
            "a picture is missing"
        );
        for pair in video.windows(2) {
            assert!(
                pair[1].time > pair[0].time,
                "RTP time stood still or went back"
            );
        }
        let pictures = self.pictures();
        assert!(
            pictures.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{pictures:?}"
        );
    }

    pub fn drain(&mut self, now: Instant) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    return;
                }
                Ok(Output::Transmit(t)) => self.outgoing.push((t.destination, t.contents.to_vec())),
                Ok(Output::Event(event)) => self.on_event(now, event),
                Err(error) => {
                    assert!(self.forgiving, "a viewer that works: {error}");
                    self.closed = true;
                    self.rtc.disconnect();
                }
            }
        }
    }

    fn on_event(&mut self, now: Instant, event: Event) {
        match event {
            Event::Connected => self.connected = Some(now),
            Event::IceConnectionStateChange(state) => self.ice = state,
            Event::MediaAdded(added) if added.kind == MediaKind::Video => {
                self.video = Some(added.mid);
            }
            Event::MediaData(data) => self.frames.push(Frame {
                at: now,
                codec: match data.params.spec().codec {
                    str0m::format::Codec::H264 => Codec::H264,
                    str0m::format::Codec::Vp8 => Codec::Vp8,
                    _ => Codec::Opus,
                },
                number: media::number_of(&data.data),
                time: data.time.as_seconds(),
                contiguous: data.contiguous,
                sequence: **data.seq_range.end(),
                rtp: data.time.numer() as u32,
                data: data.data.to_vec(),
            }),
            Event::ChannelOpen(id, label) if label == rtc::CONTROL_LABEL => {
                self.channel = Some(id);
            }
            Event::ChannelData(data) => {
                self.messages
                    .push(String::from_utf8(data.data).expect("text"));
            }
            Event::SenderFeedback(report) => {
                self.reports
                    .push((report.received_at, report.mid, report.sender_info));
            }
            Event::Closed => self.closed = true,
            _ => {}
        }
    }
}
