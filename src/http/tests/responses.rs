//! What goes out.

use proptest::prelude::*;

use super::*;

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn framing() -> Framing<'static> {
    Framing {
        version: Version::Http11,
        head: false,
        keep_alive: true,
        date: DATE,
        request_id: "r-1",
        usual: &[],
        extra: &[],
    }
}

fn encode(response: &Response, how: &Framing<'_>) -> String {
    let mut out = Vec::new();
    response.encode(how, &mut out);
    String::from_utf8(out).expect("a response of text")
}

#[derive(serde::Serialize)]
struct Health {
    status: &'static str,
}

#[test]
fn a_small_json_answer() {
    let response = Response::json(201, &Health { status: "ok" })
        .header("Location", "/x")
        .header("Retry-After", 5.to_string());
    assert_eq!((response.status(), response.body_len()), (201, 15));
    let how = Framing {
        usual: &["", "X-Frame: a\r\nX-Script: b\r\n"],
        extra: &[("Vary", "Origin")],
        ..framing()
    };
    assert_eq!(
        encode(&response, &how),
        "HTTP/1.1 201 Created\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Type: application/json\r\nContent-Length: 15\r\nX-Request-Id: r-1\r\n\
         X-Frame: a\r\nX-Script: b\r\nVary: Origin\r\nLocation: /x\r\nRetry-After: 5\r\n\r\n{\"status\":\"ok\"}"
    );
}

#[test]
fn responses_are_appended() {
    let mut out = b"before".to_vec();
    Response::empty(404).encode(&framing(), &mut out);
    assert!(out.starts_with(b"beforeHTTP/1.1 404 Not Found\r\n"));
    assert!(String::from_utf8_lossy(&out).contains("\r\nContent-Length: 0\r\n"));
}

#[test]
fn head_tells_the_length_and_leaves_the_body_out() {
    let response = Response::text(200, "text/plain", &b"hello"[..]);
    let head = encode(
        &response,
        &Framing {
            head: true,
            ..framing()
        },
    );
    assert!(
        head.contains("Content-Length: 5\r\n") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let get = encode(&response, &framing());
    assert_eq!(get, format!("{head}hello"));
}

#[test]
fn some_statuses_have_no_body_and_no_length() {
    for status in [101, 204, 304] {
        let response = Response::text(status, "text/plain", &b"hello"[..]);
        let bytes = encode(&response, &framing());
        assert!(
            !bytes.contains("Content-") && bytes.ends_with("\r\n\r\n"),
            "{bytes}"
        );
    }
}

#[test]
fn the_connection_is_as_version_and_framing_say() {
    let response = Response::empty(200);
    for (version, keep_alive, expected) in [
        (Version::Http11, true, None),
        (Version::Http11, false, Some("close")),
        (Version::Http10, true, Some("keep-alive")),
        (Version::Http10, false, Some("close")),
    ] {
        let bytes = encode(
            &response,
            &Framing {
                version,
                keep_alive,
                ..framing()
            },
        );
        let line = bytes
            .lines()
            .find_map(|line| line.strip_prefix("Connection: "));
        assert_eq!(line, expected, "{bytes}");
    }
    let upgrade = Response::empty(101).header("Connection", "Upgrade");
    let bytes = encode(
        &upgrade,
        &Framing {
            keep_alive: false,
            ..framing()
        },
    );
    assert_eq!(bytes.matches("Connection").count(), 1, "{bytes}");
}

#[test]
fn a_status_without_a_reason_is_well_formed() {
    assert!(encode(&Response::empty(299), &framing()).starts_with("HTTP/1.1 299 \r\n"));
}

#[test]
fn continue_is_a_whole_response() {
    assert!(CONTINUE.starts_with(b"HTTP/1.1 100 ") && CONTINUE.ends_with(b"\r\n\r\n"));
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "a control character in Location")]
fn a_value_of_ours_with_a_line_end_is_found_in_tests() {
    let _ = Response::empty(302).header("Location", "/\r\nSet-Cookie: a=b");
}

proptest! {
    /// What comes from outside and goes into a header cannot begin a line or a body.
    #[test]
    fn no_value_ends_its_line(value in "\\PC*|[\\x00-\\xff]*", id in "(\r|\n|\0|a)*") {
        let mut out = Vec::new();
        let extra = [("X-Extra", value.as_str())];
        let how = Framing { request_id: &id, extra: &extra, ..framing() };
        Response::text(200, "text/plain", &b"body"[..]).encode(&how, &mut out);
        let mut slots = [httparse::EMPTY_HEADER; 8];
        let mut parsed = httparse::Response::new(&mut slots);
        let length = parsed.parse(&out).expect("a valid head").unwrap();
        prop_assert_eq!(&out[length..], b"body");
        let names: Vec<_> = parsed.headers.iter().map(|header| header.name).collect();
        let mut expected = vec!["Date", "Content-Type", "Content-Length", "X-Request-Id", "X-Extra"];
        expected.retain(|name| *name != "X-Request-Id" || !id.is_empty());
        prop_assert_eq!(names, expected);
        prop_assert!(!out[..length].contains(&0));
    }
}
