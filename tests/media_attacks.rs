//! Attacks on the media ports of a running server. Each has its details played in `rtc/tests`.

mod support;

use std::net::UdpSocket;

use serde_json::json;

use support::media::Clip;
use support::publish::Publisher;
use support::server::Server;
use support::viewer::{Viewer, ViewerOptions};
use support::viewers::Viewers;
use support::{SOON, wait_until};

const DROPPED: &str = "media_datagrams_dropped_total";
/// Datagrams of a flood between two looks at the picture.
const VOLLEY: usize = 50;

fn dropped(server: &Server, reason: &str) -> f64 {
    server.metrics().sum(DROPPED, &[("reason", reason)])
}

/// A record of DTLS in the clear.
fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let head = [
        kind,
        0xfe,
        0xfd,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        9,
        0,
        body.len() as u8,
    ];
    [&head, body].concat()
}

#[test]
fn floods_at_the_media_port_cost_no_viewer_a_picture() {
    let server = Server::start(&["--shards", "1"]);
    let clip = Clip::tiny_h264();
    let _publisher = Publisher::start(server.http(), "cam-1", clip.clone());
    let mut viewers = Viewers::default();
    let viewer = viewers.join(server.http(), "cam-1", ViewerOptions::default());
    viewers.run_until(SOON, "a picture", |viewers| {
        !viewers[viewer].pictures.is_empty()
    });

    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let own = viewers[viewer].socket().try_clone().unwrap();
    let port = server.media()[0];
    // A check of another session, and the same with a password that was guessed, without its
    // FINGERPRINT.
    let session = server.create_session("cam-1", "other");
    let (id, offer) = (&session["sessionId"], &session["offer"]["sdp"]);
    let (mut other, answer) = Viewer::answer(offer.as_str().unwrap(), ViewerOptions::default());
    let path = format!("/api/media/sessions/{}/answer", id.as_str().unwrap());
    let answered = server.post(&path, &json!({"type": "answer", "sdp": answer}));
    assert!(answered.status < 300, "{}", answered.status);
    let check = other.next_check();
    let mut guessed = check[..check.len() - 8].to_vec();
    let length = (guessed.len() - 20) as u16;
    guessed[2..4].copy_from_slice(&length.to_be_bytes());
    *guessed.last_mut().unwrap() ^= 1;
    let garbage = |first: u8, second: u8| [&[first, second][..], &[0xa5; 300]].concat();
    let from_stranger = [
        guessed,
        garbage(0, 1),
        garbage(22, 0xfe),
        garbage(0x81, 201),
    ];
    let from_viewer = [
        garbage(0x90, 102),
        garbage(0x81, 201),
        record(21, &[2, 40]),
        record(21, &[1, 0]),
        record(22, &[1, 0, 0, 2, 0, 9, 0, 0, 0, 0, 0, 2, 1, 1]),
        garbage(23, 0xfe),
    ];
    let mut pictures = 0;
    viewers.run_until(SOON, "three seconds are seen", |viewers| {
        if viewers[viewer].pictures.len() > pictures {
            pictures = viewers[viewer].pictures.len();
            for _ in 0..VOLLEY {
                for bytes in &from_stranger {
                    let _ = stranger.send_to(bytes, port);
                }
                for bytes in &from_viewer {
                    let _ = own.send_to(bytes, port);
                }
                let _ = other.socket().send_to(&check, port);
            }
        }
        pictures >= 90
    });
    clip.assert_played(&viewers[viewer].pictures);
    assert!(
        stranger.recv_from(&mut [0; 2_000]).is_err(),
        "an answer to a stranger"
    );
    for reason in [
        "malformed",
        "unknown_source",
        "unexpected_media",
        "stun_rate",
    ] {
        wait_until(SOON, reason, || dropped(&server, reason) > VOLLEY as f64);
    }
    assert_eq!(server.metrics().sum("media_active_sessions", &[]), 2.0);
}
