//! The sockets of the API against the cases of the Autobahn|Testsuite (<https://github.com/crossbario/autobahn-testsuite>),
//! written anew: the suite wants an echo server, and Python 2.7. `tests/autobahn_suite.rs` runs the suite itself
//! against the codec.
//!
//! Stricter than the suite: pongs in their order, every octet of a server's frame looked at, nothing after its close
//! frame, and failures that need no timeout to be seen.

mod conformance;
mod support;

use conformance::{closing, conform, deflate, fragments, framing, garbage, limits, opening, utf8};

#[test]
fn lengths_of_every_encoding() {
    conform(framing::lengths);
}

#[test]
fn pings_and_pongs() {
    conform(framing::pings);
}

#[test]
fn reserved_bits() {
    conform(framing::reserved_bits);
}

#[test]
fn reserved_opcodes() {
    conform(framing::reserved_opcodes);
}

#[test]
fn masks() {
    conform(framing::masks);
}

#[test]
fn fragmentation() {
    conform(fragments::fragments);
}

#[test]
fn utf8_in_fragments() {
    conform(utf8::fragments);
    conform(utf8::splits);
}

#[test]
fn utf8_sequences() {
    conform(utf8::sequences);
}

#[test]
fn closing_handshakes() {
    conform(closing::handshakes);
}

#[test]
fn close_codes() {
    conform(closing::codes);
}

#[test]
fn large_messages() {
    conform(limits::sizes);
}

#[test]
fn messages_in_a_row() {
    conform(limits::rows);
}

#[test]
fn messages_that_are_too_large() {
    conform(limits::oversize);
}

/// Cases 12 and 13 want compression, which is not offered (RFC 7692).
#[test]
fn an_offer_of_compression_is_not_taken() {
    deflate::is_not_taken();
}

#[test]
fn random_octets_harm_nobody() {
    garbage::harms_nobody();
}

#[test]
fn opening_handshakes() {
    opening::is_an_upgrade_or_not();
}

#[test]
fn what_comes_with_the_opening_handshake() {
    opening::keeps_what_comes_with_it();
}

#[test]
fn unread_answers_are_bounded() {
    garbage::unread_answers_are_bounded();
}
