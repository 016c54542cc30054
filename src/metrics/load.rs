//! Where a shard's time goes.

use std::time::Duration;

use super::encode::Reading;
use super::families as f;
use super::histogram::{Batch, Histogram, Run, Work};
use super::merge::{Merge, cells};
use super::text::Text;
use super::{ByLabel, Direction, Label, Snapshot, Stage};

cells! {
    /// What a shard's driver sees of its turns.
    ///
    /// A turn runs from the moment at which the kernel has said what is ready to the end of its
    /// flush. Waiting, which includes asking the kernel what is ready, belongs to no turn.
    pub struct LoadCells {
        /// How long turns took; together, the time that the shard was busy.
        pub turns: Histogram<Work>,
        /// The longest turn.
        pub longest_turn: Peak<Duration>,
        /// Where that time went, in nanoseconds.
        stages: ByLabel<Stage>,
        /// CPU time of the shard's thread at its last tick, waiting included.
        pub cpu: Duration,
        /// Descriptors that were ready in a turn. What was left of an earlier turn, the tick and
        /// deadlines are none.
        pub events: Histogram<Batch>,
        /// Datagrams that one system call has brought.
        pub received: Histogram<Batch>,
        /// Datagrams that one system call has taken (UDP_SEGMENT): the length of a run.
        pub runs: Histogram<Run>,
        /// Members that a room's sweep had something for.
        pub swept: Histogram<Batch>,
        /// Messages that the last look at the mailbox has left in it.
        pub mailbox: u64,
        /// Messages that a look at the mailbox has found in it.
        pub deepest_mailbox: Peak<u64>,
    }
}

impl LoadCells {
    /// A part of a turn has taken so long.
    pub fn stage(&mut self, stage: Stage, took: Duration) {
        self.stages.add(stage, took.as_nanos() as u64);
    }

    /// Every part of the turns with the time that it took.
    pub fn stages(&self) -> impl Iterator<Item = (Stage, Duration)> + '_ {
        let stages = self.stages.iter();
        stages.map(|(stage, nanos)| (stage, Duration::from_nanos(nanos)))
    }

    /// Forgets what is older than the last two calls of this, of what is told by its peak alone.
    pub fn rotate_peaks(&mut self) {
        self.longest_turn.rotate();
        self.deepest_mailbox.rotate();
    }
}

/// The largest value of late. Whoever reads it takes nothing from another reader.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peak<T> {
    current: T,
    previous: T,
}

impl<T: Copy + Default + Ord> Peak<T> {
    /// One more value.
    pub fn observe(&mut self, value: T) {
        self.current = self.current.max(value);
    }

    /// The largest of the values since the last rotation but one.
    pub fn get(&self) -> T {
        self.current.max(self.previous)
    }

    fn rotate(&mut self) {
        self.previous = std::mem::take(&mut self.current);
    }
}

impl<T: Copy + Ord> Merge for Peak<T> {
    fn merge(&mut self, other: &Self) {
        self.current = self.current.max(other.current);
        self.previous = self.previous.max(other.previous);
    }
}

/// A shard's label, and the shard.
pub(super) type Known<'a> = ([String; 1], &'a Snapshot);

pub(super) fn write(text: &mut Text, shards: &[Known<'_>]) -> Result<(), prometheus::Error> {
    let figures: [Reading<LoadCells, f64>; 5] = [
        (&f::SHARD_BUSY, |load| load.turns.sum()),
        (&f::SHARD_CPU, |load| load.cpu.as_secs_f64()),
        (&f::SHARD_LONGEST_TURN, |load| {
            load.longest_turn.get().as_secs_f64()
        }),
        (&f::SHARD_MAILBOX, |load| load.mailbox as f64),
        (&f::SHARD_MAILBOX_DEEPEST, |load| {
            load.deepest_mailbox.get() as f64
        }),
    ];
    for (family, figure) in figures {
        text.figures(family, ["shard"], each(shards, |shard| figure(load(shard))))?;
    }
    let stages = shards.iter().flat_map(|(index, shard)| {
        let stages = load(shard).stages();
        stages.map(move |(stage, time)| ([&*index[0], stage.as_str()], time.as_secs_f64()))
    });
    text.figures(&f::SHARD_STAGES, ["shard", "stage"], stages)?;
    let hand_overs = shards.iter().flat_map(|(index, shard)| {
        let metrics = &shard.metrics;
        let counts = [
            (Direction::In, metrics.connections_adopted),
            (Direction::Out, metrics.connections_handed_over),
        ];
        counts.map(|(direction, count)| ([&*index[0], direction.as_str()], count))
    });
    text.counts(&f::SHARD_HAND_OVERS, ["shard", "direction"], hand_overs)?;
    let turns = each(shards, |shard| &load(shard).turns);
    text.histograms(&f::SHARD_TURN, ["shard"], turns)?;
    let runs = each(shards, |shard| &load(shard).runs);
    text.histograms(&f::SHARD_SEND_RUN, ["shard"], runs)?;
    let events = each(shards, |shard| &load(shard).events);
    text.histograms(&f::SHARD_TURN_EVENTS, ["shard"], events)?;
    let received = each(shards, |shard| &load(shard).received);
    text.histograms(&f::SHARD_RECEIVED_BATCH, ["shard"], received)?;
    let swept = each(shards, |shard| &load(shard).swept);
    text.histograms(&f::SHARD_SWEPT_MEMBERS, ["shard"], swept)
}

fn load(shard: &Snapshot) -> &LoadCells {
    &shard.metrics.load
}

/// A figure of each shard, with its label.
pub(super) fn each<'a, T>(
    shards: &'a [Known<'a>],
    figure: impl Fn(&'a Snapshot) -> T,
) -> impl Iterator<Item = ([&'a str; 1], T)> {
    let labelled = shards.iter();
    labelled.map(move |(index, shard)| ([&*index[0]], figure(shard)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_told_until_the_second_rotation_after_it() {
        let mut peak = Peak::default();
        peak.observe(3);
        peak.observe(2);
        assert_eq!(peak.get(), 3);
        peak.rotate();
        peak.observe(1);
        assert_eq!((peak.get(), peak.get()), (3, 3), "reading takes nothing");
        peak.rotate();
        assert_eq!(peak.get(), 1);
    }
}
