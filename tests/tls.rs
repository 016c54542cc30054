//! TLS on the addresses of `server.listen`: what a client notices.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};

use support::http::{self, Connection, chunk};
use support::media::Clip;
use support::server::run_to_end;
use support::tls::{Certificate, Client, Files, TlsServer, client, handshake};
use support::{SOON, wait_until};

const HANDSHAKES: &str = "media_tls_handshakes_total";

fn create(device: usize) -> Vec<u8> {
    format!(r#"{{"deviceId":"cam-{device}","userId":"ada"}}"#).into_bytes()
}

#[test]
fn requests_are_answered_over_both_versions() {
    let tls = TlsServer::start(&["--set", "tls.hsts=365d"]);
    for (version, name) in [
        (&rustls::version::TLS12, rustls::ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, rustls::ProtocolVersion::TLSv1_3),
    ] {
        let wary = client(&[], &[version], &["http/1.1"]);
        assert!(
            handshake(tls.server.http(), &wary).is_err(),
            "nobody trusts it"
        );
        let config = tls.trusting(&[version], &["http/1.1"]);
        let mut client = Client::open(tls.server.http(), &config);
        assert_eq!(client.stream.conn.protocol_version(), Some(name));
        assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        for _ in 0..3 {
            let response = client.request("GET", "/health", b"").expect(200);
            assert_eq!(response.json()["status"], "ok");
            assert_eq!(
                response.header("Strict-Transport-Security"),
                Some("max-age=31536000")
            );
        }
    }
    assert_eq!(tls.metric(HANDSHAKES, &[("result", "full")]), 2.0);
    assert_eq!(tls.metric(HANDSHAKES, &[("result", "failed")]), 2.0);
    // The address of metrics is plain, and says nothing of TLS.
    let scrape = http::request(tls.server.scraped_at()[0], "GET", "/metrics", &[], b"");
    assert_eq!(scrape.header("Strict-Transport-Security"), None);
}

#[test]
fn plain_http_is_told_that_the_port_speaks_tls() {
    let tls = TlsServer::start(&["--set", "tls.hsts=1h"]);
    let mut plain = Connection::open(tls.server.http());
    let response = plain.request("GET", "/health", &[], b"");
    assert_eq!(response.header("Strict-Transport-Security"), None);
    let sentence = response.expect_error(400, "tls_required");
    assert!(sentence.contains("https://"), "{sentence}");
    assert!(plain.closed_by_server());
    assert_eq!(tls.metric(HANDSHAKES, &[("result", "plaintext")]), 1.0);
}

#[test]
fn what_is_no_handshake_gets_an_alert_and_is_counted() {
    let tls = TlsServer::start(&[]);
    let address = tls.server.http();
    // Another protocol alone.
    let error = handshake(address, &tls.trusting(rustls::ALL_VERSIONS, &["h2"])).err();
    let error = error.expect("not spoken here").to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    // A record of nonsense.
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(SOON)).expect("not zero");
    socket
        .write_all(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\xff")
        .expect("open");
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert_eq!(answer.first(), Some(&0x15), "an alert (RFC 8446 §6)");
    tls.wait_metric(HANDSHAKES, &[("result", "failed")], |failed| failed == 2.0);
}

/// Whoever shakes hands too slowly, or not at all, is closed like one who is slow with a head.
#[test]
fn a_slow_handshake_is_closed_in_time() {
    let tls = TlsServer::start(&["--set", "http.head_timeout=300ms"]);
    let mut silent = TcpStream::connect(tls.server.http()).expect("it listens");
    let mut slow = TcpStream::connect(tls.server.http()).expect("it listens");
    slow.write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        .expect("open");
    for socket in [&mut silent, &mut slow] {
        socket.set_read_timeout(Some(SOON)).expect("not zero");
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        assert_eq!(answer, b"", "nothing could be said");
    }
    let unfinished = [("result", "unfinished")];
    tls.wait_metric(HANDSHAKES, &unfinished, |unfinished| unfinished == 2.0);

    // After the handshake a slow head is answered.
    let mut client = tls.connect();
    client.send(b"GET / HT").expect("open");
    client.response().expect_error(408, "request_timeout");
    assert!(client.ended_well());
}

/// Requests for what different shards own, each in a record of its own and all at once: what was read and
/// not handled yet moves with the connection.
#[test]
fn pipelined_requests_are_answered_in_order_whoever_owns_them() {
    const REQUESTS: usize = 60;
    let tls = TlsServer::start(&["--shards", "4"]);
    let mut client = tls.connect();
    // The records are sealed one by one and sent together.
    for device in 0..REQUESTS {
        let bytes = client.bytes("POST", "/api/media/sessions", &create(device));
        client
            .stream
            .conn
            .writer()
            .write_all(&bytes)
            .expect("room for them");
    }
    client.stream.flush().expect("the server reads");
    let ids: Vec<String> = (0..REQUESTS)
        .map(|_| {
            let session = client.response().expect(201).json();
            session["sessionId"].as_str().expect("an id").to_owned()
        })
        .collect();
    let mut shards = std::collections::BTreeSet::new();
    for (device, id) in ids.iter().enumerate() {
        let target = format!("/api/media/sessions/{id}");
        let session = client.request("GET", &target, b"").expect(200).json();
        assert_eq!(session["deviceId"], format!("cam-{device}"));
        shards.insert(session["shard"].to_string());
    }
    assert!(shards.len() > 1, "{shards:?}");
    let moved = tls.metric("media_connections_handed_over_total", &[]);
    assert!(moved >= REQUESTS as f64 / 2.0, "{moved}");
}

/// The shard stops to read while a picture is not due: what TLS has read by then is delivered later.
#[test]
fn a_paced_body_comes_whole() {
    let tls = TlsServer::start(&["--shards", "2"]);
    let clip = Clip::tiny_h264();
    let body: Vec<u8> = clip.units.concat();
    let mut client = tls.connect();
    let target = "/api/media/devices/cam-1/video?fps=120";
    let mut request = client.bytes("PUT", target, b"");
    request.truncate(request.len() - 2);
    request.extend(
        format!(
            "Content-Type: video/h264\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .bytes(),
    );
    // Records of odd sizes.
    request.extend(&body);
    for piece in request.chunks(777) {
        client
            .stream
            .conn
            .writer()
            .write_all(piece)
            .expect("room for it");
        client.stream.flush().expect("the server reads");
    }
    let done = client.response().expect(200).json();
    assert_eq!(done["bytes"], body.len(), "{done}");
    assert_eq!(done["accessUnits"], clip.units.len(), "{done}");
}

/// Answers for somebody who reads slowly: no byte is lost, doubled or out of order, also where the connection
/// moves to another shard with half a record on its way, and requests end within records.
#[test]
fn a_slow_reader_gets_every_byte() {
    const REQUESTS: usize = 12;
    let tls = TlsServer::start(&["--shards", "2"]);
    let expected = tls.request("GET", "/openapi.json", b"").expect(200).body;
    assert!(expected.len() > 16 << 10, "several records");
    let mut client = tls.connect();
    rustix::net::sockopt::set_socket_recv_buffer_size(&client.stream.sock, 8 << 10)
        .expect("a socket");
    let mut requests = Vec::new();
    for device in 0..REQUESTS {
        requests.extend(client.bytes("GET", "/openapi.json", b""));
        requests.extend(client.bytes("POST", "/api/media/sessions", &create(device)));
    }
    for record in requests.chunks(333) {
        client.send(record).expect("the server reads");
    }
    // Until nothing more fits into the sockets between.
    wait_until(SOON, "the server waits for its client", || {
        tls.metric("media_outbound_buffer_bytes", &[]) > 0.0
    });
    for _ in 0..REQUESTS {
        assert!(client.response().expect(200).body == expected);
        client.response().expect(201);
    }
    assert!(tls.metric("media_connections_handed_over_total", &[]) > 0.0);
}

#[test]
fn sessions_are_resumed_on_every_shard() {
    const CONNECTIONS: usize = 12;
    let tls = TlsServer::start(&["--shards", "4"]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let before = tls.metric(HANDSHAKES, &[("result", "resumed")]);
        let config = tls.trusting(&[version], &["http/1.1"]);
        for _ in 0..CONNECTIONS {
            // The tickets of TLS 1.3 come with the first answer.
            let mut client = Client::open(tls.server.http(), &config);
            client.request("GET", "/health", b"").expect(200);
        }
        let resumed = tls.metric(HANDSHAKES, &[("result", "resumed")]) - before;
        assert_eq!(resumed, CONNECTIONS as f64 - 1.0, "{version:?}");
    }
    assert_eq!(tls.metric(HANDSHAKES, &[("result", "full")]), 2.0);
}

#[test]
fn who_says_that_it_sends_no_more_still_gets_its_answer() {
    let tls = TlsServer::start(&[]);
    for shut_down in [false, true] {
        let mut client = tls.connect();
        let bytes = client.bytes("GET", "/openapi.json", b"");
        client.send(&bytes).expect("open");
        client.stream.conn.send_close_notify();
        client.stream.flush().expect("open");
        if shut_down {
            client.stream.sock.shutdown(Shutdown::Write).expect("open");
        }
        client.response().expect(200);
        assert!(client.ended_well(), "with a close_notify");
    }
}

/// An end without close_notify is no end of a body: what was begun is dropped.
#[test]
fn a_truncated_body_is_an_aborted_one() {
    let tls = TlsServer::start(&[]);
    let mut client = tls.connect();
    let bytes = client.bytes("POST", "/api/media/sessions", &create(1));
    client.send(&bytes[..bytes.len() - 3]).expect("open");
    client.stream.sock.shutdown(Shutdown::Write).expect("open");
    assert!(client.ended_well());

    let mut publisher = tls.connect();
    let mut head = publisher.bytes("PUT", "/api/media/devices/cam-1/video", b"");
    head.truncate(head.len() - 2);
    head.extend(b"Content-Type: video/h264\r\nTransfer-Encoding: chunked\r\n\r\n");
    head.extend(chunk(&Clip::tiny_h264().units[0]));
    publisher.send(&head).expect("open");
    let live = |expected: bool| {
        wait_until(SOON, "the device follows its publisher", || {
            let response = tls.request("GET", "/api/media/devices/cam-1", b"");
            (response.status == 200 && response.json()["live"] == true) == expected
        });
    };
    live(true);
    drop(publisher);
    live(false);
    assert_eq!(tls.metric("media_sessions_created_total", &[]), 0.0);
}

fn live_room(tls: &TlsServer) -> u64 {
    let body = json!({"title": "Over TLS"}).to_string();
    let room = tls.request("POST", "/api/v1/rooms", body.as_bytes());
    let id = room.expect(201).json()["id"].as_u64().expect("an id");
    let started = tls.request("POST", &format!("/api/v1/rooms/{id}/start"), b"");
    started.expect(200);
    id
}

#[test]
fn members_talk_and_are_told_of_the_shutdown() {
    let mut tls = TlsServer::start(&["--shards", "2"]);
    let room = live_room(&tls);
    let join = |user: &str| {
        let mut socket = tls.socket(&format!("/ws?room_id={room}&user_id={user}"));
        socket.expect("hello");
        socket
    };
    let mut members = ["ada", "bob", "eve"].map(join);
    for (number, said) in ["hello", "world"].into_iter().enumerate() {
        members[number].send(&json!({"type": "danmu", "content": said}));
        for member in &mut members {
            let heard = member.expect("danmu");
            assert_eq!(
                (&heard["content"], &heard["seq"]),
                (&json!(said), &json!(number + 1))
            );
        }
    }
    tls.server.signal(Signal::TERM);
    for member in &mut members {
        member.expect("closing");
        assert_eq!(member.closed(), Some(1001));
    }
    drop(members);
    assert_eq!(tls.server.wait(SOON).code(), Some(0));
}

/// What a peer does not read costs it its place, as without TLS, and nobody else anything (M10).
#[test]
fn a_member_that_reads_nothing_is_dropped() {
    let tls = TlsServer::start(&["--shards", "1", "--set", "rooms.member_rate=0"]);
    let room = live_room(&tls);
    let stalled = tls.socket(&format!("/ws?room_id={room}&user_id=stalled"));
    rustix::net::sockopt::set_socket_recv_buffer_size(stalled.tcp(), 8 << 10).expect("a socket");
    let mut ada = tls.socket(&format!("/ws?room_id={room}&user_id=ada"));
    let content = "x".repeat(2000);
    let open = tls.metric("process_open_fds", &[]);
    let deadline = Instant::now() + SOON;
    let mut said = 0;
    while tls.metric("media_room_members_cut_total", &[]) == 0.0 {
        assert!(Instant::now() < deadline, "still there after {said}");
        for _ in 0..64 {
            said += 1;
            ada.send(&json!({"type": "danmu", "content": content}));
            assert_eq!(ada.expect("danmu")["seq"], said);
        }
    }
    // Its socket goes too, although its last piece is not taken.
    tls.wait_metric("media_room_members", &[], |members| members == 1.0);
    tls.wait_metric("process_open_fds", &[], |now| now < open);
    ada.send(&json!({"type": "danmu", "content": "still here"}));
    assert_eq!(ada.expect("danmu")["content"], "still here");
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let tls = TlsServer::start(&["--shards", "2"]);
    let mut old = tls.connect();
    let first = old.certificate().clone();
    old.request("GET", "/health", b"").expect(200);

    let next = Certificate::new();
    // Certificate and key that do not fit are not taken: the old ones stay.
    tls.files.write("cert.pem", &next.cert_pem);
    tls.server.signal(Signal::HUP);
    let refused = "the configuration is at fault: the old one stays";
    wait_until(SOON, "the reload is refused", || {
        !tls.server.log().with_message(refused).is_empty()
    });
    assert!(tls.server.log().text().contains("is not the key of"));
    assert_eq!(tls.connect().certificate(), &first);

    tls.files.write("key.pem", &next.key_pem);
    tls.server.signal(Signal::HUP);
    let config = client(&[&next], rustls::ALL_VERSIONS, &["http/1.1"]);
    wait_until(SOON, "the new certificate is there", || {
        handshake(tls.server.http(), &config).is_ok()
    });
    let mut new = Client::open(tls.server.http(), &config);
    new.request("GET", "/health", b"").expect(200);
    assert_eq!(new.certificate(), &next.der);
    old.request("GET", "/health", b"").expect(200);
    let log = tls.server.log().text();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn a_certificate_that_ends_is_seen_before_and_said_after() {
    const EXPIRY: &str = "media_tls_certificate_expiry_timestamp_seconds";
    let tls = TlsServer::start(&[]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs_f64();
    assert!(tls.metric(EXPIRY, &[]) > now);
    assert!(!tls.server.log().text().contains("expired"));

    let old = Certificate::until(2020);
    tls.files.write("cert.pem", &old.cert_pem);
    tls.files.write("key.pem", &old.key_pem);
    wait_until(SOON, "it is read and complained of", || {
        let log = tls.server.log().text();
        log.contains("cert.pem holds a certificate that has expired: clients refuse it")
    });
    tls.wait_metric(EXPIRY, &[], |expiry| expiry == 1_577_836_800.0);
}

#[test]
fn what_is_wrong_with_certificate_or_key_is_named() {
    let (one, other) = (Certificate::new(), Certificate::new());
    let files = Files::of(&one);
    let path = |name: &str, text: &str| files.write(name, text);
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let other_key = path("other.pem", &other.key_pem);
    let nothing = path("nothing.pem", "nothing\n");
    let locked = path(
        "locked.pem",
        &one.key_pem.replace("PRIVATE", "ENCRYPTED PRIVATE"),
    );
    let damaged = path("damaged.pem", &one.cert_pem.replace("-----END", "----"));
    let missing = files.path("missing.pem");
    let rsa_1024 = support::media::file("tests/keys/rsa1024.pem")
        .display()
        .to_string();
    let version_1 = support::media::file("tests/keys/x509v1.pem")
        .display()
        .to_string();
    let table = [
        (&cert, None, "tls.key: is missing"),
        (
            &version_1,
            Some(&key),
            "x509v1.pem holds a certificate that cannot be read; it must be one of X.509 version 3",
        ),
        (
            &cert,
            Some(&missing),
            "missing.pem cannot be read: No such file",
        ),
        (&nothing, Some(&key), "nothing.pem holds no certificate"),
        (&damaged, Some(&key), "damaged.pem is damaged"),
        (&cert, Some(&nothing), "nothing.pem holds no private key"),
        (
            &cert,
            Some(&locked),
            "locked.pem holds a key with a passphrase",
        ),
        (
            &cert,
            Some(&rsa_1024),
            "rsa1024.pem holds a key that cannot be used",
        ),
        (
            &cert,
            Some(&other_key),
            "other.pem is not the key of the first certificate",
        ),
    ];
    for (cert, key, expected) in table {
        let mut arguments = vec!["--check-config", "--tls-cert", cert];
        arguments.extend(key.into_iter().flat_map(|key| ["--tls-key", key]));
        let (status, _, stderr) = run_to_end(&arguments);
        assert_eq!(status.code(), Some(2), "{expected}");
        assert!(stderr.contains(expected), "{expected} in {stderr}");
        assert!(
            !stderr.contains("BEGIN CERT") || stderr.contains("must have"),
            "{stderr}"
        );
    }
    let (_, printed, _) = run_to_end(&["--print-config", "--tls-cert", &cert, "--tls-key", &key]);
    assert!(printed.contains(&format!("key = \"{key}\"")), "{printed}");
    assert!(!printed.contains("BEGIN"), "{printed}");
}

#[test]
fn tokens_in_the_clear_are_warned_of() {
    let warned = |server: &support::server::Server| {
        let log = server.log().text();
        log.matches("cross the network in the clear").count()
    };
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("media.toml");
    std::fs::write(
        &file,
        "auth.jwt_secret = 'a secret of thirty-two characters'\n",
    )
    .expect("room on the disk");
    let public = [
        "--config",
        file.to_str().expect("UTF-8"),
        "--listen",
        "0.0.0.0:0",
        "--media-listen",
        "127.0.0.1",
    ];
    let plain = support::server::Server::start(&public);
    assert_eq!(warned(&plain), 1);
    let tls = TlsServer::start(&public);
    assert_eq!(warned(&tls.server), 0);
}

/// A page that came without TLS is somebody else's who sits on the way.
#[test]
fn a_page_without_tls_is_foreign() {
    let tls = TlsServer::start(&[]);
    let mut client = tls.connect();
    let address = tls.server.http();
    let mut ask = |origin: String| {
        let headers = [("Origin", origin.as_str())];
        let mut bytes = http::head(address, "GET", "/api/media/devices", &headers);
        bytes.extend(b"\r\n");
        client.send(&bytes).expect("open");
        client.response()
    };
    ask(format!("https://{address}")).expect(200);
    ask(format!("http://{address}")).expect_error(403, "foreign_origin");
}

/// Handshakes that never come to an end leave nothing behind.
#[test]
fn abandoned_connections_leave_nothing() {
    let tls = TlsServer::start(&["--shards", "2"]);
    let fds = || tls.server.process().fds();
    tls.request("GET", "/health", b"").expect(200);
    let before = fds();
    for round in 0..50 {
        let mut socket = TcpStream::connect(tls.server.http()).expect("it listens");
        let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        let _ = socket.write_all(&hello[..round % hello.len()]);
        if round % 3 == 0 {
            let client = tls.connect();
            drop(client);
        }
    }
    wait_until(SOON, "their descriptors are closed", || fds() <= before);
    let mut client = tls.connect();
    client
        .stream
        .sock
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("not zero");
    let quiet = client.stream.read(&mut [0; 16]);
    assert_eq!(
        quiet.map_err(|error| error.kind()),
        Err(ErrorKind::WouldBlock)
    );
    let _: Value = client.request("GET", "/health", b"").json();
}
