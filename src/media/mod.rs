//! Devices and what is published to them, above the media plane of `rtc`.

mod demo;
mod device;
mod pace;
mod publisher;

pub use demo::{DEMO_DEVICE, DEMO_ROOM, DEMO_TITLE, Demo};
pub use device::{Controls, Device, Holder, Timeline};
pub use pace::Pace;
pub use publisher::Publisher;

/// One of a device's two media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// H.264 or VP8.
    Video,
    /// Opus.
    Audio,
}

impl Track {
    /// For sentences: `the video`, `the audio`.
    pub const fn named(self) -> &'static str {
        match self {
            Track::Video => "the video",
            Track::Audio => "the audio",
        }
    }
}
