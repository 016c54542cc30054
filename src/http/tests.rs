//! The decoder as a connection uses it.

mod requests;
mod responses;
mod smuggling;
mod splits;

use super::*;

/// What a connection saw.
#[derive(Debug, PartialEq)]
enum Seen {
    Head(Box<Request>),
    /// Adjacent data taken together.
    Data(Vec<u8>),
    End,
    Error(RequestError),
}

/// Feeds `pieces` one after the other, as reads from a socket would come.
fn feed<'a>(limits: HttpLimits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
    let mut decoder = Decoder::new(limits);
    let mut buffer = Vec::new();
    let mut seen = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let was_head = matches!(seen.last(), None | Some(Seen::End));
            let (consumed, event) = match decoder.decode(&buffer) {
                Ok(decoded) => decoded,
                Err(error) => {
                    assert_eq!(decoder.decode(&buffer), Err(error), "an error stays");
                    assert!(!decoder.between_requests());
                    seen.push(Seen::Error(error));
                    return seen;
                }
            };
            match event {
                Event::Incomplete => {
                    assert!(!was_head || consumed == 0, "part of a head was consumed");
                    buffer.drain(..consumed);
                    break;
                }
                Event::Head(request) => seen.push(Seen::Head(Box::new(request))),
                Event::Data(data) => {
                    assert!(!data.is_empty());
                    match seen.last_mut() {
                        Some(Seen::Data(before)) => before.extend_from_slice(data),
                        _ => seen.push(Seen::Data(data.to_vec())),
                    }
                }
                Event::End => {
                    assert!(decoder.between_requests());
                    seen.push(Seen::End);
                }
            }
            buffer.drain(..consumed);
        }
    }
    seen
}

/// All at once, with the default limits.
fn whole(bytes: &[u8]) -> Vec<Seen> {
    feed(HttpLimits::default(), [bytes])
}

/// The one request in `bytes`, which has no body and is complete.
fn request(bytes: impl AsRef<[u8]>) -> Request {
    let mut seen = whole(bytes.as_ref());
    assert_eq!(seen.pop(), Some(Seen::End));
    match seen.pop() {
        Some(Seen::Head(request)) if seen.is_empty() => *request,
        other => panic!("not one request: {other:?} after {seen:?}"),
    }
}

/// The error that `bytes` end with.
#[track_caller]
fn error(bytes: impl AsRef<[u8]>) -> RequestError {
    match whole(bytes.as_ref()).pop() {
        Some(Seen::Error(error)) => error,
        other => panic!("no error but {other:?}"),
    }
}
