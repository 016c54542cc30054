//! The JSON objects of the viewers' and agents' WebSockets and of the data channel.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::api::StatsView;
use crate::config::IceServer;
use crate::limits::CONTROL_TEXT_BYTES;

/// What a viewer sends.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ViewerMessage {
    /// Answers the open offer.
    Answer {
        /// The answer.
        sdp: String,
    },
    /// Trickles a candidate (RFC 8838); empty: there are no more.
    IceCandidate {
        /// RFC 8839 §5.1.
        candidate: String,
    },
    /// Asks for a fresh offer.
    Offer {
        /// With new ICE credentials.
        #[serde(default, rename = "iceRestart")]
        ice_restart: bool,
    },
    /// Does something on the device.
    Control(Control),
}

/// One input event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// Comes back in the acknowledgement.
    pub seq: u64,
    /// What to do.
    #[serde(flatten)]
    pub action: Action,
}

/// What a viewer can do on a device. Coordinates are fractions of the picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Action {
    /// A finger or a mouse button.
    Touch {
        /// What it does.
        phase: TouchPhase,
        /// From the left.
        x: f64,
        /// From the top.
        y: f64,
        /// Which finger.
        #[serde(default)]
        pointer: u32,
    },
    /// A key.
    Key {
        /// UI Events `code`.
        code: String,
        /// What it does.
        phase: KeyPhase,
    },
    /// Text to type.
    Text {
        /// The text.
        text: String,
    },
    /// A wheel.
    Scroll {
        /// From the left.
        x: f64,
        /// From the top.
        y: f64,
        /// To the right.
        dx: f64,
        /// Downwards.
        dy: f64,
    },
    /// Android's back.
    Back,
    /// Android's home.
    Home,
    /// Turn the screen.
    Rotate,
    /// Set the clipboard.
    Clipboard {
        /// Its text.
        text: String,
    },
}

/// Phase of a touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum TouchPhase {
    Down,
    Move,
    Up,
    Cancel,
}

/// Phase of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum KeyPhase {
    Down,
    Up,
}

impl Action {
    /// What is wrong with it, if anything.
    pub fn fault(&self) -> Option<&'static str> {
        let inside = |v: f64| (0.0..=1.0).contains(&v);
        match self {
            Action::Touch { x, y, .. } if !inside(*x) || !inside(*y) => {
                Some("x and y must lie in 0..1")
            }
            Action::Scroll { x, y, dx, dy }
                if !inside(*x) || !inside(*y) || !dx.is_finite() || !dy.is_finite() =>
            {
                Some("x and y must lie in 0..1, dx and dy must be finite")
            }
            Action::Key { code, .. } if code.is_empty() || code.len() > KEY_CODE_BYTES => {
                Some("code must have 1 to 64 bytes")
            }
            Action::Text { text } | Action::Clipboard { text }
                if text.len() > CONTROL_TEXT_BYTES =>
            {
                Some("text is too long")
            }
            Action::Touch { .. }
            | Action::Scroll { .. }
            | Action::Key { .. }
            | Action::Text { .. }
            | Action::Clipboard { .. }
            | Action::Back
            | Action::Home
            | Action::Rotate => None,
        }
    }
}

/// The longest UI Events `code` has 20 bytes.
const KEY_CODE_BYTES: usize = 64;

/// What an agent sends as text.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum AgentMessage {
    /// The first message.
    Hello {
        /// Present: the agent sends video.
        #[serde(default)]
        video: Option<CodecName>,
        /// Present: the agent sends audio.
        #[serde(default)]
        audio: Option<CodecName>,
    },
    /// A control message was carried out.
    Ack {
        /// As in the control message.
        seq: u64,
    },
}

/// `{"codec": …}`
#[derive(Debug, Deserialize)]
pub struct CodecName {
    /// `h264`, `vp8`, `opus`.
    pub codec: String,
}

/// What the server sends, to viewers and agents.
#[derive(Debug, Serialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum ServerMessage<'a> {
    /// To a viewer: answer this.
    Offer {
        /// The session that the socket belongs to.
        session_id: &'a str,
        /// The offer.
        sdp: &'a str,
        /// For the browser's `RTCPeerConnection`.
        ice_servers: &'a [IceServer],
    },
    /// To a viewer: the agent has done it.
    Ack {
        /// As in the viewer's message.
        seq: u64,
    },
    /// To a viewer, each 5 s.
    Stats(&'a StatsView),
    /// Something that was sent cannot be done; the socket goes on.
    Error {
        /// For programs.
        code: &'a str,
        /// For people.
        error: Cow<'a, str>,
        /// Of the message that it answers, where that had one.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
    },
    /// The socket closes next.
    Closing {
        /// Why.
        reason: &'a str,
    },
    /// To an agent: do this.
    Control {
        /// To be acknowledged.
        seq: u64,
        /// Who wants it.
        user_id: &'a str,
        /// What to do.
        #[serde(flatten)]
        action: &'a Action,
    },
    /// To an agent: a keyframe is wanted now.
    Keyframe,
}

impl ServerMessage<'_> {
    /// The object as text.
    pub fn text(&self) -> String {
        // Strings, numbers and structs of them: nothing that JSON cannot carry.
        serde_json::to_string(self).expect("plain data serialises")
    }

    /// The `type` label of `media_websocket_messages_total`.
    pub fn kind(&self) -> crate::metrics::MessageKind {
        use crate::metrics::MessageKind as Kind;
        match self {
            ServerMessage::Offer { .. } => Kind::Offer,
            ServerMessage::Ack { .. } => Kind::Ack,
            ServerMessage::Stats(_) => Kind::Stats,
            ServerMessage::Error { .. } => Kind::Error,
            ServerMessage::Closing { .. } => Kind::Closing,
            ServerMessage::Control { .. } => Kind::Control,
            ServerMessage::Keyframe => Kind::Keyframe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_reads_and_writes_as_documented() {
        let text = r#"{"type":"control","seq":7,"action":"touch","phase":"down","x":0.5,"y":1,"pointer":2}"#;
        let ViewerMessage::Control(control) = serde_json::from_str(text).unwrap() else {
            panic!()
        };
        let action = Action::Touch {
            phase: TouchPhase::Down,
            x: 0.5,
            y: 1.0,
            pointer: 2,
        };
        assert_eq!(
            control,
            Control {
                seq: 7,
                action: action.clone()
            }
        );
        let out = ServerMessage::Control {
            seq: 9,
            user_id: "u",
            action: &action,
        }
        .text();
        assert_eq!(
            out,
            r#"{"type":"control","seq":9,"userId":"u","action":"touch","phase":"down","x":0.5,"y":1.0,"pointer":2}"#
        );
        for simple in ["back", "home", "rotate"] {
            let text = format!(r#"{{"type":"control","seq":1,"action":"{simple}"}}"#);
            assert!(
                serde_json::from_str::<ViewerMessage>(&text).is_ok(),
                "{simple}"
            );
        }
    }

    #[test]
    fn hostile_coordinates_are_named() {
        let scroll = Action::Scroll {
            x: 0.1,
            y: 0.1,
            dx: f64::INFINITY,
            dy: 0.0,
        };
        assert!(scroll.fault().is_some());
        let touch = Action::Touch {
            phase: TouchPhase::Up,
            x: f64::NAN,
            y: 0.0,
            pointer: 0,
        };
        assert!(touch.fault().is_some());
    }
}
