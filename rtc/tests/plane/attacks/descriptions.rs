//! Descriptions and candidates that are too much.

use std::time::Duration;

use proptest::prelude::*;
use rtc::{Codec, MAX_CANDIDATE_BYTES, MAX_SDP_BYTES, SessionError, SessionKey, SourceKey};

use crate::support::media::Stream;
use crate::support::{Sim, Viewer, ViewerId};

/// Lines, with numbers in the place of `#`, and what of a good answer they are put before.
pub(crate) const BOMBS: [(&str, &str); 22] = [
    ("m=audio", "a=x#:y\r\n"),
    ("m=audio", "a=rtpmap:# VP8/90000\r\n"),
    ("m=audio", "a=fmtp:96 x#=1\r\n"),
    ("m=audio", "a=rtcp-fb:96 nack x#\r\n"),
    ("m=audio", "a=extmap:# urn:x\r\n"),
    ("m=audio", "a=ssrc:# cname:x\r\n"),
    ("m=audio", "a=ssrc-group:FID # 7\r\n"),
    ("m=audio", "a=ice-ufrag:#\r\n"),
    ("m=audio", "a=rid:# send\r\n"),
    ("m=audio", "a=candidate:# 1 udp 1 192.0.2.9 9 typ host\r\n"),
    ("m=audio", "a=fingerprint:sha-256 AA:BB\r\n"),
    ("m=audio", "a=msid:# a\r\n"),
    ("m=audio", "a=simulcast:recv 1\r\n"),
    ("m=audio", "a=sctp-port:#\r\n"),
    ("m=audio", "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:#\r\n"),
    ("a=group", "a=group:BUNDLE #\r\n"),
    ("m=audio", "c=IN IP4 0.0.0.0\r\n"),
    ("m=audio", "\r\n"),
    ("m=audio", "a=\r\n"),
    ("m=audio", "b=AS:#\r\n"),
    (" UDP", "0"),
    ("\r\nc=IN", " #"),
];

/// A good answer, and a session that waits for it.
pub(crate) fn answered(sim: &mut Sim) -> (SourceKey, SessionKey, Viewer) {
    let source = sim.plane.add_source();
    let (key, offer) = sim
        .plane
        .create_session(sim.now, source, &mut sim.out)
        .expect("a session");
    let mut viewer = Viewer::new(sim.now, 0);
    viewer.key = Some(key);
    viewer.answer(sim.now, &offer);
    (source, key, viewer)
}

/// `answer` with as many of `line` before `before` as fit into `bytes`, but not more than `lines`.
pub(crate) fn filled(
    answer: &str,
    (before, line): (&str, &str),
    lines: usize,
    bytes: usize,
) -> String {
    let at = answer.find(before).expect("a place in the answer");
    let mut filling = String::new();
    for number in 0..lines {
        let next = line.replace('#', &number.to_string());
        if answer.len() + filling.len() + next.len() > bytes {
            break;
        }
        filling.push_str(&next);
    }
    format!("{}{filling}{}", &answer[..at], &answer[at..])
}

#[test]
fn no_answer_is_too_large_to_be_refused_or_taken() {
    for bomb in BOMBS {
        let mut sim = Sim::new(240);
        let (source, key, viewer) = answered(&mut sim);
        let good = viewer.answer.clone();
        let bad = filled(&good, bomb, usize::MAX, MAX_SDP_BYTES);
        match sim.plane.accept_answer(sim.now, key, &bad, &mut sim.out) {
            Ok(()) => {}
            Err(SessionError::BadSdp(fault)) => {
                assert!(fault.len() < 1_000 && !fault.contains('\n'), "{fault}");
                sim.plane
                    .accept_answer(sim.now, key, &good, &mut sim.out)
                    .unwrap_or_else(|error| panic!("{bomb:?} has used up the offer: {error}"));
            }
            Err(other) => panic!("{bomb:?}: {other}"),
        }
        sim.viewers.push(viewer);
        sim.flush();
        sim.connect(ViewerId(0));
        sim.publish_for(source, &mut Stream::small(Codec::H264, 25), 3);
        sim.run_for(Duration::from_millis(100));
        assert_eq!(sim.viewer(ViewerId(0)).pictures().len(), 3, "{bomb:?}");
        assert_eq!(sim.plane.counters().panics, 0);
    }
}

