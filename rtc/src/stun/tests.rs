use proptest::prelude::*;
use str0m::ice::StunMessage;

use super::*;

/// The sample request of RFC 5769 §2.1, and its password.
const SAMPLE: &str = "000100582112a442b7e7a701bc34d686fa87dfae\
    802200105354554e207465737420636c69656e74002400046e0001ff\
    80290008932ff9b151263b36\
    000600096576746a3a68367659202020\
    000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2\
    80280004e57a3bcf";
const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn sample() -> Vec<u8> {
    let hex: Vec<u8> = SAMPLE.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.chunks(2).map(byte).collect()
}

fn hmac() -> &'static dyn Sha1HmacProvider {
    str0m_aws_lc_rs::default_provider().sha1_hmac_provider
}

fn is_authentic(datagram: &[u8]) -> Result<bool, NoCheck> {
    Check::read(datagram).map(|check| check.is_authentic(hmac(), PASSWORD))
}

/// A check with these attributes before MESSAGE-INTEGRITY and those bytes behind it.
fn check(attributes: &[(u16, &[u8])], behind: &[u8]) -> Vec<u8> {
    let mut message = sample()[..HEADER_BYTES].to_vec();
    for (kind, value) in attributes {
        push_attribute(&mut message, *kind, value);
    }
    let integrity = sign(hmac(), PASSWORD, &message);
    push_attribute(&mut message, attribute::MESSAGE_INTEGRITY, &integrity);
    message.extend(behind);
    let length = (message.len() - HEADER_BYTES) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
    message
}

const USERNAME: (u16, &[u8]) = (attribute::USERNAME, b"evtj:h6vY");
const PRIORITY: (u16, &[u8]) = (attribute::PRIORITY, &[1, 2, 3, 4]);

