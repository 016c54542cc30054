//! Requests as operations, and the objects of WebSockets.

use media_service::api::Operation;
use media_service::http::routes::{Route, resolve};
use media_service::http::{Decoder, Event, HttpLimits, Request};
use media_service::ws::{AgentMessage, Control, ServerMessage, ViewerMessage};
use serde_json::Value;

use super::world::{HOST, UPGRADE};

/// Bytes of a refusal's body at most: what a client sent is repeated in part only.
const REFUSAL_BYTES: usize = 2 << 10;

/// A request without its framing: `METHOD target`, a line's end, the body. The method `WS` stands
/// for an object of a viewer or an agent.
pub fn json_bodies(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n');
    let (line, body) = data.split_at(end.unwrap_or(data.len()));
    let body = body.get(1..).unwrap_or_default();
    if line == b"WS" {
        return socket_object(body);
    }
    let Some(request) = request(line) else { return };
    let target = resolve(&request.path);
    match Operation::parse(&request, body) {
        Ok(operation) => {
            assert!(target.route != Route::Unmatched || request.path == "*");
            // Whatever it holds was in the request, but for the page's files; `Debug` escapes, and
            // names fields.
            if !matches!(operation, Operation::File(_)) {
                let written = format!("{operation:?}").len();
                assert!(
                    written <= 12 * (line.len() + body.len()) + 1_000,
                    "{written} B"
                );
            }
        }
        Err(refused) => {
            let response = refused.response("the-request");
            assert!((400..600).contains(&response.status()), "{refused}");
            assert!(response.body_len() <= REFUSAL_BYTES, "{refused}");
            let said: Value = serde_json::from_slice(response.body()).expect("JSON");
            let sentence = said["error"].as_str().expect("a sentence");
            assert!(!sentence.is_empty());
            assert_eq!(said["code"], refused.code());
            assert_eq!(said["requestId"], "the-request");
        }
    }
}

/// The request that this line begins, with every header that some operation needs.
fn request(line: &[u8]) -> Option<Request> {
    let mut head = line.to_vec();
    head.extend(b" HTTP/1.1\r\n");
    head.extend(format!("Host: {HOST}\r\n{UPGRADE}").bytes());
    head.extend(b"Content-Type: video/h264\r\nX-User-Id: ann\r\n\r\n");
    match Decoder::new(HttpLimits::default()).decode(&head) {
        Ok((_, Event::Head(request))) => Some(request),
        Ok(_) | Err(_) => None,
    }
}

fn socket_object(body: &[u8]) {
    let Ok(text) = std::str::from_utf8(body) else {
        return;
    };
    let _: Result<AgentMessage, _> = serde_json::from_str(text);
    if let Ok(ViewerMessage::Control(control)) = serde_json::from_str(text) {
        passed_on(&control);
    }
}

/// What the agent is told of a control message is what the viewer said.
fn passed_on(control: &Control) {
    let Control { seq, action } = control;
    if action.fault().is_some() {
        return;
    }
    let told = ServerMessage::Control {
        seq: *seq,
        user_id: "ann",
        action,
    };
    let told: Control = serde_json::from_str(&told.text()).expect("what is told can be read");
    assert_eq!(told, *control);
}
