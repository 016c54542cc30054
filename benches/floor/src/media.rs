//! `floor media`: a header, the seal of a payload, and a share of one `UDP_SEGMENT` send, for each packet.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use clap::{Args, ValueEnum};
use load::Error;
use load::report::Unit;
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use crate::meter::{Meter, Used};
use crate::receivers::Receivers;
use crate::rounds::{Measured, Rounds, on_cpu};

/// RFC 3550 §5.1 without contributing sources and extension.
const HEADER_BYTES: usize = 12;
/// RFC 7714 §5: the authentication tag of AEAD_AES_128_GCM.
const TAG_BYTES: usize = 16;
/// Of AES-128.
const KEY_BYTES: usize = 16;
/// RFC 7714 §8.1: salt and initialisation vector.
const SALT_BYTES: usize = 12;
/// Most bytes of one `UDP_SEGMENT` send: an IPv4 datagram.
const SEND_BYTES: usize = 65_507;
/// Most segments of one send: `UDP_MAX_SEGMENTS` of linux/udp.h as it was introduced.
const SEND_SEGMENTS: usize = 64;
/// As a shard's socket has it: what 64 viewers' keyframes need.
const SEND_BUFFER_BYTES: usize = 8 << 20;
/// A version 2 header of dynamic payload type 96.
const VERSION_AND_TYPE: [u8; 2] = [0x80, 96];
/// The clock of video (RFC 6184 §8.1).
const CLOCK_RATE: u32 = 90_000;

/// Arguments of `floor media`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Arguments {
    /// Viewers, each with keys and a socket of its own
    #[arg(long, default_value_t = 300)]
    viewers: usize,
    /// Packets of a frame: 7 make 2 Mbit/s at 30 fps, 48 a keyframe
    #[arg(long, default_value_t = 7)]
    run: usize,
    /// Bytes of a packet's payload
    #[arg(long, default_value_t = 1_160)]
    payload: usize,
    /// Frames a second; 0: one after the other without a pause
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// Who receives
    #[arg(long, value_enum, default_value_t = Kind::Plain)]
    receivers: Kind,
    /// How a payload gets into the send buffer
    #[arg(long, value_enum, default_value_t = Seal::OutOfPlace)]
    seal: Seal,
    #[command(flatten)]
    rounds: Rounds,
}

/// Receiving sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Each packet a datagram of its own
    Plain,
    /// The kernel keeps the run together (`UDP_GRO`)
    Gro,
    /// Nobody reads; the kernel drops what does not fit into the smallest buffer
    Sink,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gro => "gro",
            Self::Sink => "sink",
        }
    }
}

/// Ways to seal a shared payload for one viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Seal {
    /// From the shared payload into the send buffer, in one pass
    OutOfPlace,
    /// Copied into the send buffer, then sealed there
    Copy,
}

impl Seal {
    fn name(self) -> &'static str {
        match self {
            Self::OutOfPlace => "out-of-place",
            Self::Copy => "copy",
        }
    }
}

/// What a sender keeps for one viewer.
struct Viewer {
    key: LessSafeKey,
    salt: [u8; SALT_BYTES],
    ssrc: u32,
    /// Packets sent so far: rollover counter and sequence number.
    index: u64,
    destination: SocketAddr,
}

/// Sends frames; owns nothing that another thread sees.
struct Sender {
    socket: Socket,
    state: UdpSocketState,
    viewers: Vec<Viewer>,
    /// The payloads of a frame, shared by all viewers.
    payloads: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    seal: Seal,
    timestamp: u32,
    packets: u64,
    refused: u64,
}

/// Runs the rounds.
///
/// # Errors
/// The kernel refuses a socket, or a run does not fit into one send.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let bytes = arguments.run * (HEADER_BYTES + arguments.payload + TAG_BYTES);
    if arguments.run == 0 || arguments.run > SEND_SEGMENTS || bytes > SEND_BYTES {
        return Err(Error::Arguments(format!(
            "{} packets of {bytes} bytes do not fit into one send: at most {SEND_SEGMENTS} of {SEND_BYTES}",
            arguments.run
        )));
    }
    arguments.rounds.each("floor media", || round(arguments))
}

