//! TLS with clients of other makes: curl, OpenSSL, `websockets` for Python, Chromium.

mod support;

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use support::browser::Browser;
use support::tls::TlsServer;
use support::{SOON, python, wait_until};

/// What a program printed, which ends well.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.expect("the program runs; see .ci/run for what these tests need");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
#[ignore = "needs curl and openssl"]
fn curl_and_openssl_agree_with_both_versions() {
    let tls = TlsServer::start(&["--shards", "2"]);
    let (address, cert) = (tls.server.http(), tls.files.path("cert.pem"));
    let url = format!("https://{address}/health");
    for more in [&["--tlsv1.3"][..], &["--tls-max", "1.2"]] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--http1.1", "--cacert", &cert]);
        // Twice: on one connection.
        let health = output(curl.args(more).args([&url, &url]));
        assert_eq!(health.matches(r#""status":"ok""#).count(), 2, "{health}");
    }
    // Its client closes one half and waits for the other.
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &address.to_string()]);
    openssl.args([
        "-CAfile",
        &cert,
        "-alpn",
        "http/1.1",
        "-verify_return_error",
    ]);
    let said = output(&mut openssl);
    for line in ["ALPN protocol: http/1.1", "Verify return code: 0 (ok)"] {
        assert!(said.contains(line), "{line} in {said}");
    }
}

#[test]
#[ignore = "needs Python with websockets"]
fn members_talk_in_python_over_wss() {
    let tls = TlsServer::start(&["--shards", "2"]);
    let base = format!("https://{}", tls.server.http());
    let mut talk = python::script("tests/rooms/clients.py");
    talk.args(["--base", &base, "talk"]);
    talk.env("SSL_CERT_FILE", tls.files.path("cert.pem"));
    let seen: Value = serde_json::from_str(&output(&mut talk)).expect("JSON");
    assert_eq!(seen["danmu"][0]["content"], "Grüße, 世界 \u{1f600}");
    assert_eq!(seen["ack"], json!({"type": "ack", "id": "b-1", "seq": 4}));
    for closed in seen["closed"].as_array().expect("a list") {
        assert_eq!(closed[0], 1000, "{seen:#}");
    }
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn the_page_plays_and_chats_over_https() {
    let tls = TlsServer::start(&["--demo"]);
    // The certificate is nobody's that Chromium knows.
    let mut browser = Browser::start_with(&["--ignore-certificate-errors"]);
    let page = |path: &str| format!("https://{}/#/{path}", tls.server.http());
    browser.open("viewer", &page("devices/demo"));
    browser.wait_state("viewer", "playing");
    wait_until(SOON, "a second of the clip", || {
        browser.inbound("viewer")["video"]["framesDecoded"].as_u64() >= Some(30)
    });
    browser.open("member", &page("rooms/1"));
    browser.wait_room("member", "the picture plays beside the chat", |room| {
        room["picture"] == "playing"
    });
    assert_eq!(browser.errors(), json!([]));
    assert!(tls.metric("media_websocket_connections", &[]) >= 2.0);
}
