//! What the process holds, counted now and then, and what of it belongs to nobody (M12).

use std::time::{Duration, Instant};

use super::families as f;
use super::text::Text;
use super::{ByLabel, Label, LeakDetector, ProcessFigures, Resource};
use crate::totals::{Total, Totals};

/// Counts what the process holds. Whatever a live connection or session accounts for, and what the
/// process had when it had started (threads, listeners, the shards' own descriptors), is taken out; what
/// remains should hardly move, and is watched by a [`LeakDetector`].
#[derive(Debug)]
pub struct HeldWatch {
    detector: LeakDetector,
    /// Descriptors and threads that the process needs by itself.
    own: u64,
    /// Descriptors and threads at the last sample, but for those of connections.
    of_process: u64,
    held: Held,
}

/// What was held at the last sample, and the most at any.
#[derive(Debug, Clone, Default)]
pub struct Held {
    now: ByLabel<Resource>,
    most: ByLabel<Resource>,
    /// Things that nothing accounts for.
    tasks: u64,
    tasks_most: u64,
    potential_leak: bool,
}

impl HeldWatch {
    /// To be made when the process has started; a sample counts in each `interval`.
    pub fn new(interval: Duration, totals: &Totals) -> Self {
        let mut watch = Self {
            detector: LeakDetector::new(interval),
            own: 0,
            of_process: 0,
            held: Held::default(),
        };
        watch.count(totals);
        watch.own = watch.of_process;
        watch
    }

    /// Takes a sample.
    pub fn sample(&mut self, now: Instant, totals: &Totals) {
        self.count(totals);
        let ownerless = self.of_process.saturating_sub(self.own);
        let orphans = self.held.now.get(Resource::Orphans);
        self.detector.sample(now, ownerless + orphans);
        self.held.tasks = self.detector.count();
        self.held.tasks_most = self.detector.max();
        self.held.potential_leak = self.detector.potential_leak();
    }

    /// What the last sample found.
    pub fn held(&self) -> &Held {
        &self.held
    }

    fn count(&mut self, totals: &Totals) {
        let connections = || (totals.sum(Total::Connections) + totals.sum(Total::Parting)) as u64;
        // Counting descriptors takes a while, in which connections come and go.
        let before = connections();
        let process = ProcessFigures::read();
        let accounted = before.max(connections());
        for &resource in Resource::ALL {
            let of_shards = |total| totals.sum(total) as u64;
            let count = match resource {
                Resource::Threads => process.threads.unwrap_or_default(),
                Resource::Descriptors => process.open_fds.unwrap_or_default(),
                Resource::Connections => of_shards(Total::Connections),
                Resource::Sessions => of_shards(Total::Sessions),
                Resource::Orphans => of_shards(Total::Orphans),
                Resource::Devices => of_shards(Total::Devices),
                Resource::Rooms => of_shards(Total::Rooms),
                Resource::Timers => of_shards(Total::Timers),
                Resource::StoreRows => of_shards(Total::StoreRows),
            };
            self.held.now.set(resource, count);
            let most = self.held.most.get(resource).max(count);
            self.held.most.set(resource, most);
        }
        let now = &self.held.now;
        let process = now.get(Resource::Threads) + now.get(Resource::Descriptors);
        self.of_process = process.saturating_sub(accounted);
    }
}

impl Held {
    /// Things that nothing accounts for.
    pub fn tasks(&self) -> u64 {
        self.tasks
    }

    /// Whether they are far more than they were.
    pub fn potential_leak(&self) -> bool {
        self.potential_leak
    }
}

pub(super) fn write(text: &mut Text, held: &Held) -> Result<(), prometheus::Error> {
    text.by_label(&f::RESOURCES, "kind", &held.now)?;
    text.by_label(&f::RESOURCES_MAX, "kind", &held.most)?;
    text.count(&f::TASK_COUNT, held.tasks)?;
    text.count(&f::TASK_COUNT_MAX, held.tasks_most)?;
    text.count(&f::POTENTIAL_TASK_LEAK, held.potential_leak.into())
}
