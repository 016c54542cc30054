//! Rooms, and members that talk, fall silent, break off and come back.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::error::ProtocolError;
use tungstenite::{Error, Message};

use super::{PATIENCE, Played, ask, connect, post, reset, text};
use crate::churn::{Player, Stage};
use crate::support::ws::Socket;

/// A member as this churn needs it: nothing that it meets is a panic.
struct Member {
    socket: Socket,
    room: u64,
    epoch: u64,
    /// The last message that it saw, of its hello at first.
    seq: u64,
    /// Said and not answered, by id.
    waiting: BTreeMap<String, String>,
}

impl Member {
    fn join(stage: &Stage, room: u64, user: &str, more: &str) -> Result<Self, String> {
        let target = format!("/ws?room_id={room}&user_id={user}{more}");
        let mut socket = Socket::try_open(stage.http, &target, &[])
            .map_err(|refused| format!("{} {}", refused.status, refused.body["code"]))?;
        let hello = socket.expect_within(PATIENCE, "hello");
        let number = |name: &str| hello[name].as_u64().unwrap_or_default();
        let (epoch, seq) = (number("epoch"), number("seq"));
        Ok(Self {
            socket,
            room,
            epoch,
            seq,
            waiting: BTreeMap::new(),
        })
    }

    /// Comes back: everything after the message that it saw last follows.
    fn rejoin(self, stage: &Stage, user: &str) -> Result<Self, String> {
        let more = format!("&since={}&epoch={}", self.seq, self.epoch);
        let mut again = Self::join(stage, self.room, user, &more)?;
        if again.epoch == self.epoch && again.seq < self.seq {
            let what = format!(
                "room {} went back from {} to {}",
                self.room, self.seq, again.seq
            );
            stage.ledger.fault(what);
        }
        again.seq = match again.epoch == self.epoch {
            true => self.seq,
            false => 0,
        };
        Ok(again)
    }

    fn say(&mut self, content: String) -> Played {
        let id = content.clone();
        let message = json!({"type": "danmu", "content": content, "id": id}).to_string();
        self.socket.try_send(Message::text(message)).map_err(text)?;
        self.waiting.insert(id, content);
        Ok(())
    }

