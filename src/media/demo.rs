//! The bundled clip, for a first look without any device.

use std::time::{Duration, Instant};

use rtc::{AccessUnit, Container, Ingest};

use crate::ids::DeviceId;

/// The name that the clip is published under, and that the anchor of its room has.
pub const DEMO_DEVICE: &str = "demo";
/// The id of its room, so that every start finds the same one.
pub const DEMO_ROOM: u64 = 1;
/// What the room is called.
pub const DEMO_TITLE: &str = "Demo";

const VIDEO: &[u8] = include_bytes!("../../assets/demo.h264");
const AUDIO: &[u8] = include_bytes!("../../assets/demo.ogg");
/// `assets/make.sh` encodes the clip at this rate.
const FPS: u32 = 30;

/// The clip, playing in a loop.
#[derive(Debug)]
pub struct Demo {
    device: DeviceId,
    video: Loop,
    audio: Loop,
}

/// Access units, each of which plays for its duration.
#[derive(Debug)]
struct Loop {
    units: Vec<(AccessUnit, Duration)>,
    next: usize,
    due: Instant,
}

impl Demo {
    /// The clip from its beginning.
    ///
    /// # Panics
    /// If the embedded clip is broken: a fault of the build, which a test would have shown.
    pub fn new(now: Instant, device: DeviceId) -> Self {
        let picture = Duration::from_secs(1) / FPS;
        let video = read(now, Container::AnnexB, VIDEO);
        let audio = read(now, Container::Ogg, AUDIO);
        // The sound ends with the picture, so that both stay together round after round.
        let round = picture * video.len() as u32;
        let mut played = Duration::ZERO;
        let audio = audio
            .into_iter()
            .map(|unit| {
                let duration = unit.duration.unwrap_or_default();
                (unit, duration)
            })
            .take_while(|(_, duration)| {
                played += *duration;
                played <= round
            });
        Self {
            device,
            audio: Loop::new(now, audio.collect()),
            video: Loop::new(now, video.into_iter().map(|unit| (unit, picture)).collect()),
        }
    }

    /// Its name.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The next access unit that is due, and how long it plays.
    pub fn next(&mut self, now: Instant) -> Option<(&AccessUnit, Duration)> {
        let track = if self.video.due <= self.audio.due {
            &mut self.video
        } else {
            &mut self.audio
        };
        track.take(now)
    }

    /// When the next one is due.
    pub fn wakes_at(&self) -> Instant {
        self.video.due.min(self.audio.due)
    }
}

impl Loop {
    fn new(now: Instant, units: Vec<(AccessUnit, Duration)>) -> Self {
        Self {
            units,
            next: 0,
            due: now,
        }
    }

    fn take(&mut self, now: Instant) -> Option<(&AccessUnit, Duration)> {
        if self.due > now {
            return None;
        }
        let (unit, duration) = &self.units[self.next];
        self.next = (self.next + 1) % self.units.len();
        self.due += *duration;
        Some((unit, *duration))
    }
}

fn read(now: Instant, container: Container, bytes: &[u8]) -> Vec<AccessUnit> {
    let (mut ingest, mut units) = (Ingest::new(container), Vec::new());
    ingest
        .push(now, bytes, &mut units)
        .expect("the embedded clip is well-formed");
    ingest
        .finish(&mut units)
        .expect("the embedded clip is whole");
    assert!(!units.is_empty(), "the embedded clip has something in it");
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_plays_at_its_rate_and_starts_over() {
        let start = Instant::now();
        let mut demo = Demo::new(start, DeviceId::try_from(DEMO_DEVICE).unwrap());
        let (mut video, mut audio, mut now) = (0, 0, start);
        while now < start + Duration::from_secs(25) {
            while let Some((unit, _)) = demo.next(now) {
                let count = if unit.codec.is_video() {
                    &mut video
                } else {
                    &mut audio
                };
                *count += 1;
            }
            now += Duration::from_millis(5);
        }
        assert!((749..=751).contains(&video), "{video} pictures in 25 s");
        assert!((1_240..=1_260).contains(&audio), "{audio} packets in 25 s");
    }
}
