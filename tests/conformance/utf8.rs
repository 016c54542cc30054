//! Case 6: text is UTF-8 (RFC 6455 §8.1, RFC 3629 §4).
//!
//! The sequences are those of Markus Kuhn's "UTF-8 decoder capability and stress test", in its order, which the suite
//! takes them from.

use super::wire::{CONTINUATION, Frame, PING, TEXT};
use super::{Case, Peer, fragmented, text};

/// κόσμε, whose letters have two and three octets.
const COSMOS: &str = "κόσμε";
const UMLAUTS: &str = "Hello-µ@ßöäüàá-UTF-8!!";

/// Cases 6.1 to 6.4: empty texts, fragments anywhere, and what is wrong is noticed early.
pub fn fragments(peer: Peer) -> Vec<Case> {
    let good =
        |name: &str, sentence: &str, text: &[u8]| Case::new(name, sentence).answer(peer, text);
    let empty = || vec![Vec::new(); 3];
    let middle = peer.text("middle frame payload");
    let umlauts = peer.text(UMLAUTS);
    let cosmos = peer.text(COSMOS);
    let (left, right) = UMLAUTS.split_once('ü').expect("it has one");
    let octets = |text: &[u8]| {
        let pieces = text.iter().map(|octet| vec![*octet]);
        fragmented(TEXT, pieces.collect())
    };
    // A surrogate is invalid at its second octet.
    let invalid = peer.text([COSMOS.as_bytes(), b"\xed\xa0\x80", b"edited"].concat());
    vec![
        good("6.1.1", "an empty text", b"").send([text("")]),
        good("6.1.2", "an empty text in three fragments", b"").send(fragmented(TEXT, empty())),
        good(
            "6.1.3",
            "three fragments, of which the middle one has something",
            &middle,
        )
        .send(fragmented(
            TEXT,
            vec![Vec::new(), middle.clone(), Vec::new()],
        )),
        good("6.2.1", "a text with letters of several octets", &umlauts)
            .send([text(umlauts.clone())]),
        good("6.2.2", "fragments that end where a letter does", &umlauts).send(fragmented(
            TEXT,
            peer.pieces(&[left.as_bytes(), format!("ü{right}").as_bytes()]),
        )),
        good("6.2.3", "fragments of an octet", &umlauts).send(octets(&umlauts)),
        good("6.2.4", "fragments of an octet", &cosmos).send(octets(&cosmos)),
        Case::new("6.3.1", "a surrogate")
            .send([text(invalid.clone())])
            .fails(1007),
        Case::new("6.3.2", "a surrogate, in fragments of an octet")
            .send(octets(&invalid))
            .fails(1007),
        in_time(peer, "6.4.1", COSMOS.len()),
        in_time(peer, "6.4.2", COSMOS.len() + 1),
        in_one_frame(peer, "6.4.3", COSMOS.len()),
        in_one_frame(peer, "6.4.4", COSMOS.len() + 1),
    ]
}

/// A code point beyond U+10FFFF in the middle, invalid at its second octet.
fn beyond_unicode() -> Vec<u8> {
    [COSMOS.as_bytes(), b"\xf4\x90\x80\x80", b"edited"].concat()
}

/// The frame that makes the text invalid ends the connection: the last one is not sent.
fn in_time(peer: Peer, name: &str, cut: usize) -> Case {
    let content = beyond_unicode();
    let (left, right) = content.split_at(cut);
    let mut frames = fragmented(TEXT, peer.pieces(&[left, right, b""]));
    frames.pop();
    let invalid = frames.pop().expect("three");
    let ping = Frame::new(PING, "accepted so far");
    Case::new(name, "a code point beyond Unicode, in fragments")
        .send(frames.into_iter().chain([ping]))
        .pong(["accepted so far"])
        .await_pongs()
        .send([invalid])
        .fails(1007)
}