fn round(arguments: &Arguments) -> Result<Measured, Error> {
    let (receivers, addresses) = Receivers::open(arguments.viewers, arguments.receivers)?;
    let reading = receivers.read_on(arguments.rounds.client_cpu);
    let sent = on_cpu(arguments.rounds.server_cpu, || send(arguments, &addresses))?;
    let received = reading.finish()?;

    let mut counts = BTreeMap::from([
        ("refused".to_owned(), sent.refused),
        ("frames".to_owned(), sent.frames),
        ("late_frames".to_owned(), sent.late),
    ]);
    // What the sink drops is not lost: nobody wanted it.
    if arguments.receivers != Kind::Sink {
        let lost = sent.packets.saturating_sub(received.datagrams);
        counts.insert("lost".to_owned(), lost);
    }
    Ok(Measured {
        scenario: "floor media",
        setting: json!({
            "viewers": arguments.viewers, "run": arguments.run, "payload": arguments.payload,
            "fps": arguments.fps, "receivers": arguments.receivers.name(), "seal": arguments.seal.name(),
        }),
        unit: Unit::Packet,
        units: sent.measured,
        used: sent.used,
        client: received.used,
        counts,
    })
}

/// What a round's sender did.
struct Sent {
    /// Packets of the whole round.
    packets: u64,
    /// Those of the time that was measured.
    measured: u64,
    frames: u64,
    /// Frames that began after the next one was due.
    late: u64,
    refused: u64,
    used: Used,
}

fn send(arguments: &Arguments, addresses: &[SocketAddr]) -> Result<Sent, Error> {
    let mut sender = Sender::new(arguments, addresses)?;
    let mut clock = FrameClock::new(arguments.fps);
    let (mut frames, mut late) = (0, 0);
    let warm = Instant::now() + arguments.rounds.warm_up();
    while Instant::now() < warm {
        clock.wait();
        sender.frame()?;
    }
    let before = sender.packets;
    let meter = Meter::begin()?;
    let end = Instant::now() + arguments.rounds.span();
    while Instant::now() < end {
        late += u64::from(clock.wait());
        sender.frame()?;
        frames += 1;
    }
    Ok(Sent {
        used: meter.used()?,
        packets: sender.packets,
        measured: sender.packets - before,
        frames,
        late,
        refused: sender.refused,
    })
}

impl Sender {
    fn new(arguments: &Arguments, addresses: &[SocketAddr]) -> Result<Self, Error> {
        let open = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
            socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
            socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
            let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
            Ok((socket, state))
        };
        let (socket, state) = open().map_err(Error::machine::<io::Error>("the sender's socket"))?;
        let viewers = (0..).zip(addresses);
        Ok(Self {
            socket,
            state,
            viewers: viewers
                .map(|(n, &address)| Viewer::new(n, address))
                .collect(),
            payloads: vec![vec![0x5a; arguments.payload]; arguments.run],
            buffer: vec![0; arguments.run * (HEADER_BYTES + arguments.payload + TAG_BYTES)],
            seal: arguments.seal,
            timestamp: 0,
            packets: 0,
            refused: 0,
        })
    }

    /// One frame to every viewer.
    fn frame(&mut self) -> Result<(), Error> {
        self.timestamp = self.timestamp.wrapping_add(CLOCK_RATE / 30);
        for viewer in &mut self.viewers {
            let packet_bytes = self.buffer.len() / self.payloads.len();
            let packets = self.buffer.chunks_exact_mut(packet_bytes);
            for (packet, payload) in packets.zip(&self.payloads) {
                viewer.seal(self.seal, self.timestamp, payload, packet);
            }
            let transmit = Transmit {
                destination: viewer.destination,
                ecn: None,
                contents: &self.buffer,
                segment_size: (self.payloads.len() > 1).then_some(packet_bytes),
                src_ip: None,
            };
            match self
                .state
                .try_send(UdpSockRef::from(&self.socket), &transmit)
            {
                Ok(()) => self.packets += self.payloads.len() as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.refused += 1,
                Err(error) => return Err(Error::machine("sending a run")(error)),
            }
        }
        Ok(())
    }
}

