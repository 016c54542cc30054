//! Headers that keep browsers from doing more with an answer than it is meant for.

use super::{OriginVerdict, Response};

/// Lines of every answer: it is what its type says; and pages of others read it with CORS or not at
/// all, so that no image or script of theirs is from here.
const ALWAYS: &str = "X-Content-Type-Options: nosniff\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n";
/// Lines of what is no file of the page, with their names. It may have a token, a session or
/// somebody's TURN credentials in it, and is true for a moment: nobody keeps it. Opened by itself it
/// does nothing, and no page can frame it.
const DATA: [(&str, &str); 2] = [
    ("Cache-Control", "Cache-Control: no-store\r\n"),
    (
        "Content-Security-Policy",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n",
    ),
];
/// CORS headers of an answer at most, and the one of TLS.
const FURTHER: usize = 3 + 1;

/// The headers of an answer that its own do not set.
#[derive(Debug)]
pub struct SecurityHeaders<'a> {
    usual: [&'static str; 1 + DATA.len()],
    lines: [(&'static str, &'a str); FURTHER],
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
        let data = DATA.map(|(name, line)| if response.has(name) { "" } else { line });
        let mut headers = Self {
            usual: [ALWAYS, data[0], data[1]],
            lines: [("", ""); FURTHER],
            count: 0,
        };
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

    /// Those that nothing varies in, as whole lines: for [`super::Framing::usual`].
    pub fn usual(&self) -> &[&'static str] {
        &self.usual
    }

    /// The others, for [`super::Framing::extra`].
    pub fn lines(&self) -> &[(&'static str, &'a str)] {
        &self.lines[..self.count]
    }
}
