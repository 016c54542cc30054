//! Frames in any order and octets of any value: no case of the suite, but what the internet sends.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::wire::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, Received, TEXT};
use super::{Peer, Testee};

/// Connections of each kind of socket.
const CONNECTIONS: usize = 300;
/// Frames of a connection at most.
const FRAMES: u32 = 12;

/// Octets of a flood.
const FLOOD_BYTES: usize = 256 << 20;
/// What a process may grow by: a tenth of the flood. A young one maps more pages whatever it does.
const GROWTH_BYTES: u64 = 24 << 20;

/// Answers that nobody reads are not piled up: the server reads no more, or closes.
pub fn unread_answers_are_bounded() {
    for peer in Peer::ALL {
        let testee = Testee::start(peer, &["--shards", "1"]);
        let before = testee.server.footprint();
        for frame in [
            Frame::new(PING, [b'x'; 125]),
            Frame::new(TEXT, "{}"),
            Frame::new(BINARY, ""),
        ] {
            let process = testee.server.process();
            let rss = process.rss();
            let mut run = testee.open(&[]);
            let sent = run.wire.flood(&frame.encode().repeat(200), FLOOD_BYTES);
            let more = process.rss().saturating_sub(rss);
            println!("{peer:?}: {sent} octets sent, {more} more of memory");
            assert!(more < GROWTH_BYTES, "{more} for opcode {}", frame.opcode);
        }
        testee.server.wait_nothing_left(&before);
    }
}

/// Whatever comes, the server answers it or closes with a code of its own, and has nothing left of it.
///
/// # Panics
/// With the seed, when it does not.
pub fn harms_nobody() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    for peer in Peer::ALL {
        let testee = Testee::start(peer, &["--shards", "1"]);
        let before = testee.server.footprint();
        for number in 0..CONNECTIONS as u64 {
            let mut random = ChaCha20Rng::seed_from_u64(seed << 16 | number);
            let mut run = testee.open(&[]);
            let bytes = stream(&mut random, peer);
            run.wire.send(&bytes, 1 + below(&mut random, 2000) as usize);
            run.wire.finish();
            let code = loop {
                match run.wire.receive() {
                    Received::End => break None,
                    Received::Close(code) => break Some(code),
                    Received::Text(_) | Received::Ping | Received::Pong(_) => {}
                }
            };
            let allowed = match code {
                // The end of the stream came before the end of a frame.
                None | Some(None) => true,
                Some(Some(code)) => matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999),
            };
            assert!(allowed, "seed {seed}, connection {number}: {code:?}");
        }
        testee.server.wait_nothing_left(&before);
        let panics = testee
            .server
            .metrics()
            .sum("media_panics_caught_total", &[]);
        assert_eq!(panics, 0.0, "{}", testee.server.log().text());
    }
}

fn below(random: &mut ChaCha20Rng, bound: u32) -> u32 {
    random.next_u32() % bound
}

/// Mostly right frames, of which some octets are then changed, lost or doubled.
fn stream(random: &mut ChaCha20Rng, peer: Peer) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=below(random, FRAMES) {
        bytes.extend(frame(random, peer).encode());
    }
    for _ in 0..below(random, 4) {
        let at = below(random, bytes.len() as u32) as usize;
        match below(random, 3) {
            0 => bytes[at] = random.next_u32() as u8,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, bytes[at]),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

fn frame(random: &mut ChaCha20Rng, peer: Peer) -> Frame {
    let opcodes = [TEXT, TEXT, TEXT, CONTINUATION, BINARY, PING, PONG, CLOSE];
    let opcode = match below(random, 20) {
        0 => below(random, 16) as u8,
        _ => opcodes[below(random, opcodes.len() as u32) as usize],
    };
    let length = match below(random, 50) {
        0 => 65_530 + below(random, 10),
        1..5 => 0,
        5..10 => 120 + below(random, 10),
        _ => below(random, 120),
    };
    let payload = match (opcode, below(random, 8)) {
        (TEXT, 0..6) => peer.text(vec![b'x'; length as usize]),
        (CLOSE, 0..6) => (below(random, 5001) as u16).to_be_bytes().to_vec(),
        (_, _) => (0..length).map(|_| random.next_u32() as u8).collect(),
    };
    Frame {
        fin: below(random, 6) != 0,
        rsv: if below(random, 20) == 0 {
            below(random, 8) as u8
        } else {
            0
        },
        mask: (below(random, 20) != 0).then(|| random.next_u32().to_be_bytes()),
        ..Frame::new(opcode, payload)
    }
}
