//! Rates as clients see them: each took its token at some moment between its question and its answer.
//! Whatever the moments were, no more may have been let in than a bucket has, and nobody may have been
//! refused where a token must have been left.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use media_service::config::Config;
use media_service::limits::Cap;

use super::asks::{Ask, Then};
use super::members::Opening;
use super::world::World;

/// Whoever has no answer by then took its token before, if it took one.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// Less than a token: sums of fractions are not exact.
const ROUNDING: f64 = 1e-6;

/// Whose tokens they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Sessions(IpAddr),
    SessionsOf(String),
    AllSessions,
    Accounts(IpAddr),
    LogIns(String),
    Rooms(IpAddr),
}

impl Key {
    /// Tokens a second, and in a full bucket; `None`: any number.
    fn rate(&self, config: &Config) -> Option<(f64, f64)> {
        let limits = &config.limits;
        let (rate, burst): (Cap, usize) = match self {
            Key::Sessions(_) | Key::SessionsOf(_) => (limits.session_rate, limits.session_burst),
            Key::AllSessions => (limits.session_rate_total, limits.session_burst_total),
            Key::Accounts(_) | Key::LogIns(_) => (limits.login_rate, limits.login_burst),
            Key::Rooms(_) => (limits.room_rate, limits.room_burst),
        };
        Some((rate.get()? as f64, burst as f64))
    }
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It had all its tokens.
    Taken,
    /// A token was missing.
    Refused,
    /// Something else was wrong; it may have had some.
    Unknown,
}

/// Somebody who wants a token.
#[derive(Debug, Clone, Copy)]
struct Try {
    number: u64,
    asked: Instant,
    /// If it took a token, then by then.
    latest: Instant,
    taken: bool,
}

/// All buckets of a process.
pub(super) struct Rates {
    tries: BTreeMap<Key, Vec<Try>>,
    /// Judged from then on.
    since: Instant,
    /// All buckets were full then; else nobody knows what was in them.
    full: bool,
    /// Not every shard has heard of the new rates.
    pub(super) changing: bool,
}

impl Rates {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tries: BTreeMap::new(),
            since: now,
            full: true,
            changing: false,
        }
    }

    /// Every shard has the same rates, which are others than before.
    fn changed(&mut self, now: Instant) {
        (self.since, self.full, self.changing) = (now, false, false);
    }

    /// Somebody asks for these tokens, in their order.
    fn ask(&mut self, now: Instant, number: u64, keys: &[Key]) {
        for key in keys {
            let tries = self.tries.entry(key.clone()).or_default();
            tries.retain(|it| it.latest + FORGOTTEN > now);
            tries.push(Try {
                number,
                asked: now,
                latest: now + FORGOTTEN,
                taken: false,
            });
        }
    }

    /// And was answered.
    ///
    /// # Panics
    /// When the answer cannot be right.
    fn answer(
        &mut self,
        [asked, now]: [Instant; 2],
        number: u64,
        keys: &[Key],
        outcome: Outcome,
        config: &Config,
    ) {
        let mut excused = self.changing || asked < self.since;
        for key in keys {
            let rate = key.rate(config);
            let Some(tries) = self.tries.get_mut(key) else {
                continue;
            };
            let Some(at) = tries.iter().position(|it| it.number == number) else {
                continue;
            };
            tries[at].latest = now;
            tries[at].taken = outcome == Outcome::Taken;
            let it = tries[at];
            let Some((rate, burst)) = rate else {
                continue;
            };
            match outcome {
                Outcome::Taken if !self.changing => {
                    let worst = worst_excess(tries, self.since, now, rate, burst);
                    assert!(worst <= ROUNDING, "{key:?} has passed its rate by {worst}");
                }
                Outcome::Refused => {
                    if Some(key) == keys.last() {
                        // The last one that it needs is not taken by whoever is refused.
                        tries.swap_remove(at);
                    }
                    let left = least_left(tries, &it, now, rate, burst);
                    let since = it.asked.saturating_duration_since(self.since).as_secs_f64();
                    excused |= left < 1.0 + ROUNDING || !self.full && since * rate < burst + 1.0;
                }
                Outcome::Taken | Outcome::Unknown => {}
            }
        }
        assert!(
            outcome != Outcome::Refused || excused,
            "{keys:?} were refused a token that was there"
        );
    }
}

/// By how much more was taken in some time than there was.
fn worst_excess(tries: &[Try], since: Instant, now: Instant, rate: f64, burst: f64) -> f64 {
    let taken = |it: &&Try| it.taken && it.asked >= since;
    let begins = tries.iter().filter(taken).map(|it| it.asked);
    let excess = begins.map(|begin| {
        let count = tries.iter().filter(taken).filter(|it| it.asked >= begin);
        count.count() as f64 - burst - rate * (now - begin).as_secs_f64()
    });
    excess.fold(f64::MIN, f64::max)
}

/// What must have been left for `refused` when it asked, if everybody else took as late as possible.
fn least_left(tries: &[Try], refused: &Try, now: Instant, rate: f64, burst: f64) -> f64 {
    let others = || tries.iter().filter(|it| it.number != refused.number);
    let left = others().map(|it| it.latest.min(now)).map(|begin| {
        let count = others().filter(|it| it.latest >= begin).count();
        let back = refused.asked.saturating_duration_since(begin);
        burst + rate * back.as_secs_f64() - count as f64
    });
    left.fold(burst, f64::min)
}

impl World {
    /// The tokens that a question needs, in their order.
    pub(super) fn charges(&self, ask: &Ask, client: IpAddr) -> Vec<Key> {
        let mut keys = match &ask.then {
            Then::Room(_) => vec![Key::Rooms(client)],
            Then::SignedUp(_) => vec![Key::Accounts(client)],
            Then::LoggedIn(name) => vec![Key::Accounts(client), Key::LogIns(name.clone())],
            Then::Session(_) | Then::Socket(Opening::Viewer, _) if ask.takes_memory() => {
                let mut keys = vec![Key::Sessions(client)];
                if self.asks_for_tokens() {
                    keys.push(Key::SessionsOf(ask.user().to_owned()));
                }
                keys.push(Key::AllSessions);
                keys
            }
            _ => Vec::new(),
        };
        keys.retain(|key| key.rate(&self.plan.config).is_some());
        keys
    }

    pub(super) fn wants_tokens(&mut self, number: u64, keys: &[Key]) {
        self.rates.ask(self.sim.now, number, keys);
    }

    pub(super) fn judge_rates(
        &mut self,
        [asked, now]: [Instant; 2],
        number: u64,
        keys: &[Key],
        ask: &Ask,
        status: u16,
        code: &str,
    ) {
        let outcome = match (code, &ask.then) {
            ("rate_limited", _) => Outcome::Refused,
            // Whoever knows the password has its token back.
            (_, Then::LoggedIn(_)) if status < 300 => Outcome::Unknown,
            ("bad_credentials", _) => Outcome::Taken,
            _ if status < 300 => Outcome::Taken,
            _ => Outcome::Unknown,
        };
        let config = &self.plan.config;
        self.rates
            .answer([asked, now], number, keys, outcome, config);
    }

    /// The rates have changed when every shard has heard of them.
    pub(super) fn look_at_rates(&mut self) {
        if self.rates.changing && !self.sim.reloads() {
            self.rates.changed(self.sim.now);
        }
    }
}
