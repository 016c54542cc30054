//! Sealed media as a viewer gets it, and what must never happen.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use str0m::crypto::dtls::SrtpProfile;
use str0m::rtp::RtpWrite;

use super::keys::derive;
use super::{SendTime, keyed};
use crate::rekeyed::{WithGcm, WithoutGcm, rekey};
use crate::support::media::{Stream, picture};
use crate::support::{Ends, Sim, Simulation, ViewerId, is_media, plane_address};
use crate::testing::start;
use crate::{Codec, SourceKey};

const SECOND: Duration = Duration::from_secs(1);

/// A simulation with one viewer, whose first pictures have come.
fn watching(seed: u64) -> (Sim, SourceKey, ViewerId, Stream) {
    let mut sim = Sim::new(seed);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let mut stream = Stream::new(Codec::H264, 25);
    sim.publish_for(source, &mut stream, 5);
    (sim, source, viewer, stream)
}

fn lane(sim: &mut Sim, source: SourceKey) -> &mut crate::viewer::Lane {
    let source = sim.plane.sources.get_mut(source).unwrap();
    &mut source.viewers[0].video
}

#[test]
fn the_picture_runs_on_when_sequence_numbers_roll_over() {
    for loss in [0.0, 0.05] {
        let (mut sim, source, viewer, mut stream) = watching(100);
        // As after many pictures; half the range is the most that a receiver takes for a step
        // forward.
        for next in [32_000, 60_000, 65_500] {
            let lane = lane(&mut sim, source);
            if lane.indices().next() < next {
                lane.indices().skip_to(next);
            }
            sim.publish_for(source, &mut stream, 1);
        }
        sim.network.loss = loss;
        sim.publish_for(source, &mut stream, 50);
        sim.network.loss = 0.0;
        sim.publish_for(source, &mut stream, 10);
        sim.run_for(SECOND);
        assert!(lane(&mut sim, source).indices().next() > 65_536 + 100);
        let pictures = sim.viewer(viewer).pictures();
        let after: Vec<u32> = pictures.into_iter().filter(|n| *n >= 8).collect();
        assert_eq!(after, (8..68).collect::<Vec<u32>>());
    }
}

#[test]
fn sender_reports_say_what_was_sent_and_when() {
    let (mut sim, source, viewer, mut stream) = watching(101);
    for number in 5..80 {
        sim.publish(source, &picture(Codec::Opus, number, true, 160));
        sim.publish_for(source, &mut stream, 1);
    }
    let delay = sim.network.delay;
    let mid = sim.viewer(viewer).video.unwrap();
    let reports = sim.viewer(viewer).reports.clone();
    let video: Vec<_> = reports.iter().filter(|(_, of, _)| *of == mid).collect();
    assert!(video.len() >= 3, "one a second");
    let (at, _, last) = video[video.len() - 1];
    let packets = last.sender_packet_count;
    assert!((400..700).contains(&packets), "{packets} packets");
    let octets = last.sender_octet_count / packets;
    assert!((900..1_150).contains(&octets), "{octets} bytes a packet");
    // A picture that is captured when the report is made has the RTP time that the report names.
    let sent = *at - delay;
    let newest = sim.viewer(viewer).video().filter(|f| f.at - delay <= sent);
    let newest = newest.last().unwrap();
    let named = last.rtp_time.numer() as f64 / 90_000.0;
    let since_newest = (sent - (newest.at - delay)).as_secs_f64();
    let error = named - (newest.time % (f64::from(u32::MAX) / 90_000.0)) - since_newest;
    assert!(error.abs() < 0.004, "off by {error} s");
    let pair = [video[video.len() - 2].2, *last];
    let passed = pair[1].ntp_time.duration_since(pair[0].ntp_time).unwrap();
    let ticks = pair[1].rtp_time.numer() - pair[0].rtp_time.numer();
    assert!((passed.as_secs_f64() - ticks as f64 / 90_000.0).abs() < 0.002);
}

#[test]
fn before_the_first_picture_no_report_names_a_time() {
    let mut sim = Sim::new(102);
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    sim.run_for(2 * SECOND);
    let reports = &sim.viewer(viewer).reports;
    assert!(!reports.is_empty());
    for (_, _, report) in reports {
        assert_eq!(report.ntp_time, std::time::SystemTime::UNIX_EPOCH);
        assert_eq!(report.sender_packet_count, 0);
    }
}