#[test]
fn what_str0m_parses_is_bounded() {
    let mut sim = Sim::new(241);
    let (_, key, viewer) = answered(&mut sim);
    // Attributes that are not asked for, and candidates, are not counted.
    let taken = filled(
        &viewer.answer,
        ("m=audio", "a=x#:y\r\n"),
        3_000,
        MAX_SDP_BYTES,
    );
    let bomb = ("m=audio", "a=rtcp-fb:96 nack x#\r\n");
    let lines = filled(&viewer.answer, bomb, 256, MAX_SDP_BYTES);
    let long = format!("a=fmtp:96 {}\r\n", "x".repeat(16 << 10));
    let bytes = filled(&viewer.answer, ("m=audio", &long), 1, MAX_SDP_BYTES);
    let large = "x".repeat(MAX_SDP_BYTES + 1);
    for bad in [&lines, &bytes, &large] {
        let refused = sim.plane.accept_answer(sim.now, key, bad, &mut sim.out);
        assert!(matches!(refused, Err(SessionError::BadSdp(_))));
    }
    sim.plane
        .accept_answer(sim.now, key, &taken, &mut sim.out)
        .unwrap();
}

#[test]
fn candidates_of_any_kind_cost_a_line_each_and_no_more() {
    let mut sim = Sim::new(242);
    let (_, key, _) = answered(&mut sim);
    let mut add = |candidate: &str| sim.plane.add_candidate(sim.now, key, candidate);
    let host = |address: &str| format!("candidate:1 1 udp 2130706431 {address} 9 typ host");
    let name = format!("{}.local", "a".repeat(36));
    add(&host(&name)).unwrap();
    let long = host(&"1".repeat(10_000));
    let refused = add(&long).unwrap_err();
    assert!(refused.to_string().contains("at most 1024"), "{refused}");
    let padded = format!("{}{}", host("192.0.2.7"), " ".repeat(MAX_CANDIDATE_BYTES));
    assert!(matches!(add(&padded), Err(SessionError::BadCandidate(_))));
    let broken = format!("candidate:1 1 udp x {} 9 typ host", "y".repeat(900));
    let refused = add(&broken).unwrap_err();
    assert!(refused.to_string().len() < 1_000);
    // None of these counted.
    for number in 0..50 {
        add(&host(&format!("192.0.2.{number}"))).unwrap();
    }
    let refused = add(&host("192.0.2.250")).unwrap_err();
    assert_eq!(refused, SessionError::TooManyCandidates { limit: 50 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// An answer with a piece of it cut out, doubled or changed is taken or refused.
    #[test]
    fn a_damaged_answer_is_taken_or_refused(
        from in 0.0..1.0_f64,
        len in 0..80_usize,
        with in "([a-z]=)?[ -~]{0,20}(\r\n)?",
    ) {
        let mut sim = Sim::new(243);
        let (_, key, viewer) = answered(&mut sim);
        let good = viewer.answer;
        let start = (good.len() as f64 * from) as usize;
        let end = (start + len).min(good.len());
        let damaged = format!("{}{with}{}", &good[..start], &good[end..]);
        let _ = sim.plane.accept_answer(sim.now, key, &damaged, &mut sim.out);
        prop_assert_eq!(sim.plane.counters().panics, 0);
        if sim.plane.session(key).is_none() {
            // str0m has half taken it: the session is closed, never half open.
            prop_assert_eq!(sim.plane.demux_entries(), 0);
        }
    }
}
