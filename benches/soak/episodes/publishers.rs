//! Publishers that come, go, replace each other, and send what nobody can play.

use serde_json::json;
use tungstenite::Message;

use super::sessions::device;
use super::{PATIENCE, Played, connect, judge, reset, text};
use crate::churn::Player;
use crate::support::http::{chunk, head};
use crate::support::media::Clip;
use crate::support::publish::Publisher;
use crate::support::ws::Socket;

pub(super) fn h264(player: &mut Player) -> Played {
    publish(player, Clip::tiny_h264())
}

pub(super) fn vp8(player: &mut Player) -> Played {
    publish(player, Clip::tiny_vp8())
}

pub(super) fn opus(player: &mut Player) -> Played {
    publish(player, Clip::tiny_opus())
}

/// Publishes for a while; ends as it should, or breaks off.
fn publish(player: &mut Player, clip: Clip) -> Played {
    let device = device(player);
    let publisher = Publisher::start(player.stage.http, &device, clip);
    let time = player.dice.millis(1000..10_000);
    player.stage.pause(time);
    match player.dice.one_in(3) {
        true => publisher.abort(),
        // It may have been another's device, or have been taken over.
        false => judge(
            &player.stage,
            "publish",
            &publisher.finish(),
            &[200, 408, 409],
        )?,
    }
    Ok(())
}

pub(super) fn taken_over(player: &mut Player) -> Played {
    let device = device(player);
    let first = Publisher::start(player.stage.http, &device, Clip::tiny_h264());
    let time = player.dice.millis(300..2000);
    player.stage.pause(time);
    let query = "?takeover=true";
    let second = Publisher::start_with(player.stage.http, &device, Clip::tiny_vp8(), query);
    judge(
        &player.stage,
        "the one before",
        &first.refused(),
        &[408, 409],
    )?;
    player.stage.pause(time);
    judge(
        &player.stage,
        "takeover",
        &second.finish(),
        &[200, 408, 409],
    )
}

/// What is no video, in a body that would go on.
pub(super) fn garbage(player: &mut Player) -> Played {
    let device = device(player);
    let kinds = [
        ("video", "video/h264"),
        ("video", "video/x-ivf"),
        ("audio", "audio/ogg"),
        ("video", "video/mp4"),
    ];
    let (track, kind) = *player.dice.pick(&kinds);
    let mut connection = connect(&player.stage)?;
    let target = format!("/api/media/devices/{device}/{track}");
    let headers = [("Content-Type", kind), ("Transfer-Encoding", "chunked")];
    let mut bytes = head(player.stage.http, "PUT", &target, &headers);
    bytes.extend(b"\r\n");
    for _ in 0..player.dice.between(1..20) {
        let length = player.dice.between(1..8000) as usize;
        bytes.extend(chunk(&player.dice.bytes(length)));
    }
    // The server answers as soon as it has seen enough, and may close before the rest is sent.
    let _ = connection.send(bytes);
    match connection.try_response(false) {
        Ok(response) => judge(
            &player.stage,
            "garbage",
            &response,
            &[400, 408, 409, 413, 415],
        ),
        Err(error) => Err(error.to_string()),
    }
}

pub(super) fn agent(player: &mut Player) -> Played {
    let device = device(player);
    let target = format!("/api/media/devices/{device}/ws");
    let mut socket = Socket::try_open(player.stage.http, &target, &[])
        .map_err(|refused| format!("{} {}", refused.status, refused.body["code"]))?;
    let hello = json!({"type": "hello", "video": {"codec": "h264"}});
    socket
        .try_send(Message::text(hello.to_string()))
        .map_err(text)?;
    let clip = Clip::tiny_h264();
    for number in 0..player.dice.between(10..150) {
        if player.stage.is_ending() {
            break;
        }
        let mut message = vec![0];
        message.extend((number * 33_333).to_be_bytes());
        message.extend(clip.unit(number));
        socket.try_send(Message::binary(message)).map_err(text)?;
        player.stage.pause(clip.interval);
    }
    match player.dice.below(4) {
        0 => {
            let _ = socket.try_send(Message::binary(vec![9, 9, 9]));
            player.park(socket, PATIENCE);
        }
        1 => reset(socket.stream()).map_err(text)?,
        2 => drop(socket),
        _ => socket.close(),
    }
    Ok(())
}
