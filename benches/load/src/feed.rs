//! The clip as RTP over UDP, for servers that take their picture so and not over HTTP.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use memchr::memmem;

use crate::Error;
use crate::viewers::clip::{Clip, FRAME_RATE};

/// Most bytes of a payload: the packets are as large, and as many, as those of this server.
const PAYLOAD_BYTES: usize = 1_150;
/// The clock of video (RFC 6184 §8.1).
const CLOCK_RATE: f64 = 90_000.0;
/// Fragmentation unit (RFC 6184 §5.8), and the bits of its header.
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;
const NAL_TYPE: u8 = 0x1f;
/// RFC 3550 §5.1: version 2; the marker of a frame's last packet; a dynamic payload type.
const VERSION: u8 = 0x80;
const MARKER: u8 = 0x80;
const PAYLOAD_TYPE: u8 = 96;
/// There is one stream.
const SSRC: u32 = 0x6c6f_6164;

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Where the server takes RTP
    #[arg(long)]
    pub to: SocketAddr,
    /// H.264 in Annex B with one slice a picture; the demo clip by default
    #[arg(long)]
    pub clip: Option<PathBuf>,
    /// Frames a second
    #[arg(long, default_value_t = f64::from(FRAME_RATE))]
    pub fps: f64,
    /// Bits a second at 30 frames a second, which the clip is filled up to; 0: as it is
    #[arg(long, default_value_t = 2_000_000)]
    pub bitrate: u64,
}

/// Sends until the process is ended.
///
/// # Errors
/// There is no such clip, or the address cannot be sent to. Packets that nobody takes are no error: servers come and go.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    if !(1.0..=10_000.0).contains(&arguments.fps) {
        return Err(Error::Arguments("--fps: 1 to 10000".to_owned()));
    }
    let clip = Clip::read(arguments.clip.as_deref(), arguments.bitrate)?;
    let open = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(arguments.to)?;
        Ok(socket)
    };
    let socket = open().map_err(Error::machine::<std::io::Error>(arguments.to.to_string()))?;
    let interval = Duration::from_secs_f64(1.0 / arguments.fps);
    let mut sequence = 0;
    let mut due = Instant::now();
    for number in 0.. {
        let timestamp = (number as f64 * CLOCK_RATE / arguments.fps) as u64 as u32;
        for packet in packets(&clip.unit(number).bytes, timestamp, &mut sequence) {
            let _ = socket.send(&packet);
        }
        due += interval;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// An access unit in packets (RFC 6184, mode 1), the larger NAL units in fragments of equal size.
fn packets(unit: &[u8], timestamp: u32, sequence: &mut u16) -> Vec<Vec<u8>> {
    let mut packets: Vec<Vec<u8>> = Vec::new();
    let mut add = |parts: [&[u8]; 2]| {
        let mut packet = vec![VERSION, PAYLOAD_TYPE];
        packet.extend(sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(SSRC.to_be_bytes());
        parts.iter().for_each(|part| packet.extend(*part));
        *sequence = sequence.wrapping_add(1);
        packets.push(packet);
    };
    for nal in nal_units(unit) {
        let [header, body @ ..] = nal else { continue };
        if nal.len() <= PAYLOAD_BYTES {
            add([&[], nal]);
            continue;
        }
        let fragments = body.len().div_ceil(PAYLOAD_BYTES - 2);
        let each = body.len().div_ceil(fragments);
        for (index, fragment) in body.chunks(each).enumerate() {
            let start = if index == 0 { FU_START } else { 0 };
            let end = if (index + 1) * each >= body.len() {
                FU_END
            } else {
                0
            };
            let indicator = header & !NAL_TYPE | FU_A;
            add([&[indicator, start | end | header & NAL_TYPE], fragment]);
        }
    }
    if let Some(last) = packets.last_mut() {
        last[1] |= MARKER;
    }
    packets
}

/// Without start codes, and without the zero that may stand before the next one.
fn nal_units(unit: &[u8]) -> Vec<&[u8]> {
    let begins: Vec<usize> = memmem::find_iter(unit, &[0, 0, 1])
        .map(|code| code + 3)
        .collect();
    let ends = begins
        .iter()
        .skip(1)
        .map(|next| next - 3)
        .chain([unit.len()]);
    begins
        .iter()
        .zip(ends)
        .map(|(&begin, end)| {
            unit[begin..end]
                .strip_suffix(&[0])
                .unwrap_or(&unit[begin..end])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both parameter sets in packets of their own, the slice in equal fragments that make it whole again.
    #[test]
    fn a_keyframe_comes_in_packets_that_make_it_whole() {
        let slice: Vec<u8> = [0x65]
            .into_iter()
            .chain((0..3_000).map(|i| 1 + (i % 255) as u8))
            .collect();
        let mut unit = vec![0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 0, 0, 1];
        unit.extend(&slice);
        let mut sequence = u16::MAX;
        let packets = packets(&unit, 90_000, &mut sequence);
        assert_eq!(packets.len(), 5);
        assert_eq!(sequence, 4, "the sequence number rolls over");
        assert_eq!(packets[0][12..], [0x67, 1, 2]);
        assert_eq!(packets[1][12..], [0x68, 3]);
        let markers = packets.iter().map(|packet| packet[1] & MARKER != 0);
        assert!(markers.eq([false, false, false, false, true]));
        let mut whole = vec![packets[2][12] & !NAL_TYPE | packets[2][13] & NAL_TYPE];
        let bits = packets[2..]
            .iter()
            .map(|packet| packet[13] & (FU_START | FU_END));
        assert!(bits.eq([FU_START, 0, FU_END]));
        packets[2..]
            .iter()
            .for_each(|packet| whole.extend(&packet[14..]));
        assert_eq!(whole, slice);
        assert!(
            packets
                .iter()
                .all(|packet| packet.len() <= 12 + PAYLOAD_BYTES)
        );
    }
}
