//! What is wrong with JSON that a client sent, in words of JSON.
//!
//! serde's sentences speak of this program's types, and of lines and columns of a text that a
//! client's own program wrote on one line.

use std::fmt;

/// Characters of what a client sent that are repeated to it.
const SHOWN_CHARS: usize = 64;

/// Why a text is not what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonFault {
    /// It is no JSON, or a member is missing or of another type.
    Shape(String),
    /// Everything is there and of its type; a value is refused.
    Value(String),
}

impl From<serde_json::Error> for JsonFault {
    fn from(fault: serde_json::Error) -> Self {
        let text = fault.to_string();
        let place = format!(" at line {} column {}", fault.line(), fault.column());
        let text = text.strip_suffix(&place).unwrap_or(&text);
        if !fault.is_data() {
            return Self::Shape(format!("it is not JSON: {text}"));
        }
        // So begins what serde says by itself (`serde::de::Error`); the rest is said by our types.
        if let Some(member) = text.strip_prefix("missing field ") {
            return Self::Shape(format!("{} is missing", member.replace('`', "")));
        }
        if let Some(member) = text.strip_prefix("duplicate field ") {
            return Self::Shape(format!("{} is there twice", member.replace('`', "")));
        }
        if let Some((name, known)) = text
            .strip_prefix("unknown variant `")
            .and_then(|rest| rest.rsplit_once("`, expected "))
        {
            let known = known.trim_start_matches("one of ").replace('`', "");
            let known = known.replace(" or ", ", ");
            return Self::Value(format!("{} is none of {known}", shown(name)));
        }
        let types = text
            .strip_prefix("invalid type: ")
            .or_else(|| text.strip_prefix("invalid value: "))
            .and_then(|rest| rest.rsplit_once(", expected "));
        match types {
            Some((found, wanted)) => {
                let (found, wanted) = (shown(found_in_json(found)), wanted_in_json(wanted));
                Self::Shape(format!("{found} stands where {wanted} belongs"))
            }
            None => Self::Value(text.to_owned()),
        }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonFault::Shape(fault) | JsonFault::Value(fault) => f.write_str(fault),
        }
    }
}

fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// What was found, as `serde::de::Unexpected` shows it.
fn found_in_json(found: &str) -> &str {
    match found {
        "map" => "an object",
        "sequence" => "a list",
        found => found.trim_start_matches("floating point "),
    }
}

/// What was wanted, as the visitors of serde and of its derived types say it.
fn wanted_in_json(wanted: &str) -> &str {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        named if named.starts_with("struct ") || named.contains("enum ") => "an object",
        wanted => wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::accounts::Credentials;
    use crate::ids::DeviceId;
    use crate::ws::{AgentMessage, ViewerMessage};

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Body {
        title: String,
        device: Option<DeviceId>,
        #[serde(default)]
        list: Vec<u8>,
    }

    #[track_caller]
    fn fault<T: DeserializeOwned>(text: &str) -> JsonFault {
        match serde_json::from_str::<T>(text) {
            Ok(_) => panic!("{text} is taken"),
            Err(fault) => fault.into(),
        }
    }

    #[test]
    fn what_is_missing_or_of_another_type_is_said_in_words_of_json() {
        let shape = |sentence: &str| JsonFault::Shape(sentence.to_owned());
        for (text, sentence) in [
            ("{}", "title is missing"),
            (r#"{"title":"a","title":"b"}"#, "title is there twice"),
            (
                r#"{"title":7}"#,
                "integer `7` stands where a string belongs",
            ),
            (r#"{"title":1.5}"#, "`1.5` stands where a string belongs"),
            (r#"{"title":{}}"#, "an object stands where a string belongs"),
            (r#"{"title":null}"#, "null stands where a string belongs"),
            (
                r#"{"title":"a","list":{}}"#,
                "an object stands where a list belongs",
            ),
            (
                r#"{"title":"a","list":[-1]}"#,
                "integer `-1` stands where a whole number from 0 on belongs",
            ),
            (
                r#"{"title":"a","device":7}"#,
                "integer `7` stands where a device id as a string belongs",
            ),
            ("[7", "integer `7` stands where a string belongs"),
            ("{", "it is not JSON: EOF while parsing an object"),
            ("{\n\"title\":nul}", "it is not JSON: expected ident"),
        ] {
            assert_eq!(fault::<Body>(text), shape(sentence), "{text}");
        }
        let agent = r#"{"type":"hello","video":7}"#;
        assert_eq!(
            fault::<AgentMessage>(agent),
            shape("integer `7` stands where an object belongs")
        );
        for text in [
            "7",
            "[]",
            "{}",
            r#"{"type":"control","seq":"x","action":"back"}"#,
        ] {
            let sentence = fault::<ViewerMessage>(text).to_string();
            for word in ["enum", "struct", "u64", "Viewer", "line", "map"] {
                assert!(!sentence.contains(word), "{text}: {sentence}");
            }
        }
    }

    #[test]
    fn a_value_that_is_refused_is_told_from_a_shape_that_is_wrong() {
        let value = |sentence: &str| JsonFault::Value(sentence.to_owned());
        assert_eq!(
            fault::<Body>(r#"{"title":"a","device":"a b"}"#),
            value("a device id has the character ' ': only A–Z a–z 0–9 . _ : @ - are allowed")
        );
        assert_eq!(
            fault::<Credentials>(r#"{"username":"ada","password":"short"}"#),
            value("password has 5 bytes: 8 to 1024 are taken")
        );
        assert_eq!(
            fault::<ViewerMessage>(r#"{"type":"shout"}"#),
            value("shout is none of answer, ice-candidate, offer, control")
        );
        // However much came: little of it goes back.
        let long = format!(r#"{{"type":"{}"}}"#, "é".repeat(100_000));
        assert!(fault::<ViewerMessage>(&long).to_string().len() < 300);
    }
}
