//! Case 7: the closing handshake (RFC 6455 §5.5.1, §7).

use super::wire::{CLOSE, CONTINUATION, Frame, PING};
use super::{Case, End, Peer, text};

/// Cases 7.1 to 7.5: what comes after a close frame, and what a close frame may hold.
pub fn handshakes(peer: Peer) -> Vec<Case> {
    let hello = peer.text("Hello, world!");
    let close = || Frame::close(1000, "");
    let answered =
        |name: &str, sentence: &str| Case::new(name, sentence).end(End::Closed(Some(1000)));
    let cosmos = "κόσμε".as_bytes();
    vec![
        answered("7.1.1", "a text, then a close")
            .send([text(hello.clone()), close()])
            .answer(peer, &hello),
        answered("7.1.2", "two closes").send([close(), Frame::new(CLOSE, "")]),
        answered("7.1.3", "a ping after the close").send([close(), Frame::new(PING, "")]),
        answered("7.1.4", "a text after the close").send([close(), text(hello.clone())]),
        answered(
            "7.1.4, apart",
            "a text after the close, in a write of its own",
        )
        .frame_wise([close(), text(hello.clone())]),
        answered("7.1.5", "a close between two fragments").send([
            text("fragment1").more(),
            close(),
            Frame::new(CONTINUATION, "fragment2"),
        ]),
        answered("7.1.6", "a text of 256 KiB, a small one, a close, a ping")
            .send([
                text(peer.text_of(256 << 10)),
                text(hello.clone()),
                close(),
                Frame::new(PING, ""),
            ])
            .errors(1)
            .answer(peer, &hello),
        Case::new("7.3.1", "a close without code")
            .send([Frame::new(CLOSE, "")])
            .end(End::Closed(None)),
        Case::new("7.3.2", "a close with half a code")
            .send([Frame::new(CLOSE, "a")])
            .fails(1002),
        answered("7.3.3", "a close with a code").send([close()]),
        answered("7.3.4", "a close with a reason").send([Frame::close(1000, "Hello, world!")]),
        answered("7.3.5", "a close with a reason of 123 octets")
            .send([Frame::close(1000, [b'*'; 123])]),
        Case::new("7.3.6", "a close with a reason of 124 octets")
            .send([Frame::close(1000, [b'*'; 124])])
            .fails(1002),
        answered("7.3.x", "a close, octet by octet").chopped(1, [Frame::close(1000, "κόσμε")]),
        Case::new("7.5.1", "a close whose reason is not UTF-8")
            .send([Frame::close(1000, [cosmos, b"\xed\xa0\x80edited"].concat())])
            .fails(1007),
    ]
}

/// Cases 7.7 to 7.13: codes (RFC 6455 §7.4, and the registry of IANA for 1012 and 1013).
pub fn codes(_: Peer) -> Vec<Case> {
    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
    ];
    let invalid = [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ];
    let case = |name: &str, code: u16, answer: u16| {
        Case::new(format!("{name}, {code}"), "a close with this code")
            .send([Frame::close(code, "")])
            .end(End::Closed(Some(answer)))
    };
    let valid = valid.into_iter().map(|code| case("7.7", code, code));
    let invalid = invalid.into_iter().map(|code| case("7.9", code, 1002));
    valid.chain(invalid).collect()
}
