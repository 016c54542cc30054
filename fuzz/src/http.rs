//! The HTTP decoder.

use media_service::http::{BodyLength, Decoder, Event, HttpLimits, Request, RequestError};

use super::pieces::pieces;

/// What a connection saw.
#[derive(Debug, PartialEq)]
pub enum Seen {
    /// A request's head.
    Head(Box<Request>),
    /// Its body; adjacent pieces taken together.
    Data(Vec<u8>),
    /// Its end.
    End,
    /// The end of everything.
    Error(RequestError),
}

/// Heads and bodies. First byte: which limits; second byte: how the rest is cut.
pub fn http(data: &[u8]) {
    let Some((&[limits, seed], bytes)) = data.split_first_chunk() else {
        return;
    };
    let limits = match limits % 2 {
        0 => HttpLimits::default(),
        // Small enough that inputs meet them.
        _ => HttpLimits {
            head_bytes: 200,
            headers: 5,
            target_bytes: 40,
        },
    };
    let whole = decode(limits, [bytes]);
    assert_eq!(decode(limits, pieces(bytes, seed)), whole);
    let mut declared = BodyLength::None;
    let mut body = 0;
    for seen in &whole {
        match seen {
            Seen::Head(request) => {
                check_head(request, limits);
                (declared, body) = (request.body, 0);
            }
            Seen::Data(data) => {
                assert_ne!(declared, BodyLength::None, "a body that was not told");
                body += data.len() as u64;
            }
            Seen::End => {
                if let BodyLength::Length(length) = declared {
                    assert_eq!(body, length);
                }
            }
            Seen::Error(_) => {}
        }
    }
}

/// Nothing in an accepted head could end a line or a log entry early.
fn check_head(request: &Request, limits: HttpLimits) {
    let query = request.query.as_deref().unwrap_or_default();
    assert!(request.path.len() + query.len() <= limits.target_bytes);
    assert!(request.path.starts_with('/') || request.path == "*");
    let visible = |text: &str| text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    assert!(visible(&request.path) && visible(query) && visible(request.method.as_str()));
    let mut count = 0;
    for (name, value) in request.headers.iter() {
        assert!(!name.is_empty() && visible(name));
        assert!(value.bytes().all(|byte| byte == b'\t' || byte >= b' '));
        count += 1;
    }
    assert!(count <= limits.headers);
    let lengths = |wanted: &str| {
        let lines = request.headers.iter();
        lines
            .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .count()
    };
    assert!(lengths("content-length") + lengths("transfer-encoding") <= 1);
}

/// Decodes as a connection does: what is not used comes again with what follows.
pub fn decode<'a>(limits: HttpLimits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut decoder = Decoder::new(limits);
    let (mut waiting, mut seen) = (Vec::new(), Vec::new());
    for piece in pieces {
        waiting.extend_from_slice(piece);
        let mut input = &waiting[..];
        loop {
            let (used, event) = match decoder.decode(input) {
                Ok(decoded) => decoded,
                Err(fault) => {
                    assert_eq!(decoder.decode(input), Err(fault), "an error stays");
                    seen.push(Seen::Error(fault));
                    return seen;
                }
            };
            input = &input[used..];
            match event {
                Event::Incomplete if used == 0 => break,
                Event::Incomplete => {}
                Event::Head(request) => seen.push(Seen::Head(Box::new(request))),
                Event::Data(data) => {
                    assert!(!data.is_empty());
                    match seen.last_mut() {
                        Some(Seen::Data(before)) => before.extend_from_slice(data),
                        _ => seen.push(Seen::Data(data.to_vec())),
                    }
                }
                Event::End => seen.push(Seen::End),
            }
        }
        waiting = input.to_vec();
        assert!(
            waiting.len() <= limits.head_bytes,
            "{} B wait",
            waiting.len()
        );
    }
    seen
}