/// Within one frame it is noticed when the frame is complete: the suite calls that not strict. A message has a bound of
/// 512 KiB, so little is read in vain; and nothing of an incomplete frame is given to anybody.
fn in_one_frame(peer: Peer, name: &str, cut: usize) -> Case {
    let message = peer.text(beyond_unicode());
    let bytes = text(message).encode();
    let (left, right) = bytes.split_at(bytes.len() - (beyond_unicode().len() - cut));
    Case::new(name, "a code point beyond Unicode, in pieces of a frame")
        .octets(left.to_vec(), usize::MAX)
        .octets(right.to_vec(), 1)
        .fails(1007)
}

/// Cases 6.5 to 6.23: a sequence in a message of its own.
pub fn sequences(peer: Peer) -> Vec<Case> {
    let valid = valid_sequences();
    let invalid = invalid_sequences();
    let mut all = Vec::new();
    for (chapter, sequences) in valid {
        for (number, sequence) in (1..).zip(sequences) {
            let message = peer.text(&sequence);
            all.push(
                Case::new(
                    format!("6.{chapter}, valid {number}"),
                    format!("{sequence:02x?}"),
                )
                .send([text(message.clone())])
                .answer(peer, &message),
            );
        }
    }
    for (chapter, sequences) in invalid {
        for (number, sequence) in (1..).zip(sequences) {
            all.push(
                Case::new(
                    format!("6.{chapter}, invalid {number}"),
                    format!("{sequence:02x?}"),
                )
                .send([text(peer.text(&sequence))])
                .fails(1007),
            );
        }
    }
    all
}

type Sequences = Vec<(u32, Vec<Vec<u8>>)>;

fn valid_sequences() -> Sequences {
    let text = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let chars = |chars: &[u32]| {
        let encode = |c: &u32| char::from_u32(*c).expect("a code point").to_string();
        chars.iter().map(|c| encode(c).into_bytes()).collect()
    };
    let prefixes = COSMOS
        .char_indices()
        .map(|(at, c)| COSMOS.as_bytes()[..at + c.len_utf8()].to_vec());
    // The last two code points of each plane are no characters, and valid.
    let non_characters: Vec<u32> = (0..=16)
        .flat_map(|n| [n << 16 | 0xfffe, n << 16 | 0xffff])
        .collect();
    vec![
        (
            5,
            text(&[
                "hello$world",
                "hello¢world",
                "hello€world",
                "hello𤭢world",
                COSMOS,
            ]),
        ),
        (6, prefixes.collect()),
        (7, chars(&[0, 0x80, 0x800, 0x1_0000])),
        (9, chars(&[0x7f, 0x7ff, 0xffff, 0x10_ffff])),
        (11, chars(&[0xd7ff, 0xe000, 0xfffd, 0x10_ffff])),
        (22, chars(&non_characters)),
        (
            23,
            chars(&[0xfff9, 0xfffa, 0xfffb, 0xfffc, 0xfffd, 0xfffe, 0xffff]),
        ),
    ]
}

