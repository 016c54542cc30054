//! Datagrams in, access units cut, frames out.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use rtc::{Codec, Packetiser, SocketIndex};

use crate::CpuTime;
use crate::support::check::Check;
use crate::support::media::{FRAME, Stream, picture};
use crate::support::{FAN_OUT_PACKETS, Sim};

/// Bytes of a picture between keyframes at 2 Mbit/s and 30 a second.
const PICTURE_BYTES: usize = 8_000;
/// Bytes of a keyframe.
const KEYFRAME_BYTES: usize = 45_000;

/// A session that has an offer, and what its viewer sends from its address.
struct Peer {
    address: SocketAddr,
    check: Vec<u8>,
    forged: Vec<u8>,
}

/// So many sessions, each with an address that has passed its check.
fn peers(sim: &mut Sim, sessions: usize) -> Vec<Peer> {
    let source = sim.plane.add_source();
    let peer = |n: usize| {
        let (_, offer) = sim
            .plane
            .create_session(sim.now, source, &mut sim.out)
            .expect("a session");
        let check = Check::of(&offer, "a=ice-ufrag:viewer\r\n");
        let mut guessed = check.clone();
        guessed.password.push('x');
        let peer = Peer {
            address: SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 9_000)),
            check: check.bytes(),
            forged: guessed.bytes(),
        };
        sim.plane.datagram(
            sim.now,
            SocketIndex(0),
            peer.address,
            &peer.check,
            &mut sim.out,
        );
        sim.out.clear_runs();
        peer
    };
    (0..sessions).map(peer).collect()
}

/// One datagram of each session in turn. SRTCP comes before there are keys, and RTP is never expected: both are the
/// tables' part alone.
pub(crate) fn demultiplex(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("demultiplex");
    group.throughput(Throughput::Elements(1));
    let report = [0x81, 201, 0, 7].into_iter().chain([0; 60]);
    let report: Vec<u8> = report.collect();
    let packet: Vec<u8> = [0x90, 102].into_iter().chain([0; 1_198]).collect();
    for sessions in [300, 10_000] {
        let mut sim = Sim::new(1);
        let peers = peers(&mut sim, sessions);
        type Datagram = fn(&Peer) -> &[u8];
        let kinds: [(&str, Option<Datagram>, &[u8]); 4] = [
            ("srtcp_by_address", None, &report),
            ("rtp_unexpected", None, &packet),
            ("stun_wrong_password", Some(|peer| &peer.forged), &[]),
            ("stun_answered", Some(|peer| &peer.check), &[]),
        ];
        for (name, of, same) in kinds {
            let mut next = 0;
            group.bench_function(BenchmarkId::new(name, sessions), |bencher| {
                bencher.iter(|| {
                    let peer = &peers[next % peers.len()];
                    next += 1;
                    // No session has more checks than agents send.
                    sim.now += Duration::from_micros(400);
                    let bytes = of.map_or(same, |of| of(peer));
                    let socket = SocketIndex(0);
                    sim.plane
                        .datagram(sim.now, socket, peer.address, bytes, &mut sim.out);
                    sim.out.clear_runs();
                    sim.out.events().for_each(drop);
                    sim.out.timers().for_each(drop);
                });
            });
        }
    }
}

/// An access unit becomes payloads.
pub(crate) fn packetise(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("packetise");
    for (name, codec, keyframe, bytes) in [
        ("h264_picture_8kB", Codec::H264, false, PICTURE_BYTES),
        ("h264_keyframe_45kB", Codec::H264, true, KEYFRAME_BYTES),
        ("vp8_picture_8kB", Codec::Vp8, false, PICTURE_BYTES),
        ("vp8_keyframe_45kB", Codec::Vp8, true, KEYFRAME_BYTES),
    ] {
        let unit = picture(codec, 1, keyframe, bytes);
        let (mut packetiser, mut packets) = (Packetiser::new(codec), Vec::new());
        packetiser.packetise(&unit, &mut packets);
        group.throughput(Throughput::Elements(packets.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                packets.clear();
                packetiser.packetise(black_box(&unit), &mut packets);
            });
        });
    }
}

/// From an access unit to sealed datagrams in the send buffers of all viewers; per packet and viewer.
pub(crate) fn fan_out(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("fan_out");
    group.sample_size(10);
    for viewers in [1, 100, 1_000] {
        let mut sim = Sim::new(2);
        let source = sim.plane.add_source();
        let all: Vec<_> = (0..viewers).map(|_| sim.join(source)).collect();
        all.into_iter().for_each(|viewer| sim.connect(viewer));
        let mut stream = Stream::new(Codec::H264, usize::MAX);
        stream.bytes = PICTURE_BYTES;
        sim.publish_for(source, &mut stream, 3);
        let mut datagrams = 0;
        let mut frame = || {
            sim.now += FRAME;
            let unit = stream.next();
            sim.plane
                .write(sim.now, source, sim.now, &unit, &mut sim.out);
            datagrams = 0;
            while sim.plane.fan_out(sim.now, FAN_OUT_PACKETS, &mut sim.out) {
                datagrams += sim.out.runs().map(|run| run.datagrams()).sum::<usize>();
                sim.out.clear_runs();
            }
            datagrams += sim.out.runs().map(|run| run.datagrams()).sum::<usize>();
            sim.out.clear_runs();
            datagrams
        };
        frame();
        group.throughput(Throughput::Elements(frame() as u64));
        group.bench_function(BenchmarkId::new("h264_picture_8kB", viewers), |bencher| {
            bencher.iter(&mut frame);
        });
    }
}
