//! What the wheel wakes.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use executor::LONGEST_REST;
use rtc::SessionKey;

use super::passes::{LOOK_WORK, MEDIA_TIMER_WORK, TIMER_WORK};
use super::{Blame, Shard};
use crate::alarm::Fired;
use crate::auth::AuthError;
use crate::connection::{Connection, ConnectionId, Exchange, Fate, Phase, Role};
use crate::error::ApiError;
use crate::faults::Place;
use crate::ids::{DeviceId, SessionId};
use crate::limits::LINGER;
use crate::media::{DEMO_DEVICE, Publisher};
use crate::message::GatherId;
use crate::metrics::ConnectionEnd;

/// An entry of the wheel. It may be stale: its owner knows.
#[derive(Debug)]
pub(crate) enum Timer {
    /// Deadlines of a connection.
    Connection(ConnectionId),
    /// str0m wants to be called.
    Media(SessionKey),
    /// A session may have been idle for too long.
    Session(SessionId),
    /// A device may be forgotten.
    Device(DeviceId),
    /// An aggregate's answers are due.
    Gather(GatherId),
    /// The bundled clip's next picture or packet.
    Demo,
}

/// Timers that the wheel looks at before those that are due among them are handled.
const TIMERS_AT_ONCE: usize = 64;

impl Shard {
    /// When an earlier turn than the next tick is wanted; at once where the end of the last one was too
    /// early for something: a picture that a timer wrote after fan-out, a request that was read in the
    /// flush.
    pub fn deadline(&self) -> Option<Instant> {
        if self.is_behind() {
            return Some(self.started);
        }
        let publishers = self.moments.peek().map(|&Reverse((at, _))| at);
        let deadlines = [self.plane.next_pacing(), self.rooms.deadline(), publishers];
        deadlines.into_iter().flatten().min()
    }

    fn is_behind(&self) -> bool {
        let paused = !self.paused.is_empty() || !self.waiting.is_empty();
        let media = self.plane.is_unswept() || !self.rtc.is_empty();
        media || paused || !self.orphans.is_empty() || !self.passes.is_empty()
    }

    /// An instant before which no tick is needed, at most [`LONGEST_REST`] away: nothing becomes due, and
    /// the store, whose answers wake nobody, has answered.
    pub fn rests_until(&self, now: Instant) -> Instant {
        let waits = self.rows_in_flight() > 0 || !self.unstored.is_empty();
        if waits || self.draining.is_some() {
            return now;
        }
        let due = [self.wheel.next_deadline_hint(), self.rooms.next_due()];
        let due = due.into_iter().flatten().min();
        due.map_or(now + LONGEST_REST, |due| due.min(now + LONGEST_REST))
    }

    /// Handles timers that are due, as far as this turn may.
    pub(super) fn fire_due(&mut self, now: Instant) {
        // What has come later waits until this is done.
        let until = *self.expiring.get_or_insert(now);
        while self.work.is_left() {
            if let Some(timer) = self.due.pop_front() {
                self.work.did(match timer {
                    Timer::Media(_) => MEDIA_TIMER_WORK,
                    _ => TIMER_WORK,
                });
                self.fire(now, timer);
            } else if self.expired {
                (self.expiring, self.expired) = (None, false);
                return;
            } else {
                self.work.did(TIMERS_AT_ONCE * LOOK_WORK);
                self.expired = !self.wheel.expire(until, TIMERS_AT_ONCE, &mut self.due);
            }
        }
    }

    /// Goes on with what the tick has left. True: there is more to do.
    pub(super) fn go_on_with_timers(&mut self, now: Instant) -> bool {
        if self.expiring.is_some() {
            self.fire_due(now);
        }
        self.expiring.is_some()
    }

    /// Looks at publishers whose picture or silence is due, as far as this turn may. Those that are left are the shard's
    /// deadline.
    pub(super) fn look_at_publishers(&mut self, now: Instant) {
        while self.work.is_left()
            && let Some(&Reverse((at, id))) = self.moments.peek()
            && at <= now
        {
            self.moments.pop();
            self.work.did(TIMER_WORK);
            self.guarded(now, Blame::Question, |shard| shard.publisher_time(now, id));
        }
    }

    fn fire(&mut self, now: Instant, timer: Timer) {
        let blame = match &timer {
            // Connections have their own guard.
            Timer::Connection(_) | Timer::Gather(_) => Blame::Question,
            Timer::Media(key) => match self.by_key.get(key) {
                Some(&id) => Blame::Session(id),
                None => return,
            },
            Timer::Session(id) => Blame::Session(*id),
            Timer::Device(id) => Blame::Device(id.clone()),
            Timer::Demo => match DeviceId::try_from(DEMO_DEVICE) {
                Ok(id) => Blame::Device(id),
                Err(_) => return,
            },
        };
        self.guarded(now, blame, |shard| shard.fire_guarded(now, timer));
    }

