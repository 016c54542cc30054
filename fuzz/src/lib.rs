//! The bodies of the fuzz targets: what must hold for whatever bytes come in.
//!
//! Each takes the bytes of one input and panics where a property does not hold. libFuzzer runs them
//! (`fuzz_targets/`), and the stable test suite runs the very same code over the committed corpus
//! (`tests/fuzz_corpus.rs` of the server).

mod api;
mod bitstreams;
mod config;
mod connection;
mod escapes;
mod frames;
mod http;
mod media;
mod messages;
mod pieces;
mod responses;
mod tokens;
mod world;

pub use api::json_bodies;
pub use bitstreams::{annexb, ivf, ogg};
pub use config::config;
pub use connection::connection;
pub use frames::ws_frames;
pub use http::http;
pub use media::{candidate, datagram, sdp_answer};
pub use messages::room_message;
pub use tokens::jwt;

/// A target: what libFuzzer calls with each input.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 13] = [
    ("annexb", annexb),
    ("candidate", candidate),
    ("config", config),
    ("connection", connection),
    ("datagram", datagram),
    ("http", http),
    ("ivf", ivf),
    ("json_bodies", json_bodies),
    ("jwt", jwt),
    ("ogg", ogg),
    ("room_message", room_message),
    ("sdp_answer", sdp_answer),
    ("ws_frames", ws_frames),
];
