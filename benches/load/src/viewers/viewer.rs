//! One viewer: str0m for ICE, DTLS and RTCP over a socket of its own. Media is counted from the wire; str0m decrypts it only
//! where that is asked for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use str0m::change::SdpOffer;
use str0m::config::DtlsCert;
use str0m::crypto::{CryptoProvider, from_feature_flags};
use str0m::media::MediaData;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::Error;
use crate::rtp::{Header, Streams};
use crate::viewers::frames::FrameLog;
use crate::viewers::loss::{Loss, Missing};
use crate::viewers::receive::{BATCH_MESSAGES, Batch, Details, Message};
use crate::viewers::sink;

/// Asked of the kernel for each socket, which gives what it allows: a keyframe of 720p is some 50 kB in one burst.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;
/// Batches per wake-up, so that no viewer starves the others.
const BATCHES_PER_TURN: usize = 4;

/// What is done with media packets behind their counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Nothing.
    Counted,
    /// str0m authenticates and decrypts them; it sends receiver reports and asks for what is missing.
    Decrypted,
    /// It puts frames together, too.
    Frames,
}

/// How a viewer behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is done with media packets.
    pub media: Media,
    /// Whether it may ask again for what is missing. Otherwise its answer says so.
    pub nack: bool,
    /// Packets lost on their arrival.
    pub loss: Option<Loss>,
    /// What the kernel shall do with datagrams.
    pub details: Details,
    /// From one receiver report to the next.
    pub reports: Duration,
}

/// Frames that str0m has put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// All.
    pub frames: u64,
    /// Those behind a frame that is missing.
    pub gaps: u64,
    /// Those whose picture is none of what was published.
    pub wrong: u64,
}

/// A viewer of a session.
pub struct Viewer {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    deadline: Instant,
    media: Media,
    loss: Option<Loss>,
    missing: Missing,
    /// Payload types of the answer.
    video: BTreeSet<u8>,
    /// Pictures that were published, if frames shall be compared with them.
    published: Option<Arc<BTreeSet<Vec<u8>>>>,

    /// What the server calls its session.
    pub session: String,
    /// When the session was asked for.
    pub clicked: Instant,
    /// When ICE and DTLS were done.
    pub connected: Option<Instant>,
    /// When the first picture had come, or the first packet that ends one.
    pub first_picture: Option<Instant>,
    /// Why it is over: the server's close, or a fault of the stack.
    pub closed: Option<String>,
    /// RTP on the wire, before any loss that is played.
    pub wire: Streams,
    /// When the frames came, if that is of interest.
    pub log: Option<FrameLog>,
    /// What came of [`Media::Frames`].
    pub whole: Whole,
    /// Packets of [`Media::Decrypted`] that were authentic.
    pub authentic: u64,
    /// How long what was lost and recovered was missing, since this was emptied.
    pub repairs: Vec<Duration>,
}

impl Viewer {
    /// A viewer for an offer, and its answer.
    ///
    /// # Errors
    /// When there is no socket for it, or the offer cannot be answered.
    pub fn answer(offer: &str, options: &Options) -> Result<(Self, String), Error> {
        let machine = |what| move |error| Error::machine(what)(error);
        let socket =
            UdpSocket::bind((own_address(offer), 0)).map_err(machine("a viewer's socket"))?;
        socket
            .set_nonblocking(true)
            .map_err(machine("a viewer's socket"))?;
        let _ = sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER_BYTES);
        options
            .details
            .ask(socket.as_fd())
            .map_err(machine("details of datagrams"))?;
        let local = socket.local_addr().map_err(machine("a viewer's address"))?;