    fn fire_guarded(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Connection(id) => self.with(now, id, |shard, connection| {
                match connection.alarm.fired(now) {
                    Fired::Due => shard.connection_time(now, connection),
                    Fired::Again(at) => shard.schedule(at, Timer::Connection(id)),
                    Fired::Nothing => {}
                }
                None
            }),
            Timer::Media(key) => self.plane.timeout(now, key, &mut self.rtc),
            Timer::Session(id) => {
                self.faults.pass(Place::SessionTimer);
                self.session_time(now, id);
            }
            Timer::Device(id) => {
                self.faults.pass(Place::DeviceTimer);
                self.device_time(now, &id);
            }
            Timer::Gather(id) => self.gather_time(now, id),
            Timer::Demo => self.demo_time(now),
        }
    }

    /// A connection's deadline has passed.
    fn connection_time(&mut self, now: Instant, connection: &mut Connection) {
        self.faults.pass(Place::ConnectionTimer);
        if connection.fate != Fate::Stay {
            if !self.wait_for_reader(now, connection, LINGER) {
                connection.fate = Fate::Close;
            }
            return;
        }
        let Role::Http(http) = &mut connection.role else {
            return self.socket_time(now, connection);
        };
        match std::mem::replace(&mut http.phase, Phase::Done) {
            Phase::Head if http.decoder.between_requests() => {
                let idle = self.config.http.idle_timeout;
                http.phase = Phase::Head;
                if !self.wait_for_reader(now, connection, idle) {
                    connection.end = match self.draining {
                        Some(_) => ConnectionEnd::Drain,
                        None => ConnectionEnd::Idle,
                    };
                    connection.fate = Fate::Close;
                }
            }
            Phase::Head => {
                let seconds = self.config.http.head_timeout.as_secs();
                let exchange = self.nameless_exchange(now, connection);
                self.refuse(
                    now,
                    connection,
                    exchange,
                    ApiError::RequestTimeout { seconds },
                );
            }
            Phase::Body(exchange, _) => {
                let http = &self.config.http;
                let seconds = match now >= exchange.started + http.body_deadline {
                    true => http.body_deadline.as_secs(),
                    false => http.body_timeout.as_secs(),
                };
                self.refuse(
                    now,
                    connection,
                    exchange,
                    ApiError::RequestTimeout { seconds },
                );
            }
            Phase::Publish(exchange, publisher) => {
                self.publishing_time(now, connection, exchange, publisher);
            }
            Phase::Wait(exchange, gather) => {
                self.gathers.remove(&gather);
                self.refuse(now, connection, exchange, ApiError::ShardBusy);
            }
            Phase::Done => connection.fate = Fate::Close,
        }
    }

    /// The deadline of a publisher has passed: its silence or its token ends it, or it goes on.
    fn publishing_time(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        exchange: Box<Exchange>,
        publisher: Box<Publisher>,
    ) {
        let silence = self.config.media.publisher_timeout;
        let silent = now.saturating_duration_since(publisher.heard) >= silence;
        let end = self.moment(exchange.identity.expires_at);
        let expired = end.is_some_and(|end| now >= end);
        if !expired && (exchange.complete || !publisher.reads() || !silent) {
            // It is we who let it wait, or it spoke since.
            let heard = if silent { now } else { publisher.heard };
            let at = self.publisher_deadline(heard, &exchange);
            self.set_phase(connection, Phase::Publish(exchange, publisher));
            self.set_alarm(connection, at);
            return;
        }
        self.stop_publishing(now, connection.id, &publisher);
        let error = match expired {
            true => ApiError::Unauthorized(AuthError::Expired),
            false => ApiError::PublisherSilent {
                seconds: silence.as_secs(),
            },
        };
        self.refuse(now, connection, exchange, error);
    }

    /// When a publisher is given up that says nothing more, or its token ends before that.
    pub(super) fn publisher_deadline(&self, heard: Instant, exchange: &Exchange) -> Instant {
        let silent = heard + self.config.media.publisher_timeout;
        let end = self.moment(exchange.identity.expires_at);
        end.map_or(silent, |end| end.min(silent))
    }

    /// Whether the peer still takes what was written for it: it is waited for until it has taken
    /// nothing for `patience`, and then the rest is dropped.
    fn wait_for_reader(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        patience: Duration,
    ) -> bool {
        let gives_up = connection
            .output
            .stalled_since
            .map(|since| since + patience);
        match gives_up.filter(|&at| now < at) {
            Some(at) => {
                self.set_alarm(connection, at);
                true
            }
            None => {
                connection.output = Default::default();
                false
            }
        }
    }
}