#[test]
fn neither_rtp_nor_rtcp_of_str0ms_leaves_a_session_whose_media_is_ours() {
    let (mut sim, source, viewer, mut stream) = watching(103);
    let key = sim.key(viewer);
    let ssrc = lane(&mut sim, source).ssrc().unwrap();
    let mid = sim.viewer(viewer).video.unwrap();
    let now = sim.now;
    sim.out.clear_runs();
    let session = sim.plane.sessions.get_mut(key).unwrap();
    let turned = session.turn(now, &mut sim.out, |rtc| {
        let mut api = rtc.direct_api();
        assert!(api.stream_tx(&ssrc).is_none(), "it has no stream");
        // A new stream is reported at once.
        let stream = api.declare_stream_tx(ssrc, None, mid, None);
        stream.write_rtp(RtpWrite::new(102.into(), 9.into(), 9, now, vec![9; 100]));
        rtc.handle_input(str0m::Input::Timeout(now)).is_ok()
    });
    assert_eq!(turned, Ok(true));
    assert_eq!(sim.out.runs().count(), 0, "nothing went out");
    let session = sim.plane.sessions.get_mut(key).unwrap();
    let turned = session.turn(now, &mut sim.out, |rtc| {
        rtc.direct_api().remove_stream_tx(ssrc)
    });
    assert_eq!(turned, Ok(true));
    sim.publish_for(source, &mut stream, 10);
    sim.run_for(SECOND);
    sim.viewer(viewer).assert_smooth();
}

#[test]
fn new_keys_replace_the_old_ones_and_indices_go_on() {
    let (mut sim, source, viewer, mut stream) = watching(104);
    let key = sim.key(viewer);
    let before = lane(&mut sim, source).indices().next();
    let material: Vec<u8> = (0..56).collect();
    let (_, keyed) = super::during(|| {
        for material in [&[1; 56][..], &material] {
            keyed(SrtpProfile::AEAD_AES_128_GCM, material, false);
        }
    });
    let (keying, _) = keyed.unwrap();
    sim.plane.sessions.get_mut(key).unwrap().keying = Some(keying);
    sim.plane.refit(key);
    sim.out.clear_runs();
    sim.plane
        .write(sim.now, source, sim.now, &stream.next(), &mut sim.out);
    sim.plane.fan_out(sim.now, 100, &mut sim.out);
    let run = sim.out.runs().find(|run| run.media).unwrap();
    let datagram = &run.contents[..run.segment];
    let sequence = u16::from_be_bytes([datagram[2], datagram[3]]);
    assert_eq!(u64::from(sequence), before, "the next index, not the first");
    let opens = |material: &[u8]| {
        let key = derive(SrtpProfile::AEAD_AES_128_GCM, material, false);
        key.unwrap().0.opens(datagram, before)
    };
    assert!(opens(&material), "the newest keys");
    assert!(!opens(&[1; 56]), "not those before");
}

/// Keys change three times while packets fly. Gives the keys, and all that was sent.
#[allow(clippy::type_complexity)] // what the network recorded
fn rekeyed<E: Ends>(seed: u64) -> (Vec<Vec<u8>>, Vec<(SocketAddr, SocketAddr, Vec<u8>)>) {
    let mut sim = Simulation::<E>::new(seed);
    sim.network.record = Some(Vec::new());
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    let key = sim.key(viewer);
    let mut stream = Stream::new(Codec::H264, 25);
    sim.publish_for(source, &mut stream, 30);
    let mut keys = Vec::new();
    for _ in 0..3 {
        sim.publish(source, &stream.next());
        sim.step();
        keys.push(rekey());
        let now = sim.now;
        sim.plane
            .send_text(now, key, "wakes both sides", &mut sim.out);
        sim.viewer_mut(viewer).wake(now);
        sim.publish_for(source, &mut stream, 40);
    }
    sim.run_for(SECOND);
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().len(), stream.next as usize);
    let stats = sim.plane.session(key).unwrap().stats();
    assert!(stats.video.nacks >= 3, "what was on its way was asked for");
    let sent = sim.network.record.take().unwrap();
    let to_viewer = sent.into_iter().filter(|(to, ..)| *to != plane_address());
    (keys, to_viewer.collect())
}

#[test]
fn keys_that_change_in_the_middle_lose_nothing() {
    rekeyed::<WithoutGcm>(110);
}

#[test]
fn keys_that_change_in_the_middle_lose_nothing_and_no_nonce_is_used_twice() {
    let (keys, sent) = rekeyed::<WithGcm>(109);
    let sealers: Vec<_> = keys
        .iter()
        .map(|keys| {
            derive(SrtpProfile::AEAD_AES_256_GCM, keys, false)
                .unwrap()
                .0
        })
        .collect();
    // Before the first of them the keys are those of the handshake.
    let mut current = 0;
    let mut packets = [0; 4];
    let mut first = HashMap::new();
    let mut nonces = HashSet::new();
    let mut last_report = None;
    for (_, _, bytes) in &sent {
        if is_media(bytes) {
            let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
            let ssrc = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
            let first = *first.entry(ssrc).or_insert(sequence);
            let index = u64::from(first) + u64::from(sequence.wrapping_sub(first));
            let opens = sealers.iter().position(|sealer| sealer.opens(bytes, index));
            let key = opens.map_or(0, |at| at + 1);
            assert!(key >= current, "older keys after newer ones");
            current = key;
            packets[key] += 1;
            assert!(nonces.insert((ssrc, index)), "{ssrc} {index}");
        } else if matches!(bytes[..], [128..=191, ..]) {
            let index: [u8; 4] = *bytes.last_chunk().unwrap();
            let index = u32::from_be_bytes(index);
            assert!(last_report.is_none_or(|last| last < index), "SRTCP");
            last_report = Some(index);
        }
    }
    assert!(packets.iter().all(|packets| *packets > 200), "{packets:?}");
}