        let now = Instant::now();
        let mut rtc = config(options).build(now);
        let bad_offer = |error: String| Error::Offer { error };
        let candidate = Candidate::host(local, "udp").map_err(|e| bad_offer(e.to_string()))?;
        rtc.add_local_candidate(candidate);
        let offer = SdpOffer::from_sdp_string(offer).map_err(|e| bad_offer(e.to_string()))?;
        let answer = rtc.sdp_api().accept_offer(offer);
        let mut answer = answer
            .map_err(|e| bad_offer(e.to_string()))?
            .to_sdp_string();
        if !options.nack {
            answer = without_nack(&answer);
        }
        let mut viewer = Self {
            rtc,
            socket,
            local,
            deadline: now,
            media: options.media,
            loss: options.loss.clone(),
            missing: Missing::default(),
            video: video_payload_types(&answer),
            published: None,
            session: String::new(),
            clicked: now,
            connected: None,
            first_picture: None,
            closed: None,
            wire: Streams::default(),
            log: None,
            whole: Whole::default(),
            authentic: 0,
            repairs: Vec::new(),
        };
        viewer.drain();
        Ok((viewer, answer))
    }

    /// Frames are compared with these slices.
    pub fn compare_with(&mut self, published: Arc<BTreeSet<Vec<u8>>>) {
        self.published = Some(published);
    }

    /// From now on the kernel drops its media: see [`sink::drop_media`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn drop_media(&self) -> Result<(), Error> {
        sink::drop_media(&self.socket).map_err(Error::machine("a filter for a socket"))
    }

    /// Its socket, to be waited for.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// The address of its socket.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether ICE and DTLS are done and it is not over.
    pub fn is_connected(&self) -> bool {
        self.connected.is_some() && self.closed.is_none()
    }

    /// Video packets in which a picture ends.
    pub fn pictures(&self) -> u64 {
        let streams = self.wire.by_ssrc.values();
        let video = streams.filter(|stream| self.video.contains(&stream.payload_type));
        video.map(|stream| stream.markers).sum()
    }

    /// What was lost on purpose, as of now.
    pub fn missing(&mut self) -> &mut Missing {
        &mut self.missing
    }

    /// When [`Self::timeout`] is due.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        self.input(Input::Timeout(now));
    }

    /// Ends it as a browser's `close()` does.
    pub fn leave(&mut self) {
        let _ = self.rtc.close();
        self.drain();
        self.closed.get_or_insert_with(|| "left".to_owned());
    }

    /// The socket is readable.
    pub fn readable(&mut self, batch: &mut Batch) {
        for _ in 0..BATCHES_PER_TURN {
            // ICMP of a server that is gone, too: ICE finds out.
            let Ok(received) = batch.receive(self.socket.as_fd()) else {
                return;
            };
            let now = Instant::now();
            for message in batch.messages() {
                for datagram in message.datagrams() {
                    self.datagram(now, &message, datagram);
                }
            }
            if received < BATCH_MESSAGES {
                return;
            }
        }
    }

    fn datagram(&mut self, now: Instant, message: &Message<'_>, datagram: &[u8]) {
        if let Some(header) = self.wire.count(datagram) {
            self.media_packet(now, message.at, &header);
            if self.is_lost(now, &header) || self.media == Media::Counted {
                return;
            }
        }
        let Ok(contents) = datagram.try_into() else {
            return;
        };
        let receive = Receive {
            proto: Protocol::Udp,
            source: message.from,
            destination: self.local,
            contents,
        };
        self.input(Input::Receive(now, receive));
    }

    fn media_packet(&mut self, now: Instant, at: Option<Duration>, header: &Header) {
        if !self.video.contains(&header.payload_type) {
            return;
        }
        if let (Some(log), Some(at)) = (&mut self.log, at) {
            log.packet(at, header.timestamp, header.marker);
        }
        if header.marker && self.media == Media::Counted {
            self.first_picture.get_or_insert(now);
        }
    }

    /// Retransmissions are lost like everything else, but are nothing to ask for themselves. Of frames str0m does not tell
    /// which packets it got again: a gap tells of those that did not come.
    fn is_lost(&mut self, now: Instant, header: &Header) -> bool {
        let lost = self.loss.as_mut().is_some_and(Loss::next_is_lost);
        let followed = self.media != Media::Frames && self.video.contains(&header.payload_type);
        if lost && followed {
            self.missing.lost(header.ssrc, header.sequence, now);
        }
        lost
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
            Event::MediaData(data) => self.frame(&data),
            Event::RtpPacket(packet) => {
                self.authentic += 1;
                let (header, now) = (&packet.header, packet.timestamp);
                let sequence = header.sequence_number;
                if let Some(missed) = self.missing.came(*header.ssrc, sequence, now) {
                    self.repairs.push(missed);
                }
                if header.marker && self.video.contains(&header.payload_type) {
                    self.first_picture.get_or_insert(now);
                }
            }
            Event::Closed => {
                self.closed
                    .get_or_insert_with(|| "closed by the server".to_owned());
            }
            _ => {}
        }
    }

    fn frame(&mut self, data: &MediaData) {
        if !data.params.spec().codec.is_video() {
            return;
        }
        self.first_picture.get_or_insert_with(Instant::now);
        // The first one follows on nothing.
        let gap = self.whole.frames > 0 && !data.contiguous;
        self.whole.frames += 1;
        self.whole.gaps += u64::from(gap);
        if let Some(published) = &self.published {
            let slice = super::clip::slice(&data.data);
            let right = slice.is_some_and(|slice| published.contains(slice));
            self.whole.wrong += u64::from(!right);
        }
    }
}

