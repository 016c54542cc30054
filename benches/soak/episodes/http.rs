//! HTTP clients that behave, and those that do not.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::{PATIENCE, Played, ask, connect, judge, reset, text};
use crate::churn::Player;
use crate::support::http::head;

/// Requests without an effect, and what they may be answered.
const READS: &[(&str, &str, &[u16])] = &[
    ("GET", "/health", &[200]),
    ("GET", "/", &[200]),
    ("HEAD", "/openapi.json", &[200]),
    ("GET", "/metrics", &[200]),
    ("GET", "/api/media/sessions?limit=10", &[200]),
    ("GET", "/api/media/sessions?limit=0", &[400]),
    ("GET", "/api/media/devices", &[200]),
    ("GET", "/api/media/devices/nobody", &[404]),
    ("GET", "/api/media/sessions/no-uuid", &[400, 404]),
    (
        "DELETE",
        "/api/media/sessions/00000000-0000-4000-8000-000000000000",
        &[404],
    ),
    ("PATCH", "/api/media/sessions", &[405]),
    ("OPTIONS", "/api/v1/rooms", &[200, 204]),
    ("GET", "/api/v1/rooms?limit=20", &[200]),
    ("GET", "/api/v1/rooms/1", &[404]),
    ("GET", "/api/v1/stats/hot", &[200]),
    ("GET", "/api/v1/stats/online", &[200]),
    ("GET", "/api/v1/stats/shards", &[200]),
    ("GET", "/../../etc/passwd", &[400, 404]),
];

/// Beginnings of what is no HTTP.
const NOT_HTTP: &[&[u8]] = &[
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.9\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"GET /\r\n\r\n",
    b"POST /api/media/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"POST /api/media/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
];

/// Answers asked for by a client that reads none: some 40 kB each.
const UNREAD: usize = 64;

/// A head or body that comes byte by byte gets so many of them.
const SLOW_BYTES: usize = 40;
const SLOW_INTERVAL: Duration = Duration::from_millis(150);

pub(super) fn in_turn(player: &mut Player) -> Played {
    let mut connection = connect(&player.stage)?;
    for _ in 0..player.dice.between(1..8) {
        let (method, target, expected) = *player.dice.pick(READS);
        ask(
            &player.stage,
            &mut connection,
            (method, target),
            ("reader", b""),
            expected,
        )?;
    }
    Ok(())
}

pub(super) fn pipelined(player: &mut Player) -> Played {
    let mut connection = connect(&player.stage)?;
    let count = player.dice.between(2..16);
    let asked: Vec<_> = (0..count).map(|_| *player.dice.pick(READS)).collect();
    let mut bytes = Vec::new();
    for (method, target, _) in &asked {
        bytes.extend(head(player.stage.http, method, target, &[]));
        bytes.extend(b"\r\n");
    }
    connection.send(bytes).map_err(text)?;
    for (method, target, expected) in asked {
        let response = connection.try_response(method == "HEAD").map_err(text)?;
        // A refusal at the door has one answer for all.
        judge(
            &player.stage,
            &format!("pipelined {method} {target}"),
            &response,
            expected,
        )?;
    }
    Ok(())
}

pub(super) fn in_pieces(player: &mut Player) -> Played {
    let mut connection = connect(&player.stage)?;
    let body = br#"{"deviceId":"cam-0","userId":"pieces"}"#;
    let length = body.len().to_string();
    let headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", length.as_str()),
    ];
    let mut bytes = head(player.stage.http, "POST", "/api/media/sessions", &headers);
    bytes.extend(b"\r\n");
    bytes.extend(body);
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let piece = player.dice.between(1..40).min(rest.len() as u64) as usize;
        connection.send(&rest[..piece]).map_err(text)?;
        rest = &rest[piece..];
        thread::sleep(player.dice.millis(0..30));
    }
    let response = connection.try_response(false).map_err(text)?;
    judge(
        &player.stage,
        "a session asked for in pieces",
        &response,
        &[201],
    )
}