#[test]
fn send_times_and_counts_wrap() {
    let now = start();
    for (ms, expected) in [(0, 0), (500, 1 << 17), (63_999, 16_776_953), (64_000, 0)] {
        let time = SendTime::new(now + Duration::from_millis(ms), now);
        assert_eq!(time.get(), expected, "{ms} ms");
    }
    let (mut sim, source, viewer, mut stream) = watching(111);
    let before = lane(&mut sim, source).tally.get();
    lane(&mut sim, source).tally.update(|sent| {
        sent.packets = (1 << 32) - 20;
        sent.bytes = (1 << 32) - 20_000;
    });
    let begin = sim.now;
    sim.publish_for(source, &mut stream, 50);
    let sent = lane(&mut sim, source).tally.get();
    assert!(before.packets < sent.packets && sent.packets > 1 << 32);
    let mid = sim.viewer(viewer).video.unwrap();
    let reports = sim.viewer(viewer).reports.iter();
    let mut reports = reports.filter(|(at, of, _)| *of == mid && *at > begin);
    let (_, _, last) = reports.next_back().expect("a report since");
    assert!((100..1_000).contains(&last.sender_packet_count), "{last:?}");
    assert!(
        (10_000..1_000_000).contains(&last.sender_octet_count),
        "{last:?}"
    );
    let stats = sim.plane.session(sim.key(viewer)).unwrap().stats();
    assert!(stats.video.packets_sent > 1 << 32);
}

#[test]
fn an_answer_never_begins_the_indices_anew() {
    let (mut sim, source, viewer, mut stream) = watching(105);
    let key = sim.key(viewer);
    let mut before = lane(&mut sim, source).indices().next();
    for ice_restart in [false, true, false] {
        let offer = sim.plane.offer(sim.now, key, ice_restart, &mut sim.out);
        let now = sim.now;
        let answer = sim.viewer_mut(viewer).answer(now, &offer.unwrap());
        sim.plane
            .accept_answer(now, key, &answer, &mut sim.out)
            .unwrap();
        sim.publish_for(source, &mut stream, 10);
        let after = lane(&mut sim, source).indices().next();
        assert!(after >= before + 10, "{after} after {before}");
        before = after;
    }
    sim.run_for(SECOND);
    assert_eq!(sim.viewer(viewer).pictures().last(), Some(&34));
}

#[test]
fn packets_are_not_resent_forever() {
    let (mut sim, source, viewer, mut stream) = watching(107);
    sim.publish_for(source, &mut stream, 20);
    let key = sim.key(viewer);
    let newest = lane(&mut sim, source).indices().next() as u16;
    let all: Vec<u16> = (0..500).map(|i| newest.wrapping_sub(i)).collect();
    let before = sim.plane.counters().rtp_packets_sent;
    for _ in 0..200 {
        let now = sim.now;
        sim.plane.ask_again(now, key, &all);
        sim.step();
    }
    let resent = sim.plane.counters().rtp_packets_sent - before;
    assert!((100..500).contains(&resent), "{resent} packets in 0.2 s");
}

#[test]
fn a_viewer_without_aes_gcm_is_served_through_str0m() {
    let mut sim = Simulation::<WithoutGcm>::new(108);
    let source = sim.plane.add_source();
    let viewer = sim.join(source);
    sim.connect(viewer);
    sim.network.loss = 0.02;
    let mut stream = Stream::new(Codec::H264, 25);
    for number in 0..100 {
        sim.publish(source, &picture(Codec::Opus, number, true, 160));
        sim.publish_for(source, &mut stream, 1);
    }
    sim.network.loss = 0.0;
    sim.run_for(SECOND);
    let place = &sim.plane.sources.get_mut(source).unwrap().viewers[0];
    assert!(place.sealer.is_none(), "str0m seals");
    sim.viewer(viewer).assert_smooth();
    assert_eq!(sim.viewer(viewer).pictures().len(), 100);
    let stats = sim.plane.session(sim.key(viewer)).unwrap().stats();
    assert!(stats.video.nacks > 0 && stats.video.rtt_ms.is_some());
    let counters = sim.plane.counters();
    let sent = stats.video.packets_sent + stats.audio.packets_sent;
    assert_eq!(counters.rtp_packets_sent, sent);
}
