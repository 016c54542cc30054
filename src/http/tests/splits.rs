//! What a connection sees depends on its bytes and not on how they arrive.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

/// Requests to begin with; mutations make the rest.
const CORPUS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nGET /health?x=%20 HTTP/1.1\r\nHost: a:80\r\nConnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\nX-Latin: \xfc\r\n\r\n",
    b"HEAD / HTTP/1.0\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
      a;n=\"v\"\r\n0123456789\r\n0B\r\n0123456789a\r\n000\r\nT: u\r\nV:\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
];

/// Bytes that mean something somewhere in a request.
const MARKS: &[u8] = b"\r\n\t :;,/?#*+-0159aAfFgx\0\x0b\x16\x7f\x80\xff\"";

#[derive(Debug, Clone)]
enum Mutation {
    Insert(Index, u8),
    Replace(Index, u8),
    Remove(Index),
    Repeat(Index, Index),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), select(MARKS)).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        (at(), select(MARKS)).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        at().prop_map(Mutation::Remove),
        (at(), at()).prop_map(|(from, to)| Mutation::Repeat(from, to)),
        at().prop_map(Mutation::Truncate),
    ]
}

fn apply(bytes: &mut Vec<u8>, mutation: &Mutation) {
    if bytes.is_empty() {
        return;
    }
    match mutation {
        Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
        Mutation::Replace(at, byte) => *at.get_mut(bytes) = *byte,
        Mutation::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
        Mutation::Repeat(from, to) => {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            let part = bytes[from.min(to)..from.max(to)].to_vec();
            bytes.splice(from..from, part);
        }
        Mutation::Truncate(at) => bytes.truncate(at.index(bytes.len())),
    }
}

/// One to four requests behind one another, with up to three faults.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    (vec(select(CORPUS), 1..4), vec(mutation(), 0..4)).prop_map(|(requests, mutations)| {
        let mut bytes = requests.concat();
        mutations
            .iter()
            .for_each(|mutation| apply(&mut bytes, mutation));
        bytes
    })
}

/// Small enough that the streams meet them, and the defaults.
fn limits() -> impl Strategy<Value = HttpLimits> {
    prop_oneof![
        Just(HttpLimits::default()),
        (1..120_usize, 0..4_usize, 1..12_usize).prop_map(|(head_bytes, headers, target_bytes)| {
            HttpLimits {
                head_bytes,
                headers,
                target_bytes,
            }
        }),
    ]
}

fn pieces<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &cut in cuts {
        let (piece, rest) = bytes.split_at(cut.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_split_gives_the_same(
        bytes in stream(),
        limits in limits(),
        cuts in vec(0..60_usize, 0..12),
    ) {
        let whole = feed(limits, [bytes.as_slice()]);
        prop_assert_eq!(&feed(limits, pieces(&bytes, &cuts)), &whole);
        prop_assert_eq!(&feed(limits, bytes.chunks(1)), &whole);
    }

    #[test]
    fn random_bytes_are_told_apart_without_a_panic(
        bytes in vec(any::<u8>(), 0..300),
        limits in limits(),
    ) {
        prop_assert_eq!(feed(limits, [bytes.as_slice()]), feed(limits, bytes.chunks(1)));
    }

    #[test]
    fn an_accepted_head_has_no_line_end_or_control_character_of_its_own(bytes in stream()) {
        let mut decoder = Decoder::new(HttpLimits::default());
        if let Ok((length, Event::Head(request))) = decoder.decode(&bytes) {
            let text = bytes[..length].strip_prefix(b"\r\n").unwrap_or(&bytes[..length]);
            let lines = String::from_utf8_lossy(text).split("\r\n").map(str::to_owned).collect::<Vec<_>>();
            prop_assert!(lines.iter().flat_map(|line| line.chars()).all(|c| c == '\t' || !c.is_ascii_control()));
            // The request line, the headers, the blank line, and what is behind the last CRLF.
            prop_assert_eq!(lines.len(), 1 + request.headers.iter().count() + 2);
            let lengths = |name| request.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).count();
            prop_assert!(lengths("content-length") + lengths("transfer-encoding") <= 1);
        }
    }

    #[test]
    fn a_body_in_chunks_is_the_body(
        chunks in vec(vec(any::<u8>(), 1..40), 0..6),
        cuts in vec(0..60_usize, 0..12),
    ) {
        let mut bytes = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        let mut seen = feed(HttpLimits::default(), pieces(&bytes, &cuts));
        prop_assert_eq!(seen.pop(), Some(Seen::End));
        let body = chunks.concat();
        if !body.is_empty() {
            prop_assert_eq!(seen.pop(), Some(Seen::Data(body)));
        }
        prop_assert_eq!(seen.len(), 1);
    }
}
