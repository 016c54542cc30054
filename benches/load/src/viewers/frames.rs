//! How long frames take from the publisher to the viewers.
//!
//! Media is encrypted, so a viewer cannot tell which frame it sees; but a server that stamps frames as they arrive gives them RTP
//! timestamps that are as far apart as the moments at which they were sent. Of each viewer the frame that was fastest fixes
//! where its timestamps lie in time, and each frame is then the one that was sent nearest to its timestamp. That holds as long
//! as the fastest frame takes less than half of the time between two.

use std::time::Duration;

use crate::report::Latencies;

/// Ticks of video in a second (RFC 6184 §8.2.1).
const CLOCK_RATE: i64 = 90_000;
/// Frames among which a packet's is looked for: packets of older ones come no more, or as retransmissions.
const OPEN_FRAMES: usize = 8;

/// A frame at the publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Just before it was written, since the Unix epoch.
    pub at: Duration,
    /// Whether it is an IDR picture.
    pub keyframe: bool,
}

/// A frame at a viewer.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    timestamp: u32,
    first: Duration,
    last: Duration,
    /// Whether its last packet came.
    whole: bool,
}

/// When the frames of one viewer came.
#[derive(Clone, Debug, Default)]
pub struct FrameLog {
    frames: Vec<Arrived>,
}

impl FrameLog {
    /// A packet of video came, at this time since the Unix epoch.
    pub fn packet(&mut self, at: Duration, timestamp: u32, marker: bool) {
        let open = self.frames.iter_mut().rev().take(OPEN_FRAMES);
        let mut of_frame = open.filter(|frame| frame.timestamp == timestamp);
        match of_frame.next() {
            Some(frame) => {
                frame.last = frame.last.max(at);
                frame.whole |= marker;
            }
            None => self.frames.push(Arrived {
                timestamp,
                first: at,
                last: at,
                whole: marker,
            }),
        }
    }
}

/// From a frame's sending to its packets' arrival.
#[derive(Clone, Debug, Default)]
pub struct Delays {
    /// To the first packet.
    pub first: Latencies,
    /// To the last packet.
    pub last: Latencies,
}

/// Delays of all viewers and frames.
#[derive(Clone, Debug, Default)]
pub struct FrameDelays {
    /// Of frames that refer to others.
    pub between: Delays,
    /// Of IDR pictures.
    pub keyframes: Delays,
    /// Frames that are not counted since the nearest one at the publisher was sent after they came, or not at all.
    pub unmatched: u64,
}

impl FrameDelays {
    /// Takes a viewer's frames. The last one may still be on its way and does not count, nor does what began before it was
    /// looked at.
    pub fn add(&mut self, sent: &[Sent], log: &FrameLog) {
        let inner = log.frames.len().saturating_sub(1);
        let frames = log.frames.get(1..inner).unwrap_or_default();
        let Some(begin) = frames.first().map(|frame| frame.timestamp) else {
            return;
        };
        let media_time = |frame: &Arrived| {
            let ticks = i64::from(frame.timestamp.wrapping_sub(begin) as i32);
            ticks * 1_000_000_000 / CLOCK_RATE
        };
        // Media time 0 on the publisher's clock, as the fastest frame shows it.
        let lags = frames
            .iter()
            .map(|frame| nanos(frame.first) - media_time(frame));
        let zero = lags.min().unwrap_or_default();
        for frame in frames.iter().filter(|frame| frame.whole) {
            let shown = zero + media_time(frame);
            match nearest(sent, shown).filter(|sent| sent.at <= frame.first) {
                Some(sent) => self.record(sent, frame),
                None => self.unmatched += 1,
            }
        }
    }

    fn record(&mut self, sent: &Sent, frame: &Arrived) {
        let delays = if sent.keyframe {
            &mut self.keyframes
        } else {
            &mut self.between
        };
        let since = |at: Duration| (at.saturating_sub(sent.at)).as_nanos() as u64;
        delays.first.record(since(frame.first));
        delays.last.record(since(frame.last));
    }
}

/// The frame that was sent nearest to a time in ns; they are in order.
fn nearest(sent: &[Sent], at: i64) -> Option<&Sent> {
    let after = sent.partition_point(|sent| nanos(sent.at) < at);
    let near = sent.get(after.saturating_sub(1)..sent.len().min(after + 1))?;
    near.iter().min_by_key(|sent| nanos(sent.at).abs_diff(at))
}

fn nanos(at: Duration) -> i64 {
    at.as_nanos() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Duration = Duration::from_secs(1_800_000_000);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Frame `n` sent after 33 n + jitter ms, and stamped 1 ms later with an offset that the timestamps wrap behind.
    fn played(delay: impl Fn(u64) -> Duration) -> (Vec<Sent>, FrameLog) {
        let (mut sent, mut log) = (Vec::new(), FrameLog::default());
        for n in 0..200 {
            let at = EPOCH + ms(33 * n + n * 7 % 5);
            let keyframe = n % 50 == 0;
            sent.push(Sent { at, keyframe });
            let ticks = (at - EPOCH).as_nanos() as u64 * 9 / 100_000;
            let timestamp = (u32::MAX - 3000).wrapping_add(ticks as u32);
            let last = at + delay(n);
            log.packet(at + ms(1), timestamp, false);
            log.packet(last, timestamp, true);
        }
        (sent, log)
    }

    #[test]
    fn each_frame_counts_from_its_own_sending() {
        let (sent, log) = played(|n| if n % 50 == 0 { ms(50) } else { ms(2) });
        let mut delays = FrameDelays::default();
        delays.add(&sent, &log);
        let us = |latencies: &Latencies| latencies.quantile_us(1.0).unwrap().round() as u64;
        assert_eq!(delays.unmatched, 0);
        assert_eq!(
            (delays.keyframes.last.count(), delays.between.last.count()),
            (3, 195)
        );
        let near = |us: u64, expected: u64| us.abs_diff(expected) <= expected / 500;
        assert!(near(us(&delays.keyframes.last), 50_000));
        assert!(near(us(&delays.between.last), 2_000));
        assert!(near(us(&delays.between.first), 1_000));
    }

    #[test]
    fn a_stall_counts_in_every_frame_that_waited() {
        // Frames 100 to 104 come together, when the fifth was sent.
        let stalled = |n: u64| {
            if (100..105).contains(&n) {
                ms(2 + 33 * (105 - n))
            } else {
                ms(2)
            }
        };
        let (sent, log) = played(stalled);
        let mut delays = FrameDelays::default();
        delays.add(&sent, &log);
        let longest = delays.keyframes.last.quantile_us(1.0).unwrap();
        assert!((166_000.0..168_000.0).contains(&longest), "{longest}");
        let of_others = delays.between.last.quantile_us(1.0).unwrap();
        assert!((133_000.0..135_000.0).contains(&of_others), "{of_others}");
    }

    #[test]
    fn a_frame_without_its_last_packet_does_not_count() {
        let (sent, mut log) = played(|_| ms(2));
        log.frames[10].whole = false;
        let mut delays = FrameDelays::default();
        delays.add(&sent, &log);
        assert_eq!(
            delays.between.last.count() + delays.keyframes.last.count(),
            197
        );
    }
}
