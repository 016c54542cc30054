//! What is accepted, and the bounds.

use super::*;

#[test]
fn a_request_of_a_browser() {
    let request = request(
        "GET /api/media/sessions?deviceId=cam%2D1&limit=5 HTTP/1.1\r\nHost: 127.0.0.1:30006\r\n\
         accept: */*\r\nX-Empty:\r\nX-Blanks: \t a b\t \r\nConnection: Upgrade, keep-alive\r\n\
         connection: x\r\nUPGRADE: WebSocket\r\nX-Latin: J\u{f6}rg\r\n\r\n",
    );
    assert_eq!(request.method, Method::Get);
    assert_eq!(request.path, "/api/media/sessions");
    assert_eq!(request.query.as_deref(), Some("deviceId=cam%2D1&limit=5"));
    assert_eq!(request.version, Version::Http11);
    assert_eq!(request.body, BodyLength::None);
    assert!(request.keep_alive && !request.expect_continue);
    let headers = &request.headers;
    assert_eq!(headers.get("host"), Some("127.0.0.1:30006"));
    assert_eq!(headers.get("ACCEPT"), Some("*/*"));
    assert_eq!(headers.get("x-empty"), Some(""));
    assert_eq!(headers.get("x-blanks"), Some("a b"));
    assert_eq!(headers.get("x-latin"), Some("Jörg"));
    assert_eq!(headers.get("x"), None);
    assert!(headers.has_token("connection", "upgrade") && headers.has_token("Connection", "X"));
    assert!(headers.has_token("upgrade", "websocket") && !headers.has_token("upgrade", "web"));
    assert_eq!(headers.iter().count(), 8);
    assert_eq!(headers.iter().next(), Some(("Host", "127.0.0.1:30006")));
}

#[test]
fn bytes_that_are_not_utf8_do_not_spoil_a_request() {
    let request = request(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: J\xf6rg\r\nX: y\r\n\r\n");
    assert_eq!(request.headers.get("user-agent"), Some("J\u{fffd}rg"));
    assert_eq!(request.headers.get("x"), Some("y"));
}

#[test]
fn a_debug_print_shows_no_values() {
    let request = request("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer secret\r\n\r\n");
    assert!(!format!("{:?}", request.headers).contains("secret"));
}

#[test]
fn pipelined_requests_and_their_bodies_stay_apart() {
    let seen = whole(
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
          \r\nPUT /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
          5;name=\"v\"\r\nhello\r\n0006\r\n world\r\n00\r\nX-Trailer: dropped\r\n\r\n\
          DELETE /c HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /d",
    );
    let summary: Vec<String> = seen
        .iter()
        .map(|seen| match seen {
            Seen::Head(request) => {
                format!("{} {} {:?}", request.method, request.path, request.body)
            }
            Seen::Data(data) => String::from_utf8_lossy(data).into_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        summary,
        [
            "POST /a Length(5)",
            "hello",
            "End",
            "PUT /b Chunked",
            "hello world",
            "End",
            "DELETE /c Length(0)",
            "End"
        ]
    );
}

#[test]
fn whether_the_connection_stays_is_as_the_version_and_the_client_say() {
    for (head, keep_alive) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", false),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE ,bar\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n",
            false,
        ),
        ("GET / HTTP/1.0\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n", false),
    ] {
        assert_eq!(
            request(format!("{head}\r\n")).keep_alive,
            keep_alive,
            "{head}"
        );
    }
}

