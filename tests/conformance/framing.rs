//! Cases 1 to 4: lengths, pings and pongs, reserved bits, reserved opcodes.

use super::wire::{BINARY, CLOSE, Frame, PING, PONG, TEXT};
use super::{Case, Peer, binary, text};

/// Case 1: every encoding of a length, and both sides of every limit between them.
pub fn lengths(peer: Peer) -> Vec<Case> {
    // Length, octets a write.
    let cases = [
        (0, usize::MAX),
        (125, usize::MAX),
        (126, usize::MAX),
        (127, usize::MAX),
        (128, usize::MAX),
        (65_535, usize::MAX),
        (65_536, usize::MAX),
        (65_536, 997),
    ];
    let mut all = Vec::new();
    for (number, (length, chop)) in (1..).zip(cases) {
        let message = peer.text_of(length);
        all.push(
            Case::new(
                format!("1.1.{number}"),
                format!("a text of {length} octets"),
            )
            .chopped(chop, [text(message.clone())])
            .answer(peer, &message),
        );
        all.push(
            Case::new(
                format!("1.2.{number}"),
                format!("{length} octets of binary"),
            )
            .chopped(chop, [binary(vec![0xfe; length])])
            .errors(1),
        );
    }
    // Lengths from which an envelope's payload begins, octet by octet.
    for length in [1, 30, 124, 129, 300, 65_534, 65_537] {
        let message = peer.text_of(length);
        all.push(
            Case::new(
                format!("1.1.x, {length}"),
                "each octet in a write of its own",
            )
            .chopped(if length < 1000 { 1 } else { 61 }, [text(message.clone())])
            .answer(peer, &message),
        );
    }
    all
}

/// Case 2: pings and pongs.
pub fn pings(_: Peer) -> Vec<Case> {
    let ping = |payload: &[u8]| Frame::new(PING, payload);
    let echoed = |name: &str, sentence: &str, payload: &[u8]| {
        Case::new(name, sentence)
            .send([ping(payload)])
            .pong([payload])
    };
    let many: Vec<Vec<u8>> = (0..10)
        .map(|n| format!("payload-{n}").into_bytes())
        .collect();
    let flood = || many.iter().map(|payload| ping(payload));
    let every_length = (0..=125).map(|length| vec![length as u8; length]);
    vec![
        echoed("2.1", "a ping without payload", b""),
        echoed("2.2", "a ping with text", b"Hello, world!"),
        echoed(
            "2.3",
            "a ping with octets that are not UTF-8",
            b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff",
        ),
        echoed("2.4", "a ping with 125 octets", &[0xfe; 125]),
        Case::new("2.5", "a ping with 126 octets")
            .send([ping(&[0xfe; 126])])
            .fails(1002),
        Case::new("2.6", "a ping with 125 octets, octet by octet")
            .chopped(1, [ping(&[0xfe; 125])])
            .pong([[0xfe; 125]]),
        Case::new("2.7", "a pong that nobody asked for").send([Frame::new(PONG, "")]),
        Case::new("2.8", "a pong with payload that nobody asked for")
            .send([Frame::new(PONG, "unsolicited")]),
        Case::new("2.9", "such a pong, then a ping")
            .send([Frame::new(PONG, "unsolicited"), ping(b"asked")])
            .pong(["asked"]),
        Case::new("2.10", "ten pings at once")
            .send(flood())
            .pong(many.clone()),
        Case::new("2.11", "ten pings, octet by octet")
            .chopped(1, flood())
            .pong(many.clone()),
        Case::new("2.x", "pings of every length")
            .send(every_length.clone().map(|payload| ping(&payload)))
            .pong(every_length),
        Case::new("2.x, pong", "a pong with 126 octets")
            .send([Frame::new(PONG, vec![0; 126])])
            .fails(1002),
    ]
}

/// Case 3: no extension is agreed on, so no reserved bit may be set.
pub fn reserved_bits(peer: Peer) -> Vec<Case> {
    let hello = peer.text("Hello, world!");
    let ping = || Frame::new(PING, "");
    // What was sent before is answered, what comes after is not.
    let between = |name: &str, rsv: u8| {
        let sentence = format!("a text, another with RSV = {rsv}, a ping");
        let frames = [text(hello.clone()), text(hello.clone()).rsv(rsv), ping()];
        (
            Case::new(name, sentence).answer(peer, &hello).fails(1002),
            frames,
        )
    };
    let mut all = vec![
        Case::new("3.1", "a text with RSV = 1")
            .send([text(hello.clone()).rsv(1)])
            .fails(1002),
    ];
    let (case, frames) = between("3.2", 2);
    all.push(case.send(frames));
    let (case, frames) = between("3.3", 3);
    all.push(case.frame_wise(frames));
    let (case, frames) = between("3.4", 4);
    all.push(case.chopped(1, frames));
    all.push(
        Case::new("3.5", "binary with RSV = 5")
            .send([binary([0, 0xff, 0xfe]).rsv(5)])
            .fails(1002),
    );
    all.push(
        Case::new("3.6", "a ping with RSV = 6")
            .send([ping().rsv(6)])
            .fails(1002),
    );
    all.push(
        Case::new("3.7", "a close with RSV = 7")
            .send([Frame::new(CLOSE, "").rsv(7)])
            .fails(1002),
    );
    for rsv in 1..8 {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            all.push(
                Case::new(
                    format!("3.x, {opcode}, {rsv}"),
                    "every bit on every kind of frame",
                )
                .send([Frame::new(opcode, "").rsv(rsv)])
                .fails(1002),
            );
        }
    }
    all
}

/// Case 4: opcodes that mean nothing.
pub fn reserved_opcodes(peer: Peer) -> Vec<Case> {
    let hello = peer.text("Hello, world!");
    let mut all = Vec::new();
    for (chapter, first) in [(1, 3), (2, 11)] {
        for (number, opcode) in (1..).zip(first..first + 5) {
            // As in the suite: the second, the fourth and the fifth carry something.
            let payload: &[u8] = if matches!(number, 2 | 4 | 5) {
                b"reserved"
            } else {
                b""
            };
            let reserved = Frame::new(opcode, payload);
            let case = Case::new(format!("4.{chapter}.{number}"), format!("opcode {opcode}"));
            all.push(if number < 3 {
                case.send([reserved]).fails(1002)
            } else {
                case.send([text(hello.clone()), reserved, Frame::new(PING, "")])
                    .answer(peer, &hello)
                    .fails(1002)
            });
        }
    }
    all
}

/// Masks (RFC 6455 §5.3). The suite's client masks everything; these cases are ours.
pub fn masks(peer: Peer) -> Vec<Case> {
    let hello = peer.text("Hello, world!");
    let mut all: Vec<Case> = [[0; 4], [0xff; 4], [0, 0, 0, 1], *b"\x7b\x22\x7d\x20"]
        .into_iter()
        .map(|mask| {
            Case::new(format!("mask {mask:02x?}"), "any mask will do")
                .send([text(hello.clone()).mask(Some(mask))])
                .answer(peer, &hello)
        })
        .collect();
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        all.push(
            Case::new(format!("unmasked {opcode}"), "a frame without mask")
                .send([Frame::new(opcode, "").mask(None)])
                .fails(1002),
        );
    }
    all.push(
        Case::new("unmasked in between", "a message, then one without mask")
            .send([text(hello.clone()), text(hello.clone()).mask(None)])
            .answer(peer, &hello)
            .fails(1002),
    );
    all
}
