//! A viewer that is slow, lost or greedy costs the others nothing: they are sent the same packets
//! at the same times as when it behaves.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use rtc::Codec;

use super::support::media::Stream;
use super::support::{Sim, is_media};

/// What the first of the viewers does.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Good,
    /// Its address takes nothing: each run is given up.
    Blocked,
    /// It is not there any more.
    Vanished,
    /// It hears one datagram of ten and asks for the others, again and again.
    Deaf,
    /// It asks for a keyframe each millisecond.
    Greedy,
}

/// An RTP packet as anyone on the way sees it; numbers are counted from the viewer's first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    at: Duration,
    len: usize,
    marker: bool,
    payload_type: u8,
    sequence: u16,
    time: u32,
}

/// What the other viewers are sent, each in the order of sending.
fn others(manner: Manner) -> Vec<Vec<Seen>> {
    const VIEWERS: usize = 6;
    let mut sim = Sim::new(560);
    let source = sim.plane.add_source();
    let viewers: Vec<_> = (0..VIEWERS).map(|_| sim.watch(source)).collect();
    let (bad, good) = viewers.split_first().unwrap();
    let (bad, key) = (*bad, sim.key(*bad));
    let address = sim.viewer(bad).address;
    let mut stream = Stream::new(Codec::H264, 25);
    sim.publish_for(source, &mut stream, 10);
    match manner {
        Manner::Good | Manner::Greedy => {}
        Manner::Blocked | Manner::Vanished => sim.network.cut.push(address),
        Manner::Deaf => sim.network.deaf = Some((address, 10)),
    }
    let begin = sim.now;
    let mut seen: HashMap<SocketAddr, Vec<Seen>> = HashMap::new();
    let mut first: HashMap<SocketAddr, (u16, u32)> = HashMap::new();
    for ms in 0..3_000 {
        if ms % 40 == 0 {
            let au = stream.next();
            sim.publish(source, &au);
        }
        if matches!(manner, Manner::Greedy) {
            let now = sim.now;
            sim.viewer_mut(bad).request_keyframe(now);
        }
        sim.network.record = Some(Vec::new());
        sim.media_runs.clear();
        sim.step();
        if matches!(manner, Manner::Blocked) {
            let runs = std::mem::take(&mut sim.media_runs);
            for (_, datagrams) in runs.iter().filter(|(session, _)| *session == key) {
                sim.plane.send_blocked(key, *datagrams as u64);
            }
        }
        for (to, _, bytes) in sim.network.record.take().unwrap() {
            if !is_media(&bytes) {
                continue;
            }
            let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
            let time = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            let (sequence_0, time_0) = *first.entry(to).or_insert((sequence, time));
            seen.entry(to).or_default().push(Seen {
                at: sim.now - begin,
                len: bytes.len(),
                marker: bytes[1] & 0x80 != 0,
                payload_type: bytes[1] & 0x7f,
                sequence: sequence.wrapping_sub(sequence_0),
                time: time.wrapping_sub(time_0),
            });
        }
    }
    let counters = sim.plane.counters();
    match manner {
        Manner::Good | Manner::Vanished => {}
        Manner::Blocked => assert!(counters.blocked > 500, "{}", counters.blocked),
        Manner::Deaf => assert!(counters.nacks > 50, "{}", counters.nacks),
        Manner::Greedy => assert!(counters.plis > 50, "{}", counters.plis),
    }
    for viewer in good {
        sim.viewer(*viewer).assert_smooth();
    }
    let sent = |viewer| seen.remove(&sim.viewer(viewer).address).unwrap_or_default();
    good.iter().copied().map(sent).collect()
}

#[test]
fn others_are_sent_the_same_at_the_same_time() {
    let expected = others(Manner::Good);
    assert!(expected.iter().all(|sent| sent.len() > 600));
    for manner in [
        Manner::Blocked,
        Manner::Vanished,
        Manner::Deaf,
        Manner::Greedy,
    ] {
        assert!(
            others(manner) == expected,
            "beside a viewer that is {manner:?}"
        );
    }
}