#[test]
fn continue_is_expected_only_where_a_body_follows() {
    for (head, expected) in [
        (
            "HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n",
            true,
        ),
        (
            "HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
            true,
        ),
        (
            "HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n",
            false,
        ),
        ("HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n", false),
        (
            "HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n",
            false,
        ),
    ] {
        let head = format!("POST / {head}\r\n");
        match whole(head.as_bytes()).first() {
            Some(Seen::Head(request)) => assert_eq!(request.expect_continue, expected, "{head}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn targets_in_every_form() {
    for (target, path, query) in [
        ("/", "/", None),
        ("/?", "/", Some("")),
        ("/a//b/../c?x?y", "/a//b/../c", Some("x?y")),
        ("/%2e%00|{}", "/%2e%00|{}", None),
        ("http://a/x?y", "/x", Some("y")),
        ("HTTPS://A:443/x", "/x", None),
        ("http://a:80", "/", None),
        ("http://a?y", "/", Some("y")),
    ] {
        let request = request(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(
            (request.path.as_str(), request.query.as_deref()),
            (path, query),
            "{target}"
        );
    }
    let asterisk = request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (asterisk.method, asterisk.path.as_str()),
        (Method::Options, "*")
    );
}

#[test]
fn methods_are_told_apart_by_their_case() {
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let parsed = request(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).method;
        assert!(!matches!(parsed, Method::Other(_)), "{method}");
        assert_eq!(parsed.as_str(), method);
    }
    for method in ["get", "M-SEARCH", "VERSION-CONTROLX"] {
        let parsed = request(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).method;
        assert_eq!(parsed, Method::Other(method.to_owned()));
    }
}

#[test]
fn between_requests_lasts_until_the_first_byte_of_a_request_line() {
    let mut decoder = Decoder::new(HttpLimits::default());
    for (input, resting) in [("", true), ("\r", true), ("\r\n", true), ("\r\nG", false)] {
        assert_eq!(decoder.decode(input.as_bytes()), Ok((0, Event::Incomplete)));
        assert_eq!(decoder.between_requests(), resting, "{input:?}");
    }
}

/// A bound is met with its byte: one byte less is fine, and no end of the head is needed.
#[track_caller]
fn assert_bound(fits: &str, exceeds: &str, expected: RequestError) {
    for bytes in [fits, exceeds] {
        let bytewise = feed(HttpLimits::default(), bytes.as_bytes().chunks(1));
        assert_eq!(bytewise, whole(bytes.as_bytes()));
    }
    assert!(
        !whole(fits.as_bytes())
            .iter()
            .any(|seen| matches!(seen, Seen::Error(_)))
    );
    assert_eq!(error(exceeds), expected);
}

#[test]
fn bounds_are_met_before_the_head_is_complete() {
    let limits = HttpLimits::default();
    let a = |count: usize| "a".repeat(count);
    assert_bound(
        &format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            a(limits.target_bytes - 1)
        ),
        &format!("GET /{}", a(limits.target_bytes)),
        RequestError::TargetTooLong {
            limit: limits.target_bytes,
        },
    );
    assert_bound(&a(16), &a(17), RequestError::MethodTooLong { limit: 16 });
    let lines = "A:b\r\n".repeat(limits.headers - 1);
    assert_bound(
        &format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"),
        &format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}A"),
        RequestError::TooManyHeaders {
            limit: limits.headers,
        },
    );
    let start = "GET / HTTP/1.1\r\nHost: a\r\nA:";
    let filled = limits.head_bytes - start.len();
    assert_bound(
        &format!("{start}{}\r\n\r\n", a(filled - 4)),
        &format!("{start}{}", a(filled)),
        RequestError::HeadTooLarge {
            limit: limits.head_bytes,
        },
    );
    assert_eq!(
        error(format!("{start}{}\r\n\r\n", a(filled - 3))),
        RequestError::HeadTooLarge {
            limit: limits.head_bytes
        }
    );
}

#[test]
fn bounds_of_a_chunked_body() {
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let a = |count: usize| "a".repeat(count);
    assert_bound(
        &format!("{head}1;{}\r\nx\r\n2;{}\r\nxx\r\n", a(128), a(128)),
        &format!("{head}1;{}\r\nx\r\n2;{}", a(128), a(129)),
        RequestError::ChunkExtensionsTooLong { limit: 256 },
    );
    assert_bound(
        &format!("{head}0\r\nA:{}\r\n\r\n", a(4096 - 6)),
        &format!("{head}0\r\nA:{}", a(4096 - 2)),
        RequestError::TrailersTooLong { limit: 4096 },
    );
    assert_bound(
        &format!("{head}0\r\n{}\r\n", "A:b\r\n".repeat(100)),
        &format!("{head}0\r\n{}A", "A:b\r\n".repeat(100)),
        RequestError::TooManyHeaders { limit: 100 },
    );
    assert_bound(
        &format!("{head}000000000000000A\r\n0123456789\r\n"),
        &format!("{head}00000000000000000"),
        RequestError::BadChunk,
    );
    assert_bound(
        &format!("{head}ffffffffffffffff\r\nx"),
        &format!("{head}-"),
        RequestError::BadChunk,
    );
}

#[test]
fn a_length_may_be_any_u64() {
    let seen = whole(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\nx");
    assert_eq!(seen[1], Seen::Data(b"x".to_vec()));
    assert_eq!(seen.len(), 2);
}

#[test]
fn more_slots_than_there_are_cannot_be_configured() {
    let limits = HttpLimits {
        headers: 1_000,
        ..HttpLimits::default()
    };
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "A:b\r\n".repeat(MAX_HEADERS)
    );
    let error = RequestError::TooManyHeaders { limit: MAX_HEADERS };
    assert_eq!(feed(limits, [head.as_bytes()]), [Seen::Error(error)]);
}

#[test]
fn every_error_has_a_status_a_code_and_a_sentence() {
    assert_eq!(error("\x16\x03\x01").status(), 400);
    assert!(error("\x16").to_string().contains("TLS"));
    let preface = error("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(
        (preface.status(), preface.code()),
        (400, "http2_not_supported")
    );
    assert!(preface.to_string().contains("HTTP/2"));
    let head = RequestError::HeadTooLarge { limit: 16384 };
    assert_eq!((head.status(), head.code()), (431, "head_too_large"));
    assert!(head.to_string().contains("16384 bytes"));
}
