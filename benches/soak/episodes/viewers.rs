//! Viewers over WebRTC.

use std::time::{Duration, Instant};

use serde_json::json;

use super::sessions::{answer, create};
use super::{Played, post};
use crate::churn::{Player, Stage};
use crate::support::viewer::{Viewer, ViewerOptions};
use crate::support::viewers::Viewers;

/// How long a viewer waits for its connection: beyond the server's own timeout it is in vain.
const CONNECTING: Duration = Duration::from_secs(6);

/// A viewer that is connected, and its session.
fn connected(player: &mut Player) -> Result<Viewers, String> {
    let (session, offer) = create(player)?;
    let options = ViewerOptions {
        frames: player.dice.one_in(2),
        nack: !player.dice.one_in(4),
        local: player.stage.local,
        ..ViewerOptions::default()
    };
    let (mut viewer, sdp) = Viewer::answer(&offer, options);
    answer(&player.stage, &session, &sdp)?;
    viewer.session = session;
    let mut viewers = Viewers::default();
    viewers.add(viewer);
    drive(&player.stage, &mut viewers, CONNECTING, |viewer| {
        viewer.is_connected()
    });
    match viewers[0].is_connected() {
        true => Ok(viewers),
        false => Err(format!("not connected: {:?}", viewers[0].ice)),
    }
}

/// Drives it until something holds, the time is over, or the churn ends.
fn drive(stage: &Stage, viewers: &mut Viewers, time: Duration, until: impl Fn(&Viewer) -> bool) {
    let end = Instant::now() + time;
    while Instant::now() < end && !stage.is_ending() && !until(&viewers[0]) {
        viewers.turn();
    }
}

fn watch(player: &mut Player, viewers: &mut Viewers) {
    let time = player.dice.millis(500..5000);
    drive(&player.stage, viewers, time, |viewer| {
        viewer.closed.is_some()
    });
    if player.dice.one_in(2) {
        let control = json!({"type": "control", "seq": 1, "action": "home"}).to_string();
        viewers[0].send_text(&control);
        viewers[0].send_text("not JSON");
    }
}

pub(super) fn leaves(player: &mut Player) -> Played {
    let mut viewers = connected(player)?;
    watch(player, &mut viewers);
    viewers[0].leave();
    Ok(())
}

pub(super) fn vanishes(player: &mut Player) -> Played {
    let mut viewers = connected(player)?;
    watch(player, &mut viewers);
    Ok(())
}

/// Comes back with new credentials and goes on.
pub(super) fn restarts(player: &mut Player) -> Played {
    let mut viewers = connected(player)?;
    for _ in 0..player.dice.between(1..4) {
        watch(player, &mut viewers);
        let session = viewers[0].session.clone();
        let target = format!("/api/media/sessions/{session}/offer");
        let offered = post(
            &player.stage,
            &target,
            "churn",
            &json!({"iceRestart": true}),
            &[200, 404],
        )?;
        if offered.status == 404 {
            return Err("the session had expired".into());
        }
        let offered = offered.json();
        let sdp = viewers[0].answer_again(offered["offer"]["sdp"].as_str().unwrap_or_default());
        answer(&player.stage, &session, &sdp)?;
    }
    watch(player, &mut viewers);
    viewers[0].leave();
    Ok(())
}
