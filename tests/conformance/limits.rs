//! Cases 9 and 10: large messages, many messages. The suite goes to 16 MiB, the server to `ws.message_bytes`.

use super::wire::{BINARY, CONTINUATION, Frame, TEXT};
use super::{Case, Peer, binary, fragmented, text};

/// The default of `ws.message_bytes`.
const LARGEST: usize = 512 << 10;

/// Messages in a row; the suite takes 1,000.
const IN_A_ROW: usize = 200;

/// Cases 9.1 to 9.6: sizes, sizes of fragments, sizes of writes.
pub fn sizes(peer: Peer) -> Vec<Case> {
    let mut all = Vec::new();
    for length in [64 << 10, 256 << 10, LARGEST] {
        all.push(
            Case::new(format!("9.1, {length}"), "a large text")
                .send([text(peer.text_of(length))])
                .errors(1),
        );
        all.push(
            Case::new(format!("9.2, {length}"), "a large binary message")
                .send([binary(vec![0; length])])
                .errors(1),
        );
    }
    for piece in [64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10] {
        let pieces = |message: Vec<u8>| message.chunks(piece).map(<[u8]>::to_vec).collect();
        all.push(
            Case::new(
                format!("9.3, {piece}"),
                "a large text in fragments of so many octets",
            )
            .send(fragmented(TEXT, pieces(peer.text_of(LARGEST))))
            .errors(1),
        );
        all.push(
            Case::new(
                format!("9.4, {piece}"),
                "binary in fragments of so many octets",
            )
            .send(fragmented(BINARY, pieces(vec![0; LARGEST])))
            .errors(1),
        );
    }
    for chop in [64, 128, 256, 512, 1024, 2048] {
        all.push(
            Case::new(
                format!("9.5, {chop}"),
                "a large text in writes of so many octets",
            )
            .chopped(chop, [text(peer.text_of(LARGEST))])
            .errors(1),
        );
        all.push(
            Case::new(format!("9.6, {chop}"), "binary in writes of so many octets")
                .chopped(chop, [binary(vec![0; LARGEST])])
                .errors(1),
        );
    }
    all
}

/// Cases 9.7 and 9.8: many messages, here sent at once.
pub fn rows(peer: Peer) -> Vec<Case> {
    let mut all = Vec::new();
    for length in [0, 16, 64, 256, 1024, 4096] {
        let message = peer.text_of(length);
        let mut case = Case::new(format!("9.7, {length}"), "many texts at once")
            .send((0..IN_A_ROW).map(|_| text(message.clone())));
        for _ in 0..IN_A_ROW {
            case = case.answer(peer, &message);
        }
        all.push(case);
        all.push(
            Case::new(format!("9.8, {length}"), "many binary messages at once")
                .send((0..IN_A_ROW).map(|_| binary(vec![0; length])))
                .errors(IN_A_ROW),
        );
    }
    all
}

/// Case 10.1, and what is larger than the server takes: refused as soon as its length is known.
pub fn oversize(peer: Peer) -> Vec<Case> {
    let pieces = peer
        .text_of(65_536)
        .chunks(1300)
        .map(<[u8]>::to_vec)
        .collect();
    let half = || vec![b'*'; LARGEST / 2];
    let declared = |opcode: u8| {
        let mut bytes = Frame::new(opcode, vec![0; 1 << 16]).encode();
        bytes.truncate(14);
        // The length's eight octets.
        bytes[2..10].copy_from_slice(&(1_u64 << 62).to_be_bytes());
        bytes
    };
    vec![
        Case::new("10.1.1", "a text in fragments of 1,300 octets")
            .send(fragmented(TEXT, pieces))
            .errors(1),
        Case::new("9.1.x", "a text one octet too large")
            .send([text(vec![b'*'; LARGEST + 1])])
            .fails(1009),
        Case::new("9.2.x", "binary one octet too large")
            .send([binary(vec![0; LARGEST + 1])])
            .fails(1009),
        Case::new("9.3.x", "a text that is too large by its last fragment")
            .send([
                text(half()).more(),
                Frame::new(CONTINUATION, half()).more(),
                Frame::new(CONTINUATION, "*"),
            ])
            .fails(1009),
        Case::new("9.x, declared", "a text of 4 EiB, of which nothing follows")
            .octets(declared(TEXT), usize::MAX)
            .fails(1009),
        Case::new(
            "9.x, declared, binary",
            "binary of 4 EiB, of which nothing follows",
        )
        .octets(declared(BINARY), usize::MAX)
        .fails(1009),
    ]
}