impl Viewer {
    fn new(number: u32, destination: SocketAddr) -> Self {
        // Keys that are all different, as viewers' are: the cipher's tables of one must not stay in the cache for all.
        let mut key = [0x2b; KEY_BYTES];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let key = UnboundKey::new(&AES_128_GCM, &key).expect("the key has the cipher's length");
        Self {
            key: LessSafeKey::new(key),
            salt: [0x5c; SALT_BYTES],
            ssrc: number,
            index: 0,
            destination,
        }
    }

    /// One SRTP packet (RFC 7714 §8, §9): header, payload, tag.
    fn seal(&mut self, seal: Seal, timestamp: u32, payload: &[u8], packet: &mut [u8]) {
        let (header, body) = packet.split_at_mut(HEADER_BYTES);
        let (body, tag) = body.split_at_mut(payload.len());
        let index = self.index.to_be_bytes();
        self.index += 1;
        header[..2].copy_from_slice(&VERSION_AND_TYPE);
        header[2..4].copy_from_slice(&index[6..]);
        header[4..8].copy_from_slice(&timestamp.to_be_bytes());
        header[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        let mut nonce = self.salt;
        let positions = self
            .ssrc
            .to_be_bytes()
            .into_iter()
            .chain(index.into_iter().skip(2));
        for (byte, position) in nonce[2..].iter_mut().zip(positions) {
            *byte ^= position;
        }
        let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(&*header));
        match seal {
            Seal::OutOfPlace => {
                self.key
                    .seal_out_of_place_scatter(nonce, aad, payload, body, &[], tag)
            }
            Seal::Copy => {
                body.copy_from_slice(payload);
                let sealed = self.key.seal_in_place_separate_tag(nonce, aad, body);
                sealed.map(|sealed| tag.copy_from_slice(sealed.as_ref()))
            }
        }
        .expect("lengths are the cipher's");
    }
}

/// When frames are due.
struct FrameClock {
    /// None where no pause is wanted.
    interval: Option<Duration>,
    due: Instant,
}

impl FrameClock {
    fn new(fps: u32) -> Self {
        Self {
            interval: (fps > 0).then(|| Duration::from_secs(1) / fps),
            due: Instant::now(),
        }
    }

    /// Waits for the next frame's time. Whether that had passed by a whole frame.
    fn wait(&mut self) -> bool {
        let Some(interval) = self.interval else {
            return false;
        };
        let now = Instant::now();
        thread::sleep(self.due.saturating_duration_since(now));
        self.due += interval;
        let late = self.due < now;
        if late {
            self.due = now;
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of the floor is one that a viewer would take, whichever way it was sealed.
    #[test]
    fn a_packet_opens_with_the_viewers_key() {
        let payload = [7; 100];
        let destination = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let packets = [Seal::OutOfPlace, Seal::Copy].map(|seal| {
            let mut viewer = Viewer::new(3, destination);
            // The first packet behind the first rollover.
            viewer.index = 1 << 16;
            let mut packet = [0; HEADER_BYTES + 100 + TAG_BYTES];
            viewer.seal(seal, 9_000, &payload, &mut packet);
            (viewer, packet)
        });
        assert_eq!(packets[0].1, packets[1].1);

        let (viewer, mut packet) = packets.into_iter().next().expect("two");
        let (header, body) = packet.split_at_mut(HEADER_BYTES);
        assert_eq!(header[2..4], [0, 0], "the sequence number has rolled over");
        // RFC 7714 §8.1: two zero bytes, the SSRC, the rollover counter and the sequence number, over the salt.
        let mut nonce = [0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0];
        nonce.iter_mut().zip(viewer.salt).for_each(|(n, s)| *n ^= s);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = viewer.key.open_in_place(nonce, Aad::from(&*header), body);
        assert_eq!(opened.expect("authentic"), payload);
    }
}
