//! Headers that keep browsers from doing more with an answer than it is meant for.

use super::{OriginVerdict, Response};

/// Headers of every answer.
const ALWAYS: [(&str, &str); 2] = [
    // It is what its type says.
    ("X-Content-Type-Options", "nosniff"),
    // Pages of others read it with CORS or not at all: no image or script of theirs is from here.
    ("Cross-Origin-Resource-Policy", "same-origin"),
];

/// Headers of what is no file of the page. It may have a token, a session or somebody's TURN
/// credentials in it, and is true for a moment: nobody keeps it. Opened by itself it does nothing,
/// and no page can frame it.
const DATA: [(&str, &str); 2] = [
    ("Cache-Control", "no-store"),
    (
        "Content-Security-Policy",
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// CORS headers of an answer at most, and the one of TLS.
const FURTHER: usize = 3 + 1;
const MOST: usize = ALWAYS.len() + DATA.len() + FURTHER;

/// The headers of an answer that its own do not set.
#[derive(Debug)]
pub struct SecurityHeaders<'a> {
    lines: [(&'static str, &'a str); MOST],
    count: usize,
}

impl<'a> SecurityHeaders<'a> {
    /// Those of `response`, with those of CORS where `origin` is listed. `hsts` is the value of
    /// `Strict-Transport-Security` (RFC 6797), where it is to be sent.
    pub fn new(
        response: &Response,
        origin: Option<&OriginVerdict<'a>>,
        hsts: Option<&'a str>,
    ) -> Self {
        let mut headers = Self {
            lines: [("", ""); MOST],
            count: 0,
        };
        ALWAYS.into_iter().for_each(|line| headers.push(line));
        for line in DATA {
            if !response.has(line.0) {
                headers.push(line);
            }
        }
        let cors = origin.and_then(OriginVerdict::headers);
        cors.into_iter()
            .flatten()
            .for_each(|line| headers.push(line));
        if let Some(hsts) = hsts {
            headers.push(("Strict-Transport-Security", hsts));
        }
        headers
    }

    fn push(&mut self, line: (&'static str, &'a str)) {
        self.lines[self.count] = line;
        self.count += 1;
    }

    /// As lines, for [`super::Framing::extra`].
    pub fn lines(&self) -> &[(&'static str, &'a str)] {
        &self.lines[..self.count]
    }
}
