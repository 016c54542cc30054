//! The bundled clip, for a first look without any device.

use std::time::{Duration, Instant};

use rtc::{AccessUnit, Container, Ingest};

use crate::ids::DeviceId;

/// The name that the clip is published under.
pub const DEMO_DEVICE: &str = "demo";

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

/// Access units with the time at which each is due within a round.
#[derive(Debug)]
struct Loop {
    units: Vec<(Duration, AccessUnit)>,
    round: Duration,
    start: Instant,
    next: usize,
}

impl Demo {
    /// The clip from its beginning.
    ///
    /// # Panics
    /// If the embedded clip is broken: a fault of the build, which a test would have shown.
    pub fn new(now: Instant, device: DeviceId) -> Self {
        let video: Vec<_> = read(now, Container::AnnexB, VIDEO);
        let audio = read(now, Container::Ogg, AUDIO);
        let round = Duration::from_secs(1) * video.len() as u32 / FPS;
        let at = |i: usize| Duration::from_secs(1) * i as u32 / FPS;
        let video = video
            .into_iter()
            .enumerate()
            .map(|(i, unit)| (at(i), unit))
            .collect();
        let audio = audio
            .into_iter()
            .map(|unit| (unit.pts.unwrap_or_default(), unit))
            .filter(|(at, _)| *at < round)
            .collect();
        Self {
            device,
            video: Loop {
                units: video,
                round,
                start: now,
                next: 0,
            },
            audio: Loop {
                units: audio,
                round,
                start: now,
                next: 0,
            },
        }
    }

    /// Its name.
    pub fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The next access unit that is due, with its time.
    pub fn next(&mut self, now: Instant) -> Option<(Instant, &AccessUnit)> {
        let track = if self.video.due() <= self.audio.due() {
            &mut self.video
        } else {
            &mut self.audio
        };
        track.take(now)
    }

    /// When the next one is due.
    pub fn wakes_at(&self) -> Instant {
        self.video.due().min(self.audio.due())
    }
}

impl Loop {
    fn due(&self) -> Instant {
        self.start + self.units[self.next].0
    }

    fn take(&mut self, now: Instant) -> Option<(Instant, &AccessUnit)> {
        let due = self.due();
        if due > now {
            return None;
        }
        let taken = self.next;
        self.next += 1;
        if self.next == self.units.len() {
            self.next = 0;
            self.start += self.round;
        }
        Some((due, &self.units[taken].1))
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
        let mut last = start;
        while now < start + Duration::from_secs(25) {
            while let Some((capture, unit)) = demo.next(now) {
                assert!(capture <= now);
                if unit.codec.is_video() {
                    video += 1;
                    assert!(video == 1 || capture - last < Duration::from_millis(34));
                    last = capture;
                } else {
                    audio += 1;
                }
            }
            now += Duration::from_millis(5);
        }
        assert!((749..=751).contains(&video), "{video} pictures in 25 s");
        assert!((1_240..=1_260).contains(&audio), "{audio} packets in 25 s");
    }
}