#[test]
fn the_sample_of_the_specification_is_authentic() {
    let datagram = sample();
    let check = Check::read(&datagram).unwrap();
    assert_eq!((check.ufrag, check.controlled), ("evtj", true));
    assert!(check.is_authentic(hmac(), PASSWORD));
    assert!(!check.is_authentic(hmac(), "VOkJxbRl1RmTxUk/WvJxBT"));
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn a_role_conflict_is_told_in_fewer_bytes_than_the_check_has() {
    let datagram = check(
        &[USERNAME, PRIORITY, (attribute::ICE_CONTROLLED, &[0; 8])],
        &[],
    );
    let check = Check::read(&datagram).unwrap();
    let answer = check.role_conflict(hmac(), PASSWORD);
    assert!(check.controlled && answer.len() <= datagram.len());
    let message = StunMessage::parse(&answer).unwrap();
    assert_eq!(message.error_code(), Some((487, "Role Conflict")));
    assert_eq!(answer[8..20], datagram[8..20], "the same transaction");
    assert!(message.verify(PASSWORD.as_bytes(), |key, parts| {
        hmac().sha1_hmac(key, parts)
    }));
    assert_eq!(end(&answer, &answer[answer.len() - 8..]), Ok(()));
}

#[test]
fn one_changed_bit_anywhere_is_found() {
    let datagram = sample();
    for bit in 0..datagram.len() * 8 {
        let mut changed = datagram.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(is_authentic(&changed), Ok(true), "bit {bit}");
    }
}

#[test]
fn what_must_be_understood_and_is_not_makes_it_no_check() {
    let good = [USERNAME, PRIORITY];
    assert_eq!(is_authentic(&check(&good, &[])), Ok(true));
    let with = |extra| is_authentic(&check(&[USERNAME, PRIORITY, extra], &[]));
    // An optional one is passed over.
    assert_eq!(with((0xc057, &[1, 2, 3])), Ok(true));
    // MAPPED-ADDRESS, REALM, MESSAGE-INTEGRITY-SHA256, and one that nobody has defined.
    for kind in [0x0001, 0x0014, 0x001c, 0x7fff] {
        assert_eq!(with((kind, &[0; 8])), Err(NoCheck::Malformed), "{kind:#x}");
    }
    assert_eq!(with(USERNAME), Err(NoCheck::Malformed), "twice");
    assert_eq!(
        with((attribute::USE_CANDIDATE, &[0; 4])),
        Err(NoCheck::Malformed)
    );
    assert_eq!(
        with((attribute::ICE_CONTROLLED, &[0; 4])),
        Err(NoCheck::Malformed)
    );
    for missing in [USERNAME, PRIORITY] {
        assert_eq!(
            is_authentic(&check(&[missing], &[])),
            Err(NoCheck::Malformed)
        );
    }
    for name in [&b"evtj"[..], b"evtj:", b"", b"\xff:x"] {
        let username = (attribute::USERNAME, name);
        assert_eq!(
            is_authentic(&check(&[username, PRIORITY], &[])),
            Err(NoCheck::Malformed)
        );
    }
}

#[test]
fn behind_the_integrity_there_is_a_right_fingerprint_or_nothing() {
    let good = [USERNAME, PRIORITY];
    let wrong = [0x80, 0x28, 0, 4, 1, 2, 3, 4];
    assert_eq!(is_authentic(&check(&good, &wrong)), Err(NoCheck::Malformed));
    let use_candidate = [0, 0x25, 0, 0];
    assert_eq!(
        is_authentic(&check(&good, &use_candidate)),
        Err(NoCheck::Malformed)
    );
    let mut fingerprint = check(&good, &wrong);
    let at = fingerprint.len() - 8;
    let made = (crc32(&fingerprint[..at]) ^ FINGERPRINT_XOR).to_be_bytes();
    fingerprint[at + 4..].copy_from_slice(&made);
    assert_eq!(is_authentic(&fingerprint), Ok(true));
}

#[test]
fn other_messages_are_none() {
    for kind in [[0, 0x11], [1, 1], [1, 0x11], [0, 3], [2, 1]] {
        let mut datagram = sample();
        datagram[..2].copy_from_slice(&kind);
        assert_eq!(is_authentic(&datagram), Err(NoCheck::Other));
    }
    for len in 0..SAMPLE.len() / 2 {
        let datagram = sample();
        let Some(cut) = datagram.get(..len).filter(|cut| cut.len() < datagram.len()) else {
            continue;
        };
        assert_eq!(is_authentic(cut), Err(NoCheck::Malformed));
    }
}

proptest! {
    /// What is taken here, str0m takes too, and reads the same.
    #[test]
    fn any_attributes_are_read_as_str0m_reads_them(
        attributes in prop::collection::vec(
            (
                prop_oneof![
                    Just(0x0006u16), Just(0x0024), Just(0x0025), Just(0x8029), Just(0x802a),
                    Just(0x8022), Just(0xc057), Just(0x8023), Just(0x0008), Just(0x8028), any::<u16>(),
                ],
                prop_oneof![
                    Just(b"evtj:h6vY".to_vec()), Just(vec![7; 4]), Just(vec![]), Just(vec![9; 8]),
                    prop::collection::vec(any::<u8>(), 0..30),
                ],
            ),
            0..8,
        ),
    ) {
        let borrowed: Vec<(u16, &[u8])> = attributes
            .iter()
            .map(|(kind, value)| (*kind, value.as_slice()))
            .collect();
        let datagram = check(&[&[USERNAME, PRIORITY], borrowed.as_slice()].concat(), &[]);
        if let Ok(read) = Check::read(&datagram) {
            let message = StunMessage::parse(&datagram);
            if let Ok(message) = message {
                prop_assert!(message.is_binding_request());
                let (ufrag, _) = message.username().unwrap().split_once(':').unwrap();
                prop_assert_eq!(ufrag, read.ufrag);
                prop_assert_eq!(message.ice_controlled().is_some(), read.controlled);
                let verified = message.verify(PASSWORD.as_bytes(), |key, parts| hmac().sha1_hmac(key, parts));
                prop_assert_eq!(verified, read.is_authentic(hmac(), PASSWORD));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = is_authentic(&bytes);
    }
}