/// What all viewers share: making a certificate each time would cost a generator of hundreds most of its time.
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

fn config(options: &Options) -> RtcConfig {
    let (crypto, certificate) = shared();
    RtcConfig::new()
        .set_crypto_provider(Arc::clone(crypto))
        .set_dtls_cert(certificate.clone())
        .set_rtp_mode(options.media != Media::Frames)
        .set_rtcp_report_interval_video(options.reports)
        .clear_codecs()
        .enable_h264(true)
        .enable_opus(true, false)
}

/// The address of this host that reaches the offer's first candidate (RFC 8839 §5.1): a server may not answer a check of
/// loopback to another address of its own.
fn own_address(offer: &str) -> IpAddr {
    let address = |line: &str| {
        let fields = line.strip_prefix("a=candidate:")?;
        fields.split_ascii_whitespace().nth(4)?.parse().ok()
    };
    let candidate: Option<IpAddr> = offer.lines().find_map(address);
    candidate
        .and_then(|candidate| {
            let any: IpAddr = match candidate {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            // Connecting sends nothing, but chooses a way.
            let probe = UdpSocket::bind((any, 0)).ok()?;
            probe.connect((candidate, DISCARD)).ok()?;
            Some(probe.local_addr().ok()?.ip())
        })
        .unwrap_or(Ipv4Addr::LOCALHOST.into())
}

/// A port that nothing is sent to (RFC 863).
const DISCARD: u16 = 9;

/// Generic NACK (RFC 4585 §6.2.1) taken out of a description; PLI stays.
fn without_nack(sdp: &str) -> String {
    let generic_nack = |line: &&str| line.starts_with("a=rtcp-fb:") && line.ends_with(" nack");
    sdp.split_inclusive("\r\n")
        .filter(|line| !generic_nack(&line.trim_end()))
        .collect()
}

/// Payload types that a description maps to a codec of video, those of retransmissions aside.
fn video_payload_types(sdp: &str) -> BTreeSet<u8> {
    let mapped = |line: &str| {
        let (number, codec) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        let codec = codec.split('/').next()?.to_ascii_uppercase();
        matches!(codec.as_str(), "H264" | "VP8").then(|| number.parse().ok())?
    };
    sdp.lines().filter_map(mapped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_types_of_video_are_those_of_its_codecs() {
        let sdp = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 102 103 96\r\na=rtpmap:102 H264/90000\r\n\
            a=rtpmap:103 rtx/90000\r\na=rtpmap:96 VP8/90000\r\n";
        assert_eq!(video_payload_types(sdp), [96, 102].into());
    }

    #[test]
    fn the_socket_has_an_address_from_which_the_candidate_is_reached() {
        let candidate =
            |address| format!("a=candidate:1 1 udp 2015363327 {address} 33811 typ host\r\n");
        assert_eq!(own_address(&candidate("127.0.0.1")), Ipv4Addr::LOCALHOST);
        assert_eq!(own_address(""), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn nack_is_taken_out_and_pli_stays() {
        let sdp = "a=rtcp-fb:102 nack\r\na=rtcp-fb:102 nack pli\r\na=fmtp:102 x\r\n";
        let without = "a=rtcp-fb:102 nack pli\r\na=fmtp:102 x\r\n";
        assert_eq!(without_nack(sdp), without);
    }
}
