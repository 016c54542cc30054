//! A server's answers on one connection, held against the requests that it has read.

use media_service::http::{HttpLimits, Method};

use super::frames::server_frames;
use super::http::{Seen, decode};

/// Checks everything that a connection was sent: well-formed answers (RFC 9112), in the order of the
/// requests, at most one for each; nothing behind the last one; whole frames behind an upgrade.
pub fn check(read: &[u8], mut output: &[u8], whole: bool) {
    let mut methods = methods(read).into_iter();
    let mut unasked = 0;
    while !output.is_empty() {
        let Some(head) = Head::read(output) else {
            assert!(!whole, "half a head");
            return;
        };
        output = &output[head.bytes..];
        match head.status {
            100 => continue,
            101 => {
                server_frames(output, whole);
                return;
            }
            _ => {}
        }
        let method = methods.next();
        // One answer may come unasked: that the request did not come in time, or is none.
        unasked += usize::from(method.is_none());
        assert!(unasked <= 1, "more answers than requests");
        let bodyless = method == Some(Method::Head) || matches!(head.status, 204 | 304);
        let length = if bodyless { 0 } else { head.length };
        let Some((_, rest)) = output.split_at_checked(length) else {
            assert!(!whole, "half a body");
            return;
        };
        output = rest;
        assert!(
            !head.close || output.is_empty(),
            "bytes behind the last answer"
        );
    }
}

/// The methods of the requests that a decoder sees, up to the first that it refuses.
fn methods(read: &[u8]) -> Vec<Method> {
    let seen = decode(HttpLimits::default(), [read]);
    let heads = seen.into_iter().filter_map(|seen| match seen {
        Seen::Head(request) => Some(request.method),
        Seen::Data(_) | Seen::End | Seen::Error(_) => None,
    });
    heads.collect()
}

struct Head {
    status: u16,
    bytes: usize,
    length: usize,
    close: bool,
}

impl Head {
    fn read(output: &[u8]) -> Option<Self> {
        let end = output.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = std::str::from_utf8(&output[..end]).expect("a head of text");
        let mut lines = text.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let (version, rest) = status_line.split_at_checked(9).expect("a status line");
        assert!(
            matches!(version, "HTTP/1.0 " | "HTTP/1.1 "),
            "{status_line}"
        );
        let status: u16 = rest[..3].parse().expect("a status");
        assert!((100..600).contains(&status), "{status_line}");
        let mut head = Self {
            status,
            bytes: end + 4,
            length: 0,
            close: false,
        };
        for line in lines {
            let (name, value) = line.split_once(": ").expect("name and value");
            let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            assert!(!name.is_empty() && name.bytes().all(token), "{line:?}");
            assert!(!value.contains(char::is_control), "{line:?}");
            match name.to_ascii_lowercase().as_str() {
                "content-length" => head.length = value.parse().expect("a length"),
                "connection" => head.close = value.eq_ignore_ascii_case("close"),
                "transfer-encoding" => panic!("answers have their length"),
                _ => {}
            }
        }
        Some(head)
    }
}
