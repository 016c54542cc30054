//! Case 5: fragmentation (RFC 6455 §5.4).

use super::wire::{BINARY, CONTINUATION, Frame, PING, PONG, TEXT};
use super::{Case, Peer, fragmented, text};

pub fn fragments(peer: Peer) -> Vec<Case> {
    let whole = peer.text("fragment1fragment2");
    let pieces = peer.pieces(&[b"fragment1", b"fragment2"]);
    let [first, second] = [pieces[0].clone(), pieces[1].clone()];
    let begin = || text(first.clone()).more();
    let finish = || Frame::new(CONTINUATION, second.clone());
    let both = || [begin(), finish()];
    let ping = || Frame::new(PING, "ping payload");
    let around = || [begin(), ping(), finish()];
    let good = |name: &str, sentence: &str| Case::new(name, sentence).answer(peer, &whole);
    let bad = |name: &str, sentence: &str| Case::new(name, sentence).fails(1002);
    // A continuation of nothing, and a message after it that nobody may answer.
    let lonely = |fin: bool| {
        let continuation = Frame::new(CONTINUATION, "non-continuation payload");
        let continuation = if fin {
            continuation
        } else {
            continuation.more()
        };
        [continuation, text(whole.clone())]
    };
    let mut all = vec![
        bad("5.1", "a ping in two fragments")
            .send([Frame::new(PING, "a").more(), Frame::new(CONTINUATION, "b")]),
        bad("5.2", "a pong in two fragments")
            .send([Frame::new(PONG, "a").more(), Frame::new(CONTINUATION, "b")]),
        good("5.3", "a text in two fragments").send(both()),
        good("5.4", "the same, frame by frame").frame_wise(both()),
        good("5.5", "the same, octet by octet").chopped(1, both()),
        good("5.6", "a ping between the fragments")
            .send(around())
            .pong(["ping payload"]),
        good("5.7", "the same, frame by frame")
            .frame_wise(around())
            .pong(["ping payload"]),
        good("5.8", "the same, octet by octet")
            .chopped(1, around())
            .pong(["ping payload"]),
        bad("5.9", "a last continuation of nothing").send(lonely(true)),
        bad("5.10", "the same, frame by frame").frame_wise(lonely(true)),
        bad("5.11", "the same, octet by octet").chopped(1, lonely(true)),
        bad("5.12", "a continuation of nothing that is not the last").send(lonely(false)),
        bad("5.13", "the same, frame by frame").frame_wise(lonely(false)),
        bad("5.14", "the same, octet by octet").chopped(1, lonely(false)),
        bad("5.15", "two fragments, a continuation of nothing, a text")
            .send([
                begin(),
                finish(),
                Frame::new(CONTINUATION, "3").more(),
                text("4"),
            ])
            .answer(peer, &whole),
        bad(
            "5.16",
            "twice: a continuation of nothing that is not the last, two fragments",
        )
        .send((0..2).flat_map(|_| [Frame::new(CONTINUATION, "1").more(), begin(), finish()])),
        bad(
            "5.17",
            "twice: a last continuation of nothing, two fragments",
        )
        .send((0..2).flat_map(|_| [Frame::new(CONTINUATION, "1"), begin(), finish()])),
        bad("5.18", "both fragments say that they are the first")
            .send([begin(), text(second.clone())]),
        bad("5.18, binary", "a binary message within a text")
            .send([begin(), Frame::new(BINARY, "2")]),
        Case::new("5.x", "fragments of a binary message")
            .send(fragmented(BINARY, vec![vec![0xff; 9]; 4]))
            .errors(1),
    ];
    all.extend(five_fragments(peer, "5.19", usize::MAX));
    all.extend(five_fragments(peer, "5.20", 1));
    all
}

/// A text in five fragments with two pings among them, the first of which is answered while the text is not complete.
fn five_fragments(peer: Peer, name: &str, chop: usize) -> Option<Case> {
    let whole = peer.text("12345");
    let mut frames = fragmented(TEXT, peer.pieces(&[b"1", b"2", b"3", b"4", b"5"]));
    let last = frames.pop()?;
    let rest = frames.split_off(2);
    let ping = |payload: &str| Frame::new(PING, payload);
    Some(
        Case::new(name, "two pings among five fragments")
            .chopped(chop, frames.into_iter().chain([ping("pongme 1!")]))
            .pong(["pongme 1!"])
            .await_pongs()
            .chopped(chop, rest.into_iter().chain([ping("pongme 2!"), last]))
            .pong(["pongme 2!"])
            .answer(peer, &whole),
    )
}
