//! What a datagram of an attack costs. `cargo test -p rtc --release --test plane -- --ignored
//! --nocapture costs`

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtc::{MAX_SDP_BYTES, SocketIndex};

use crate::attacks::descriptions::{BOMBS, answered, filled};
use crate::security::{client_hello, stranger};
use crate::support::media::{self, Stream};
use crate::support::{FAN_OUT_PACKETS, Sim};

const ROUNDS: u32 = 20_000;

/// The time that the plane takes for each of `datagrams`, in turn.
fn cost(sim: &mut Sim, what: &str, from: SocketAddr, datagrams: &[Vec<u8>]) {
    let datagrams: Vec<&Vec<u8>> = datagrams.iter().cycle().take(ROUNDS as usize).collect();
    let start = clock();
    for bytes in &datagrams {
        sim.plane
            .datagram(sim.now, SocketIndex(0), from, bytes, &mut sim.out);
        sim.out.clear_runs();
    }
    let each = start.elapsed() / ROUNDS;
    println!(
        "COST {what}: {} ns ({} B)",
        each.as_nanos(),
        datagrams[0].len()
    );
    sim.flush();
}

/// The only clock in these tests that is not the simulation's.
#[allow(clippy::disallowed_methods)]
fn clock() -> Instant {
    Instant::now()
}

#[test]
#[ignore = "it measures, which only an optimised build can"]
fn costs_of_datagrams() {
    let mut sim = Sim::new(400);
    let source = sim.plane.add_source();
    let viewers: Vec<_> = (0..100).map(|_| sim.watch(source)).collect();
    sim.publish_for(source, &mut Stream::small(rtc::Codec::H264, 25), 50);
    let from = sim.viewer(viewers[7]).address;
    let check = sim.check_of(sim.key(viewers[7]));
    let mut unknown = check.clone();
    unknown.username.insert(0, 'x');
    let mut guessed = check.clone();
    guessed.password.push('x');
    let garbage = |first: u8, second: u8, len: usize| {
        let mut bytes: Vec<u8> = (0..len).map(|n| (n * 151) as u8).collect();
        bytes[..2].copy_from_slice(&[first, second]);
        bytes
    };
    let record = |epoch: u8, kind: u8, len: usize| {
        let mut bytes = garbage(kind, 0xfe, 13 + len);
        bytes[2..13].copy_from_slice(&[
            0xfd,
            0,
            epoch,
            0,
            0,
            0,
            0,
            9,
            9,
            (len >> 8) as u8,
            len as u8,
        ]);
        bytes
    };
    let mut stale = record(0, 22, 60);
    stale[13..25].copy_from_slice(&[1, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0, 48]);
    let s = stranger();
    let run = [
        ("STUN, broken", s, garbage(0, 1, 100)),
        ("STUN, unknown ufrag", s, unknown.bytes()),
        ("STUN, wrong password", s, guessed.bytes()),
        ("STUN, valid", from, check.bytes()),
        ("DTLS from a stranger", s, client_hello()),
        ("RTP from a viewer", from, garbage(0x90, 102, 1_200)),
        ("SRTCP garbage from a viewer", from, garbage(0x81, 201, 100)),
        (
            "SRTCP garbage from a viewer",
            from,
            garbage(0x81, 201, 1_400),
        ),
        ("DTLS garbage in the clear from a viewer", from, stale),
        ("ClientHello from a viewer", from, client_hello()),
        (
            "DTLS garbage of the epoch from a viewer",
            from,
            record(1, 23, 100),
        ),
        (
            "DTLS garbage of the epoch from a viewer",
            from,
            record(1, 23, 1_400),
        ),
    ];
    for (what, from, bytes) in run {
        cost(&mut sim, what, from, &[bytes]);
    }
    println!("{:?}", sim.plane.counters());
    let mut worst = (Duration::ZERO, String::new());
    for bomb in BOMBS {
        for lines in [150, usize::MAX] {
            let mut sim = Sim::new(401);
            let (_, key, viewer) = answered(&mut sim);
            let bad = filled(&viewer.answer, bomb, lines, MAX_SDP_BYTES);
            let start = clock();
            let result = sim.plane.accept_answer(sim.now, key, &bad, &mut sim.out);
            let took = start.elapsed();
            let what = format!("{} B of {bomb:?}, ok {}", bad.len(), result.is_ok());
            println!("SDP {took:?} {what}");
            worst = worst.max((took, what));
        }
    }
    println!("WORST {worst:?}");
}

#[test]
#[ignore = "it measures, which only an optimised build can"]
fn costs_of_fan_out() {
    const VIEWERS: usize = 300;
    const FRAMES: u32 = 200;
    let mut sim = Sim::new(402);
    let source = sim.plane.add_source();
    for _ in 0..VIEWERS {
        sim.watch(source);
    }
    let mut stream = Stream::new(rtc::Codec::H264, usize::MAX);
    sim.publish_for(source, &mut stream, 2);
    // From here on nothing arrives anywhere: what is left is the fan-out alone.
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let (mut took, mut packets, mut runs) = (Duration::ZERO, 0, 0);
        for _ in 0..FRAMES {
            sim.now += media::FRAME;
            let au = stream.next();
            sim.plane.write(sim.now, source, sim.now, &au, &mut sim.out);
            let mut more = true;
            while more {
                let start = clock();
                more = sim.plane.fan_out(sim.now, FAN_OUT_PACKETS, &mut sim.out);
                took += start.elapsed();
                packets += sim.out.runs().map(|run| run.datagrams()).sum::<usize>();
                runs += sim.out.runs().count();
                sim.out.clear_runs();
            }
        }
        rounds.push((took.as_nanos() / packets as u128, packets, runs));
    }
    rounds.sort_unstable();
    let (nanos, packets, runs) = rounds[rounds.len() / 2];
    println!("COST a packet to {VIEWERS} viewers: {nanos} ns ({packets} in {runs} runs)");
}
