//! Where a turn's time goes: one reading of the clock (25 ns) at each change of what is done.

use std::time::{Duration, Instant};

use executor::thread_cpu_time;

use super::Driver;
use crate::metrics::Stage;

/// Peaks are told for at least so long, and at most for twice that: whoever scrapes each 30 s or
/// more often misses none.
const PEAK_WINDOW: Duration = Duration::from_secs(30);

/// The turn so far.
pub(super) struct Meter {
    /// `None`: nothing has been done in this turn.
    stage: Option<Stage>,
    /// When that began.
    since: Instant,
    peaks_since: Instant,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            stage: None,
            since: now,
            peaks_since: now,
        }
    }
}

impl Driver {
    pub(super) fn begin_turn(&mut self, now: Instant, events: usize) {
        self.meter.stage = None;
        self.meter.since = now;
        self.shard.metrics().load.events.observe(events);
    }

    /// What follows belongs to this part of the turn.
    pub(super) fn enter(&mut self, stage: Stage) {
        match self.meter.stage.replace(stage) {
            // The first one has begun with the turn.
            None => {}
            Some(last) if last == stage => {}
            Some(last) => self.charge(last, self.seat.reactor.now()),
        }
    }

    /// How long the turn has taken.
    pub(super) fn finish_turn(&mut self, began: Instant, end: Instant) -> Duration {
        if let Some(last) = self.meter.stage.take() {
            self.charge(last, end);
        }
        let took = end.saturating_duration_since(began);
        let load = &mut self.shard.metrics().load;
        load.turns.observe(took);
        load.longest_turn.observe(took);
        took
    }

    pub(super) fn tick_meter(&mut self, now: Instant) {
        let cpu = thread_cpu_time();
        let load = &mut self.shard.metrics().load;
        load.cpu = cpu;
        if now.saturating_duration_since(self.meter.peaks_since) >= PEAK_WINDOW {
            self.meter.peaks_since = now;
            load.rotate_peaks();
        }
    }

    fn charge(&mut self, stage: Stage, until: Instant) {
        let took = until.saturating_duration_since(self.meter.since);
        self.meter.since = until;
        self.shard.metrics().load.stage(stage, took);
    }
}
