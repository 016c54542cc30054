//! The Autobahn|Testsuite itself against the codec of the server's WebSockets.
//!
//! Its cases want a server that echoes, which no socket of the API does: here the codec echoes, in a thread per
//! connection. `tests/autobahn.rs` has the cases again for the sockets of the API. The suite needs Python 2.7 and is
//! therefore no part of the continuous integration:
//!
//! ```text
//! python2.7 -m pip install autobahntestsuite==25.10.1
//! MEDIA_TEST_WSTEST=wstest cargo test --test autobahn_suite -- --ignored
//! ```

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use media_service::ws::{Codec, Received};
use serde_json::{Value, json};
use tungstenite::handshake::derive_accept_key;

/// The suite's largest message.
const LARGEST_MESSAGE_BYTES: usize = 16 << 20;

/// What fails late where the suite would rather see it fail early: a frame that is not UTF-8 is refused when it is
/// complete, not at the byte that is wrong.
const NON_STRICT: [&str; 2] = ["6.4.3", "6.4.4"];

#[test]
#[ignore = "needs wstest of the Autobahn|Testsuite, whose path is in MEDIA_TEST_WSTEST"]
fn the_suite_finds_nothing_wrong_with_the_codec() {
    let Some(wstest) = std::env::var_os("MEDIA_TEST_WSTEST") else {
        println!("not run: MEDIA_TEST_WSTEST names no wstest");
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || echo(stream));
        }
    });
    let directory = tempfile::tempdir().expect("a directory");
    let reports = directory.path().join("reports");
    let spec = directory.path().join("fuzzingclient.json");
    // 12 and 13 are permessage-deflate, which the server does not offer.
    let text = json!({
        "outdir": &reports,
        "servers": [{"agent": "codec", "url": url}],
        "cases": ["*"],
        "exclude-cases": ["12.*", "13.*"],
        "exclude-agent-cases": {},
    });
    std::fs::write(&spec, text.to_string()).expect("a file");
    let status = Command::new(wstest)
        .args(["--mode", "fuzzingclient", "--spec"])
        .arg(&spec)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .expect("wstest runs");
    assert!(status.success(), "wstest: {status}");

    let index = std::fs::read(reports.join("index.json")).expect("a report");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let cases = index["codec"].as_object().expect("a report of the codec");
    let mut wrong = Vec::new();
    for (case, result) in cases {
        let verdict = |field: &str| match result[field].as_str() {
            Some("OK" | "INFORMATIONAL") => true,
            Some("NON-STRICT") => NON_STRICT.contains(&case.as_str()),
            Some(_) | None => false,
        };
        if !verdict("behavior") || !verdict("behaviorClose") {
            wrong.push(format!("{case}: {result}"));
        }
    }
    println!("{} cases", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() > 290, "only {} cases were run", cases.len());
}

/// Serves one connection: the upgrade (RFC 6455 §4.2.2), then every message back.
fn echo(mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut input = Vec::new();
    let end = loop {
        if let Some(at) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        read(&mut stream, &mut input)?;
    };
    let head = String::from_utf8_lossy(&input[..end]).into_owned();
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value.trim())
    })?;
    let accept = derive_accept_key(key.as_bytes());
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .ok()?;
    input.drain(..end);

    let mut codec = Codec::new(LARGEST_MESSAGE_BYTES);
    loop {
        let (mut bytes, mut output) = (input.as_slice(), Vec::new());
        let open = loop {
            match codec.receive(&mut bytes, &mut output) {
                Ok(Some(Received::Text(text))) => codec.send_text(&text, &mut output),
                Ok(Some(Received::Binary(bytes))) => binary_frame(&bytes, &mut output),
                Ok(Some(Received::Pong)) => {}
                Ok(Some(Received::Closed)) => break false,
                Ok(None) => break true,
                Err(violation) => {
                    codec.close(violation.code, violation.reason, &mut output);
                    break false;
                }
            }
        };
        stream.write_all(&output).ok()?;
        if !open {
            return Some(());
        }
        let used = input.len() - bytes.len();
        input.drain(..used);
        read(&mut stream, &mut input)?;
    }
}

/// An unmasked binary frame (RFC 6455 §5.2). The server itself sends text alone.
fn binary_frame(payload: &[u8], output: &mut Vec<u8>) {
    output.push(0x82);
    match payload.len() {
        n @ 0..126 => output.push(n as u8),
        n @ 126..65_536 => {
            output.push(126);
            output.extend((n as u16).to_be_bytes());
        }
        n => {
            output.push(127);
            output.extend((n as u64).to_be_bytes());
        }
    }
    output.extend(payload);
}

/// Appends what comes; `None` at the end.
fn read(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
    let mut chunk = [0; 64 << 10];
    let length = stream.read(&mut chunk).ok().filter(|length| *length > 0)?;
    input.extend(&chunk[..length]);
    Some(())
}
