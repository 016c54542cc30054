//! Answers that are taken and answers that are not.

use super::*;

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\na=group:BUNDLE v a d\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:v\r\na=sendonly\r\n\
    a=rtpmap:102 H264/90000\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\na=sendonly\r\n\
    a=rtpmap:111 opus/48000/2\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n";

/// With digests written out.
fn whole(text: &str) -> String {
    let digest = |pair: &str, bytes: usize| format!(" {}", vec![pair; bytes].join(":"));
    text.replace(" AA", &digest("AA", 32))
        .replace(" BB", &digest("BB", 32))
        .replace(" DD", &digest("DD", 20))
}

fn read(text: &str) -> Result<Description, String> {
    Description::read(&whole(text))
}

fn answer() -> String {
    OFFER.replace("sendonly", "recvonly").replace(
        "a=group",
        "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
         a=fingerprint:sha-256 AA\r\na=setup:active\r\na=group",
    )
}

fn fault(answer: &str) -> String {
    let offer = read(OFFER).unwrap();
    let checked = read(answer).and_then(|read| read.check_answers(&offer));
    checked.expect_err("the answer is bad")
}

#[test]
fn a_good_answer_passes_and_a_rejected_section_may_leave_the_group() {
    let offer = read(OFFER).unwrap();
    read(&answer()).unwrap().check_answers(&offer).unwrap();
    let rejected = answer()
        .replace("m=audio 9", "m=audio 0")
        .replace("BUNDLE v a d", "BUNDLE v d");
    read(&rejected).unwrap().check_answers(&offer).unwrap();
}

#[test]
fn every_fault_is_named() {
    assert!(fault("hello").contains("v=0"));
    assert!(fault(&format!("v=0{}", " ".repeat(MAX_SDP_BYTES))).contains("65536"));
    assert!(fault(&answer().replace("a=ice-pwd", "a=x")).contains("ice-pwd"));
    assert!(fault(&answer().replace("a=fingerprint:sha-256", "a=x:")).contains("fingerprint"));
    assert!(fault(&answer().replace("sha-256", "md5")).contains("md5"));
    assert!(fault(&answer().replace("sha-256 AA", "sha-256 AA:AA")).contains("32 pairs"));
    assert!(
        fault(&answer().replace("a=ice-pwd", "m=video 9 x 1\r\na=ice-pwd")).contains("ice-pwd")
    );
    assert!(fault(&answer().replace("a=setup", "a=ice-lite\r\na=setup")).contains("ice-lite"));
    assert!(fault(&answer().replace("a=mid:a", "a=mid:z")).contains("a=mid:a"));
    assert!(fault(&answer().replace("BUNDLE v a d", "BUNDLE a v d")).contains("BUNDLE"));
    assert!(fault(&answer().replace("recvonly", "x")).contains("direction"));
    assert!(fault(&answer().replace("a=rtpmap:111", "a=x:")).contains("format 111"));
    let cut = answer().split("m=application").next().unwrap().to_owned();
    assert!(fault(&cut).contains("2 media sections"));
}

#[test]
fn the_offered_level_covers_the_source() {
    assert_eq!(offered_profile(None), 0x42_e01f);
    assert_eq!(
        offered_profile(Some(0x42_c00d)),
        0x42_e01f,
        "never below what browsers expect"
    );
    assert_eq!(offered_profile(Some(0x4d_4028)), 0x4d_0028);
    assert_eq!(offered_profile(Some(0x64_0033)), 0x64_0033);
    assert_eq!(offered_profile(Some(0x64_003e)), 0x64_0034);
    assert_eq!(
        offered_profile(Some(0x64_0021)),
        0x64_0028,
        "3.3 is no level: the next one"
    );
}

#[test]
fn candidates_do_not_reach_the_parser() {
    let with = format!(
        "{}a=candidate:1 1 udp 1 host.local 9 typ host\r\n",
        answer()
    );
    assert_eq!(read(&with).unwrap().candidates.len(), 1);
}

/// What newer viewers do: a line for each hash that they know, in any order.
#[test]
fn a_certificate_may_be_named_by_several_hashes() {
    let named = |lines: &str| {
        let answer = answer().replace("a=fingerprint:sha-256 AA", lines);
        let offer = read(OFFER).unwrap();
        let read = read(&answer).unwrap();
        read.check_answers(&offer)
            .map(|()| read.fingerprint.unwrap())
    };
    for lines in [
        "a=fingerprint:sha-512 CC\r\na=fingerprint:sha-384 BB\r\na=fingerprint:SHA-256 AA",
        "a=fingerprint:SHA-256 AA\r\na=fingerprint:sha-1 DD\r\na=fingerprint:sha-512 CC",
        "a=fingerprint:sha-1 DD\r\na=fingerprint:SHA-256 AA",
    ] {
        assert_eq!(named(lines).unwrap(), whole("SHA-256 AA"), "{lines}");
    }
    assert!(
        named("a=fingerprint:sha-512 CC")
            .unwrap_err()
            .contains("sha-512")
    );
    // That of a later section does not replace that of the session.
    let later = answer().replace("a=mid:a", "a=mid:a\r\na=fingerprint:sha-256 BB");
    let read = read(&later.replacen("sha-256 AA", "sha-1 DD", 1)).unwrap();
    assert_eq!(read.fingerprint.unwrap(), whole("sha-1 DD"));
}
