//! What clients do to a server. An episode that cannot be played to its end says why; a server that answers what it must
//! not answer is a fault in the ledger.

mod datagrams;
mod http;
mod publishers;
mod rooms;
mod sessions;
mod viewers;

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt;
use serde_json::Value;

use crate::churn::{Player, Stage};
use crate::support::http::{Connection, Response};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Refusals that any request may meet: it was held up on the way for longer than the server waits, the rate, a cap.
const REFUSALS: [u16; 3] = [408, 429, 503];

pub type Played = Result<(), String>;

pub struct Episode {
    pub name: &'static str,
    /// How often it is drawn, relative to the others.
    pub weight: u64,
    pub play: fn(&mut Player) -> Played,
}

const fn episode(name: &'static str, weight: u64, play: fn(&mut Player) -> Played) -> Episode {
    Episode { name, weight, play }
}

pub const EPISODES: &[Episode] = &[
    episode("http: requests in turn", 6, http::in_turn),
    episode("http: pipelined", 4, http::pipelined),
    episode("http: in pieces", 3, http::in_pieces),
    episode("http: garbage", 4, http::garbage),
    episode("http: reset in the middle", 5, http::breaks_off),
    episode("http: half-open", 4, http::half_open),
    episode("http: answers never read", 2, http::never_reads),
    episode("http: a head byte by byte", 2, http::slow_head),
    episode("http: a body byte by byte", 2, http::slow_body),
    episode("session: never answered", 4, sessions::never_answered),
    episode(
        "session: answered, never connected",
        3,
        sessions::never_connected,
    ),
    episode(
        "session: bad answers and candidates",
        3,
        sessions::bad_answers,
    ),
    episode("session: deleted", 3, sessions::deleted),
    episode("session: over a WebSocket", 3, sessions::over_websocket),
    episode("viewer: watches and leaves", 5, viewers::leaves),
    episode("viewer: vanishes", 4, viewers::vanishes),
    episode("viewer: ICE restart", 4, viewers::restarts),
    episode("publisher: H.264", 3, publishers::h264),
    episode("publisher: VP8", 2, publishers::vp8),
    episode("publisher: Opus", 2, publishers::opus),
    episode("publisher: taken over", 2, publishers::taken_over),
    episode("publisher: garbage", 3, publishers::garbage),
    episode("agent: comes and goes", 3, publishers::agent),
    episode("room: from creation to its end", 4, rooms::whole_life),
    episode("member: talks, comes back", 8, rooms::talks),
    episode("member: reads nothing", 3, rooms::deaf),
    episode("member: broken frames", 3, rooms::broken),
    episode("member: by REST", 3, rooms::by_rest),
    episode("datagrams: garbage", 4, datagrams::garbage),
];

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn connect(stage: &Stage) -> Result<Connection, String> {
    let mut connection = Connection::try_open(stage.http).map_err(text)?;
    connection.deadline = PATIENCE;
    Ok(connection)
}

/// One request as a user. A status that is neither expected nor a refusal is a fault of the server.
fn ask(
    stage: &Stage,
    connection: &mut Connection,
    (method, target): (&str, &str),
    (user, body): (&str, &[u8]),
    expected: &[u16],
) -> Result<Response, String> {
    let headers = [("Content-Type", "application/json"), ("X-User-Id", user)];
    connection
        .send_request(method, target, &headers, body)
        .map_err(text)?;
    let response = connection.try_response(method == "HEAD").map_err(text)?;
    judge(stage, &format!("{method} {target}"), &response, expected)?;
    Ok(response)
}

/// As [`ask`], on a connection of its own with a JSON body.
fn post(
    stage: &Stage,
    target: &str,
    user: &str,
    body: &Value,
    expected: &[u16],
) -> Result<Response, String> {
    let body = body.to_string();
    let mut connection = connect(stage)?;
    ask(
        stage,
        &mut connection,
        ("POST", target),
        (user, body.as_bytes()),
        expected,
    )
}

fn judge(stage: &Stage, what: &str, response: &Response, expected: &[u16]) -> Result<(), String> {
    let status = response.status;
    if expected.contains(&status) {
        return Ok(());
    }
    if !REFUSALS.contains(&status) {
        stage
            .ledger
            .fault(format!("{what}: {status} {}", response.text()));
    }
    let code = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
    Err(format!(
        "{status} {}",
        code["code"].as_str().unwrap_or_default()
    ))
}

/// Closes with a reset, as a client does that is killed with data unread.
fn reset(stream: &TcpStream) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(stream, Some(Duration::ZERO))?)
}
