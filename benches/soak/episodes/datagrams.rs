//! Datagrams of nobody's session.

use std::net::UdpSocket;

use super::{Played, text};
use crate::churn::Player;

/// Datagrams of one episode.
const DATAGRAMS: u64 = 200;

/// First bytes that tell the protocols on the port apart (RFC 7983 §7): STUN, DTLS, RTP, RTCP, and what is none.
const BEGINNINGS: &[&[u8]] = &[
    b"\x00\x01\x00\x08\x21\x12\xa4\x42",
    b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl",
    b"\x01\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl",
    b"\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x01\x00\x00\x14",
    b"\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x07\x00\x20",
    b"\x80\x60\x00\x01\x00\x00\x00\x01\xde\xad\xbe\xef",
    b"\x81\xc9\x00\x07\xde\xad\xbe\xef",
    b"\xff\xff",
    b"",
];

pub(super) fn garbage(player: &mut Player) -> Played {
    let socket = UdpSocket::bind((player.stage.local, 0)).map_err(text)?;
    for _ in 0..DATAGRAMS {
        let to = *player.dice.pick(&player.stage.media);
        let mut datagram = player.dice.pick(BEGINNINGS).to_vec();
        let length = player.dice.below(1200) as usize;
        datagram.extend(player.dice.bytes(length));
        // What the kernel does not take is lost.
        let _ = socket.send_to(&datagram, to);
    }
    Ok(())
}
