//! Sessions that come to nothing.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Played, ask, connect, post, reset, text};
use crate::churn::{Player, Stage};
use crate::support::viewer::{Viewer, ViewerOptions};
use crate::support::ws::Socket;

/// Devices of the churn.
const DEVICES: u64 = 12;

/// Candidates of a flood: more than a session takes.
const CANDIDATES: usize = 60;

const BAD_ANSWERS: &[&str] = &[
    "",
    "v=0\r\n",
    "not SDP at all",
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
];

pub(super) fn device(player: &mut Player) -> String {
    format!("cam-{}", player.dice.below(DEVICES))
}

/// Asks for a session; its id and offer.
pub(super) fn create(player: &mut Player) -> Result<(String, String), String> {
    let device = device(player);
    let body = json!({"deviceId": device, "userId": "churn"});
    let created = post(&player.stage, "/api/media/sessions", "churn", &body, &[201])?.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok((text(&created["sessionId"]), text(&created["offer"]["sdp"])))
}

pub(super) fn answer(stage: &Stage, session: &str, sdp: &str) -> Played {
    let target = format!("/api/media/sessions/{session}/answer");
    // It may have expired meanwhile.
    post(
        stage,
        &target,
        "churn",
        &json!({"type": "answer", "sdp": sdp}),
        &[204, 404],
    )
    .map(drop)
}

pub(super) fn never_answered(player: &mut Player) -> Played {
    for _ in 0..player.dice.between(1..4) {
        create(player)?;
    }
    Ok(())
}

pub(super) fn never_connected(player: &mut Player) -> Played {
    let (session, offer) = create(player)?;
    let options = ViewerOptions {
        local: player.stage.local,
        ..ViewerOptions::default()
    };
    let (viewer, sdp) = Viewer::answer(&offer, options);
    answer(&player.stage, &session, &sdp)?;
    drop(viewer);
    Ok(())
}

pub(super) fn bad_answers(player: &mut Player) -> Played {
    let (session, _) = create(player)?;
    let mut connection = connect(&player.stage)?;
    for _ in 0..3 {
        let sdp = *player.dice.pick(BAD_ANSWERS);
        let target = format!("/api/media/sessions/{session}/answer");
        let body = json!({"type": "answer", "sdp": sdp}).to_string();
        let what = ("POST", target.as_str());
        ask(
            &player.stage,
            &mut connection,
            what,
            ("churn", body.as_bytes()),
            &[400, 404],
        )?;
    }
    let target = format!("/api/media/sessions/{session}/ice-candidate");
    for number in 0..CANDIDATES {
        let candidate = format!("candidate:1 1 udp 1 10.1.1.{number} 4000 typ host");
        let body = json!({"candidate": candidate, "sdpMid": "0"}).to_string();
        let what = ("POST", target.as_str());
        let answer = ask(
            &player.stage,
            &mut connection,
            what,
            ("churn", body.as_bytes()),
            &[204, 404, 429],
        )?;
        if answer.status == 429 && number < 20 {
            return Err("refused at the rate".into());
        }
    }
    Ok(())
}

pub(super) fn deleted(player: &mut Player) -> Played {
    let (session, _) = create(player)?;
    let mut connection = connect(&player.stage)?;
    let target = format!("/api/media/sessions/{session}");
    ask(
        &player.stage,
        &mut connection,
        ("DELETE", &target),
        ("churn", b""),
        &[204],
    )?;
    ask(
        &player.stage,
        &mut connection,
        ("GET", &target),
        ("churn", b""),
        &[404],
    )?;
    Ok(())
}

/// Asks for a session by WebSocket, sends what it should not, and hangs up in one way or another.
pub(super) fn over_websocket(player: &mut Player) -> Played {
    let device = device(player);
    let target = format!("/api/media/ws?deviceId={device}&userId=churn");
    let mut socket = Socket::try_open(player.stage.http, &target, &[])
        .map_err(|refused| format!("{} {}", refused.status, refused.body["code"]))?;
    socket.expect_within(super::PATIENCE, "offer");
    for _ in 0..player.dice.between(0..6) {
        let message = match player.dice.below(5) {
            0 => "{".to_owned(),
            1 => json!({"type": "answer", "sdp": "nonsense"}).to_string(),
            2 => json!({"type": "control", "seq": 1, "action": "back"}).to_string(),
            3 => json!({"type": "ice-candidate", "candidate": "candidate:x"}).to_string(),
            _ => json!({"type": "shout"}).to_string(),
        };
        socket
            .try_send(tungstenite::Message::text(message))
            .map_err(text)?;
    }
    match player.dice.below(3) {
        0 => socket.close(),
        1 => reset(socket.stream()).map_err(text)?,
        _ => player.park(socket, Duration::from_secs(7)),
    }
    Ok(())
}