    /// Reads until everything said is answered, or for a time. Messages come in order and without a gap.
    fn listen(&mut self, stage: &Stage, time: Duration, until_answered: bool) -> Played {
        let deadline = Instant::now() + time;
        while !(stage.is_ending() || until_answered && self.waiting.is_empty()) {
            match self.socket.next(deadline) {
                Ok(Some(Message::Text(frame))) => {
                    let frame = serde_json::from_str(&frame).map_err(text)?;
                    self.take(stage, &frame);
                }
                Ok(Some(Message::Close(frame))) => return Err(format!("closed: {frame:?}")),
                Ok(Some(_)) => {}
                Ok(None) if until_answered => return Err("not all was answered in time".into()),
                Ok(None) => return Ok(()),
                Err(error @ Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                    return Err(error.to_string());
                }
                Err(error @ (Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_))) => {
                    stage
                        .ledger
                        .fault(format!("a member was sent what is none: {error}"));
                    return Err(error.to_string());
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    fn take(&mut self, stage: &Stage, frame: &Value) {
        match (frame["type"].as_str(), frame["seq"].as_u64()) {
            (Some("ack"), Some(seq)) => {
                let content = frame["id"].as_str().and_then(|id| self.waiting.remove(id));
                match content {
                    Some(content) => stage
                        .ledger
                        .acknowledged((self.room, self.epoch, seq), content),
                    None => stage.ledger.fault(format!("nobody waits for {frame}")),
                }
            }
            (Some("error"), _) => {
                if let Some(id) = frame["id"].as_str() {
                    self.waiting.remove(id);
                }
            }
            (Some("system"), None) if frame["code"] == "history_truncated" => {
                self.seq = frame["from"].as_u64().unwrap_or_default().saturating_sub(1);
            }
            (_, Some(seq)) => {
                if seq != self.seq + 1 {
                    let what = format!("room {}: {} is followed by {frame}", self.room, self.seq);
                    stage.ledger.fault(what);
                }
                self.seq = seq;
            }
            _ => {}
        }
    }

    /// Hangs up in one way or another.
    fn hang_up(self, player: &mut Player) -> Played {
        match player.dice.below(4) {
            0 => self.socket.close(),
            1 => reset(self.socket.stream()).map_err(text)?,
            2 => drop(self),
            _ => player.park(self, Duration::from_secs(3)),
        }
        Ok(())
    }
}

fn a_room(player: &mut Player) -> u64 {
    *player.dice.pick(&player.stage.rooms)
}

/// Talks, is cut off perhaps, comes back to where it was, and talks again.
pub(super) fn talks(player: &mut Player) -> Played {
    let (room, user) = (a_room(player), player.unique("talker"));
    let mut member = Member::join(&player.stage, room, &user, "")?;
    for _ in 0..player.dice.between(1..4) {
        for _ in 0..player.dice.between(1..12) {
            member.say(player.unique("said"))?;
        }
        member.listen(&player.stage, PATIENCE, true)?;
        if player.dice.one_in(2) {
            reset(member.socket.stream()).map_err(text)?;
            let pause = player.dice.millis(0..1500);
            player.stage.pause(pause);
            member = member.rejoin(&player.stage, &user)?;
        }
        let time = player.dice.millis(100..1500);
        member.listen(&player.stage, time, false)?;
    }
    member.hang_up(player)
}

/// A room of its own, from creation to its end.
pub(super) fn whole_life(player: &mut Player) -> Played {
    let stage = std::sync::Arc::clone(&player.stage);
    let (anchor, other) = (player.unique("anchor"), player.unique("guest"));
    let made = post(
        &stage,
        "/api/v1/rooms",
        &anchor,
        &json!({"title": "passing"}),
        &[201],
    )?
    .json();
    let room = made["id"].as_u64().ok_or("a room without id")?;
    let change = |what: &str, expected: &[u16]| {
        post(
            &stage,
            &format!("/api/v1/rooms/{room}/{what}"),
            &anchor,
            &json!({}),
            expected,
        )
    };
    if player.dice.one_in(8) {
        return Ok(()); // never started
    }
    change("start", &[200])?;
    change("start", &[409])?;
    let mut members = [&anchor, &other].map(|user| Member::join(&stage, room, user, ""));
    for member in members.iter_mut().flatten() {
        for _ in 0..player.dice.between(1..6) {
            member.say(player.unique("passing"))?;
        }
        member.listen(&stage, PATIENCE, true)?;
    }
    change("stop", &[200])?;
    change("stop", &[409])?;
    for member in members.into_iter().flatten() {
        player.park(member, Duration::from_secs(1));
    }
    Ok(())
}

/// Takes nothing of what is said to it, while others talk.
pub(super) fn deaf(player: &mut Player) -> Played {
    let (room, user) = (a_room(player), player.unique("deaf"));
    let member = Member::join(&player.stage, room, &user, "&recent=50")?;
    let time = player.dice.millis(1000..9000);
    player.park(member, time);
    Ok(())
}

/// Frames that no client should send.
pub(super) fn broken(player: &mut Player) -> Played {
    let (room, user) = (a_room(player), player.unique("broken"));
    let mut member = Member::join(&player.stage, room, &user, "")?;
    let frames: &[&[u8]] = &[
        b"\x81\xfe\x01",
        b"\x81\x05hello",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x01\x80abcd",
        b"\x89\xfe\x7f\xff",
    ];
    let frame = *player.dice.pick(frames);
    if player.dice.one_in(3) {
        let texts = [
            "{",
            "[]",
            r#"{"type":"danmu"}"#,
            r#"{"type":"danmu","content":7,"id":{}}"#,
        ];
        for text in texts {
            let _ = member.socket.try_send(Message::text(text));
        }
    }
    member.socket.stream().write_all(frame).map_err(text)?;
    let time = player.dice.millis(200..3000);
    player.park(member, time);
    Ok(())
}

/// Joins and reads without a socket.
pub(super) fn by_rest(player: &mut Player) -> Played {
    let (room, user) = (a_room(player), player.unique("rest"));
    let mut connection = connect(&player.stage)?;
    let mut does = |method: &str, what: &str, expected: &[u16]| {
        let target = format!("/api/v1/rooms/{room}{what}");
        ask(
            &player.stage,
            &mut connection,
            (method, &target),
            (&user, b""),
            expected,
        )
    };
    does("POST", "/join", &[200])?;
    does("POST", "/join", &[200])?;
    does("GET", "/viewers?limit=50", &[200])?;
    does("GET", "/messages?last=20", &[200])?;
    if player.dice.one_in(2) {
        does("POST", "/leave", &[200])?;
    }
    Ok(())
}
