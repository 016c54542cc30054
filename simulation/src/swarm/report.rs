//! Numbers of what was played.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// What happened, in numbers.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub virtual_time: Duration,
    /// Actions by kind.
    pub actions: BTreeMap<&'static str, u64>,
    /// Times that the server was checked.
    pub checks: u64,
    pub connections: u64,
    pub handed_over: u64,
    /// Requests answered.
    pub answers: u64,
    /// Method and path of those that were answered, errors included; and those that were done.
    pub asked: BTreeSet<(&'static str, &'static str)>,
    pub done: BTreeSet<(&'static str, &'static str)>,
    pub sessions: u64,
    /// Frames that viewers put together and compared.
    pub frames: u64,
    /// Numbered messages that members compared.
    pub messages: u64,
    /// Messages acknowledged, every one of them found in its room's history at the end.
    pub acknowledged: u64,
    pub datagrams_lost: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.virtual_time += other.virtual_time;
        for (kind, count) in other.actions {
            *self.actions.entry(kind).or_default() += count;
        }
        self.checks += other.checks;
        self.connections += other.connections;
        self.handed_over += other.handed_over;
        self.answers += other.answers;
        self.asked.extend(other.asked);
        self.done.extend(other.done);
        self.sessions += other.sessions;
        self.frames += other.frames;
        self.messages += other.messages;
        self.acknowledged += other.acknowledged;
        self.datagrams_lost += other.datagrams_lost;
    }
}

/// Of many schedules.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    pub seeds: u64,
    pub counts: Counts,
}

impl Summary {
    /// One more was played to its end.
    pub fn add(&mut self, counts: Counts) {
        self.seeds += 1;
        self.counts.add(counts);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        let hours = counts.virtual_time.as_secs_f64() / 3_600.0;
        let rows = [
            ("seeds", self.seeds),
            ("checks of the whole server", counts.checks),
            ("connections", counts.connections),
            ("of them handed over", counts.handed_over),
            ("requests answered", counts.answers),
            ("methods and routes asked", counts.asked.len() as u64),
            ("sessions", counts.sessions),
            ("frames compared", counts.frames),
            ("datagrams lost", counts.datagrams_lost),
            ("room messages compared", counts.messages),
            ("of them acknowledged", counts.acknowledged),
        ];
        writeln!(f, "{:<28} {hours:>12.1} h", "virtual time")?;
        for (name, count) in rows {
            writeln!(f, "{name:<28} {count:>12}")?;
        }
        for (kind, count) in &counts.actions {
            writeln!(f, "  {kind:<26} {count:>12}")?;
        }
        Ok(())
    }
}
