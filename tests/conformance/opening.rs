//! The opening handshake (RFC 6455 §4.2): what is an upgrade, and what comes with it in the same segment.

use super::wire::{Frame, KEY, Received, Wire};
use super::{Peer, Testee, text};
use crate::support::http::{Connection, Response, head};
use crate::support::{SOON, wait_until};

/// Further headers, and the status of the answer.
type Attempt<'a> = (&'a [(&'a str, &'a str)], u16);

const HOW: [(&str, &str); 2] = [("Upgrade", "websocket"), ("Connection", "Upgrade")];
const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");

fn ask(testee: &Testee, headers: &[(&str, &str)]) -> Response {
    let mut connection = Connection::open(testee.server.http());
    connection
        .send_request("GET", &testee.target, headers, b"")
        .expect("the server reads");
    connection.response()
}

/// What is an upgrade in any spelling is one; what is none is told what is missing, and nothing is left of it.
pub fn is_an_upgrade_or_not() {
    let key = ("Sec-WebSocket-Key", KEY);
    let with = |more: &[(&'static str, &'static str)]| [&HOW[..], more].concat();
    for peer in Peer::ALL {
        let testee = Testee::start(peer, &["--shards", "1"]);
        let before = testee.server.footprint();
        let attempts: &[Attempt<'_>] = &[
            (&with(&[VERSION, key]), 101),
            (
                &[
                    ("UPGRADE", "WebSocket"),
                    ("connection", "keep-alive, UPGRADE"),
                    VERSION,
                    key,
                ],
                101,
            ),
            (
                &with(&[VERSION, key, ("Sec-WebSocket-Protocol", "chat, superchat")]),
                101,
            ),
            (&[], 426),
            (&[("Upgrade", "websocket"), VERSION, key], 426),
            (&[("Connection", "Upgrade"), VERSION, key], 426),
            (
                &[("Upgrade", "h2c"), ("Connection", "Upgrade"), VERSION, key],
                426,
            ),
            (&with(&[key]), 426),
            (&with(&[("Sec-WebSocket-Version", "8"), key]), 426),
            (&with(&[("Sec-WebSocket-Version", "13, 8"), key]), 426),
            (&with(&[VERSION]), 400),
            (&with(&[VERSION, ("Sec-WebSocket-Key", "")]), 400),
            (&with(&[VERSION, ("Sec-WebSocket-Key", "c2hvcnQ=")]), 400),
        ];
        for (headers, status) in attempts {
            let response = ask(&testee, headers);
            assert_eq!(response.status, *status, "{headers:?}: {}", response.text());
            match status {
                101 => assert_eq!(response.header("sec-websocket-protocol"), None),
                426 => assert_eq!(response.header("sec-websocket-version"), Some("13")),
                _ => {}
            }
        }
        testee.server.wait_nothing_left(&before);
    }
}

/// Requests before the upgrade and frames behind it in one segment, on a server where some of the connections have to
/// move to another shard.
pub fn keeps_what_comes_with_it() {
    const CONNECTIONS: usize = 20;
    let mut headers = HOW.to_vec();
    headers.extend([VERSION, ("Sec-WebSocket-Key", KEY)]);
    for peer in Peer::ALL {
        let testee = Testee::start(peer, &["--shards", "2"]);
        let address = testee.server.http();
        let message = peer.text("behind the upgrade");
        for number in 0..CONNECTIONS {
            let mut bytes = Vec::new();
            for target in ["/health", "/api/v1/rooms", "/api/media/devices"] {
                bytes.extend(head(address, "GET", target, &[]));
                bytes.extend(b"\r\n");
            }
            bytes.extend(head(address, "GET", &testee.target, &headers));
            bytes.extend(b"\r\n");
            bytes.extend(text(message.clone()).encode());
            bytes.extend(Frame::close(1000, "").encode());
            // The whole, and cut at every place around the head's end.
            let cut = bytes.len() - number * 4;
            let mut connection = Connection::open(address);
            connection.send(&bytes[..cut]).expect("the server reads");
            connection.send(&bytes[cut..]).expect("the server reads");
            for status in [200, 200, 200, 101] {
                connection.response().expect(status);
            }
            let mut wire = Wire::from(connection);
            let mut texts = Vec::new();
            let code = loop {
                match wire.receive() {
                    Received::Text(text) => texts.push(text),
                    Received::Close(code) => break code,
                    other => panic!("connection {number}: {other:?}"),
                }
            };
            assert_eq!(code, Some(1000));
            if peer == Peer::Viewer {
                assert!(texts.iter().any(|text| text.contains("error")), "{texts:?}");
            } else {
                assert!(texts[0].contains("hello"), "{texts:?}");
            }
        }
        if peer == Peer::Member {
            let room = testee.target.split(['=', '&']).nth(1).expect("its id");
            let room = room.parse().expect("a number");
            wait_until(SOON, "all of them are stored", || {
                testee.server.history(room).len() == CONNECTIONS
            });
        }
    }
}