pub(super) fn garbage(player: &mut Player) -> Played {
    let mut connection = connect(&player.stage)?;
    let mut bytes = match player.dice.one_in(3) {
        true => Vec::new(),
        false => player.dice.pick(NOT_HTTP).to_vec(),
    };
    let length = player.dice.below(4000) as usize;
    bytes.extend(player.dice.bytes(length));
    // The server may have closed before it has all of it.
    let _ = connection.send(bytes);
    if let Ok(response) = connection.try_response(false)
        && !(400..600).contains(&response.status)
    {
        let what = format!("garbage was answered {}", response.status);
        player.stage.ledger.fault(what);
    }
    Ok(())
}

/// Breaks off in a request, in an answer, or right after the handshake.
pub(super) fn breaks_off(player: &mut Player) -> Played {
    let mut connection = connect(&player.stage)?;
    let (method, target, _) = *player.dice.pick(READS);
    let mut bytes = head(player.stage.http, method, target, &[]);
    bytes.extend(b"\r\n");
    let cut = player.dice.below(bytes.len() as u64 + 1) as usize;
    connection.send(&bytes[..cut]).map_err(text)?;
    thread::sleep(player.dice.millis(0..60));
    reset(connection.stream()).map_err(text)
}

/// Says nothing, or half of something, and stays.
pub(super) fn half_open(player: &mut Player) -> Played {
    for _ in 0..player.dice.between(1..6) {
        let mut connection = connect(&player.stage)?;
        match player.dice.below(3) {
            0 => {}
            1 => connection
                .send("GET /health HTTP/1.1\r\nHo")
                .map_err(text)?,
            _ => connection
                .stream()
                .shutdown(std::net::Shutdown::Write)
                .map_err(text)?,
        }
        let time = player.dice.millis(500..8000);
        player.park(connection, time);
    }
    Ok(())
}

/// Asks for a lot and reads nothing of it.
pub(super) fn never_reads(player: &mut Player) -> Played {
    let mut connection = connect(&player.stage)?;
    let mut bytes = head(player.stage.http, "GET", "/openapi.json", &[]);
    bytes.extend(b"\r\n");
    connection.send(bytes.repeat(UNREAD)).map_err(text)?;
    let time = player.dice.millis(1000..9000);
    player.park(connection, time);
    Ok(())
}

/// A head that never ends must be given up by the server (slowloris).
pub(super) fn slow_head(player: &mut Player) -> Played {
    let mut connection = connect(&player.stage)?;
    let begin = Instant::now();
    connection
        .send("GET /health HTTP/1.1\r\nX-Slow: ")
        .map_err(text)?;
    for _ in 0..SLOW_BYTES {
        player.stage.pause(SLOW_INTERVAL);
        if player.stage.is_ending() || connection.send("a").is_err() || connection.poll().is_err() {
            return Ok(());
        }
    }
    connection.deadline = PATIENCE;
    if !connection.closed_by_server() {
        let what = format!(
            "a head that came for {:?} is still waited for",
            begin.elapsed()
        );
        player.stage.ledger.fault(what);
    }
    Ok(())
}

/// A body that comes for as long as it may.
pub(super) fn slow_body(player: &mut Player) -> Played {
    let mut connection = connect(&player.stage)?;
    let headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", "5000"),
    ];
    let mut bytes = head(player.stage.http, "POST", "/api/media/sessions", &headers);
    bytes.extend(b"\r\n{");
    connection.send(bytes).map_err(text)?;
    for _ in 0..SLOW_BYTES {
        player.stage.pause(SLOW_INTERVAL);
        if player.stage.is_ending() || connection.send(" ").is_err() || connection.poll().is_err() {
            return Ok(());
        }
    }
    // Left with the rest of the body missing.
    let time = player.dice.millis(500..6000);
    let _ = connection.stream().flush();
    player.park(connection, time);
    Ok(())
}