fn invalid_sequences() -> Sequences {
    // All prefixes of the word that end within a letter.
    let torn = (1..COSMOS.len())
        .filter(|at| !COSMOS.is_char_boundary(*at))
        .map(|at| COSMOS.as_bytes()[..at].to_vec());
    let lonely = [0xc0..0xe0, 0xe0..0xf0, 0xf0..0xf8, 0xf8..0xfc, 0xfc..0xfe]
        .map(|starts: std::ops::Range<u8>| starts.flat_map(|start| [start, b' ']).collect());
    let continuations = (1..=7).map(|count| [0x80, 0xbf].repeat(4)[..count].to_vec());
    let truncated: Vec<Vec<u8>> = [0, 0x7f, 0x7ff, 0xffff, 0x1f_ffff, 0x3ff_ffff, 0x7fff_ffff]
        .into_iter()
        .flat_map(|c| (2..=6).filter_map(move |octets| generalised(c, octets)))
        .map(|mut sequence| {
            sequence.pop();
            sequence
        })
        .collect();
    let overlong = |c: u32| {
        (2..=6)
            .filter_map(move |octets| generalised(c, octets))
            .collect()
    };
    // The last code point of each length, in one octet more.
    let overlong_most = [
        (0x7f, 2),
        (0x7ff, 3),
        (0xffff, 4),
        (0x1f_ffff, 5),
        (0x3ff_ffff, 6),
    ];
    let surrogates = [0xd800, 0xdb7f, 0xdb80, 0xdbff, 0xdc00, 0xdf80, 0xdfff];
    let pairs = [0xd800, 0xdb7f, 0xdb80, 0xdbff]
        .into_iter()
        .flat_map(|high| [0xdc00, 0xdfff].map(|low| [surrogate(high), surrogate(low)].concat()));
    let of = |pairs: &[(u32, usize)]| {
        pairs
            .iter()
            .filter_map(|(c, octets)| generalised(*c, *octets))
            .collect()
    };
    vec![
        (6, torn.collect()),
        (8, of(&[(0x20_0000, 5), (0x400_0000, 6)])),
        (10, of(&[(0x1f_ffff, 4), (0x3ff_ffff, 5), (0x7fff_ffff, 6)])),
        (11, of(&[(0x11_0000, 4)])),
        (12, continuations.chain([(0x80..=0xbf).collect()]).collect()),
        (13, lonely.into_iter().collect()),
        (15, vec![truncated.concat()]),
        (14, truncated),
        (
            16,
            vec![vec![0xfe], vec![0xff], vec![0xfe, 0xfe, 0xff, 0xff]],
        ),
        (17, overlong(b'/'.into())),
        (18, of(&overlong_most)),
        (19, overlong(0)),
        (20, surrogates.into_iter().map(surrogate).collect()),
        (21, pairs.collect()),
    ]
}

/// A number in so many octets by UTF-8's pattern, whether or not UTF-8 allows it; `None` where it does not fit.
fn generalised(c: u32, octets: usize) -> Option<Vec<u8>> {
    let bits = octets * 5 + 1;
    if u64::from(c) >> bits != 0 {
        return None;
    }
    let lead = !(0xff_u8 >> octets);
    let octet = |at: usize| (c >> (6 * at)) as u8;
    let mut sequence: Vec<u8> = (0..octets)
        .rev()
        .map(|at| 0x80 | octet(at) & 0x3f)
        .collect();
    sequence[0] = lead | octet(octets - 1) & !(lead >> 1 | 0x80);
    Some(sequence)
}

fn surrogate(c: u32) -> Vec<u8> {
    generalised(c, 3).expect("16 bits")
}

/// Every way to cut a text with letters of one to four octets, in two and in three fragments.
pub fn splits(peer: Peer) -> Vec<Case> {
    let content = "a¢€𤭢".as_bytes();
    let whole = peer.text(content);
    let mut all = Vec::new();
    for one in 0..=content.len() {
        for two in one..=content.len() {
            let pieces = peer.pieces(&[&content[..one], &content[one..two], &content[two..]]);
            all.push(
                Case::new(
                    format!("6.x, cut at {one} and {two}"),
                    "fragments that end anywhere",
                )
                .send(fragmented(TEXT, pieces))
                .answer(peer, &whole),
            );
        }
    }
    // What is torn at the end of the message is not UTF-8, however it came.
    for torn in 1..content.len() {
        if std::str::from_utf8(&content[..torn]).is_ok() {
            continue;
        }
        let frames = [
            text(content[..torn].to_vec()).more(),
            Frame::new(CONTINUATION, ""),
        ];
        all.push(
            Case::new(
                format!("6.x, torn at {torn}"),
                "the message ends within a letter",
            )
            .send(frames)
            .fails(1007),
        );
    }
    all
}
