//! What members say in a room.

use media_service::rooms::Inbound;
use serde::Deserialize;
use serde_json::Value;

use super::frames::server_frames;
use super::world::World;

/// What counts of a message; whatever else it has is not looked at, not even whether it is text.
#[derive(Deserialize)]
struct Sent {
    #[serde(rename = "type")]
    kind: String,
    content: Option<String>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    id: Value,
}

/// A message's text. What is understood goes to everybody as it was meant; what is not comes back
/// to its sender alone as an error, and the socket goes on.
pub fn room_message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = Inbound::parse(text);
    let id = Inbound::id_of(text);
    let mut world = World::new();
    // The anchor, who may also send `system`.
    let (ann, bob) = (world.member("ann"), world.member("bob"));
    world.settle();
    world.send(ann, &text_frame(data));
    world.settle();
    let (ann_hears, bob_hears) = (said(world.output(ann)), said(world.output(bob)));
    match parsed {
        Ok(_) => {
            let sent: Sent = serde_json::from_str(text).expect("it was read before");
            let [heard] = &bob_hears[..] else {
                panic!("one message for everybody: {bob_hears:?}");
            };
            assert_eq!(heard["type"], sent.kind.as_str());
            assert_eq!(heard["user_id"], "ann");
            assert_eq!(heard["seq"], 1);
            let content = sent.content.unwrap_or_default();
            assert_eq!(heard["content"].as_str().unwrap_or_default(), content);
            assert_eq!(heard["data"], sent.data);
            assert!(ann_hears.contains(heard), "the sender hears it too");
            let acked = ann_hears.iter().any(|heard| heard["type"] == "ack");
            assert_eq!(acked, !sent.id.is_null(), "{ann_hears:?}");
        }
        Err(_) => {
            assert!(bob_hears.is_empty(), "{bob_hears:?}");
            let [error] = &ann_hears[..] else {
                panic!("one error for the sender: {ann_hears:?}");
            };
            assert_eq!(error["type"], "error");
            assert_eq!(
                error["id"].is_null(),
                id.is_none_or(|id| id.get() == "null")
            );
        }
    }
    world.finish();
}

/// The objects of a room's members, presence apart: it follows no message.
fn said(output: &[u8]) -> Vec<Value> {
    let frames = server_frames(output, true);
    let texts = frames.iter().filter(|frame| frame.opcode == 1);
    let objects = texts.map(|frame| serde_json::from_slice::<Value>(frame.payload));
    objects
        .map(|object| object.expect("objects are JSON"))
        .filter(|object| object["type"] != "presence")
        .collect()
}

fn text_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 127];
    frame.extend((payload.len() as u64).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}
