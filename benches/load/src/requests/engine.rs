//! All connections on one thread, with one epoll set.
//!
//! In an open loop request number n is due at `begin + n / rate`, whatever became of those before it. It goes out on the
//! first connection that is free from then on, and its latency counts from when it was due: while a server stalls, every
//! request that became due meanwhile waits, and is counted with that wait.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::response::{self, Parsed};
use super::{Arguments, SCENARIO, UNIT};
use crate::report::{Latencies, Outcome};
use crate::target::Target;
use crate::{Error, SOON};

/// Connections that are looked at before the schedule is looked at again.
const EVENTS_PER_TURN: usize = 64;
/// Bytes of a read: more than a usual answer has.
const READ_BYTES: usize = 16 << 10;
/// The longest sleep: the end of a span is noticed in time.
const LONGEST_WAIT: Duration = Duration::from_millis(2);
/// A request that is sent so long after it was due is told of: more than a busy turn takes.
const LATE_NS: u64 = 1_000_000;
/// The kernel may wake us so much later than asked, ns. Its default of 50 µs would be part of every latency.
const TIMER_SLACK_NS: NonZeroU64 = NonZeroU64::MIN;

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// Each connection sends as it has the answer.
    Closed,
    /// So many a second over all connections.
    PerSecond(f64),
}

/// When the requests of an open loop are due.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    /// ns since the engine's beginning.
    begin: u64,
    interval_ns: f64,
    /// Number of the next request to send.
    next: u64,
    /// No request is due from then on.
    end: u64,
}

impl Schedule {
    /// When the next request is due; none after the end.
    fn due(&self) -> Option<u64> {
        // Multiplied and not added up: no error adds up either.
        let due = self.begin + (self.next as f64 * self.interval_ns) as u64;
        (due < self.end).then_some(due)
    }
}

struct Connection {
    stream: TcpStream,
    /// Which list of requests it sends, and which of them comes next.
    list: usize,
    next: usize,
    /// From when the request's latency counts, while one is in flight.
    due: Option<u64>,
    /// The beginning of a response.
    partial: Vec<u8>,
}

/// What was counted of the measured span.
#[derive(Default)]
struct Tally {
    /// Answers with a status of 2xx that came in the span.
    answered: u64,
    /// Answers with any other status, and answers that could not be read.
    errors: u64,
    /// Connections that the server closed.
    closed: u64,
    latencies: Latencies,
    /// How long after they were due requests were sent.
    late: Latencies,
    late_sends: u64,
}

pub(super) struct Engine {
    server: SocketAddr,
    epoll: OwnedFd,
    begin: Instant,
    requests: Vec<Vec<Vec<u8>>>,
    connections: Vec<Connection>,
    /// Those without a request in flight, the longest idle first.
    idle: VecDeque<usize>,
    schedule: Option<Schedule>,
    /// A closed loop goes on, and does not run out.
    sending: bool,
    /// Latencies count of requests that are due from then on, ns.
    counts_from: u64,
    tally: Tally,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
}

impl Engine {
    /// Connects to the server.
    ///
    /// # Errors
    /// When it does not listen, or descriptors are short.
    pub(super) fn connect(
        server: SocketAddr,
        connections: usize,
        requests: Vec<Vec<Vec<u8>>>,
    ) -> Result<Self, Error> {
        rustix::thread::set_current_timer_slack(Some(TIMER_SLACK_NS))
            .map_err(Error::machine("timer slack"))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(Error::machine("an epoll descriptor"))?;
        let mut engine = Self {
            server,
            epoll,
            begin: Instant::now(),
            connections: Vec::with_capacity(connections),
            idle: (0..connections).collect(),
            schedule: None,
            sending: false,
            counts_from: 0,
            tally: Tally::default(),
            buffer: vec![0; READ_BYTES],
            events: Vec::with_capacity(EVENTS_PER_TURN),
            requests,
        };
        for index in 0..connections {
            let stream = engine.open(index)?;
            let list = index % engine.requests.len();
            engine.connections.push(Connection {
                stream,
                list,
                // Spread over the list.
                next: index / engine.requests.len() % engine.requests[list].len(),
                due: None,
                partial: Vec::new(),
            });
        }
        Ok(engine)
    }

    /// Warms up, measures a span, and waits for the answers to what was sent in it.
    ///
    /// # Errors
    /// When the server is gone.
    pub(super) fn measure(
        &mut self,
        target: &Target,
        arguments: &Arguments,
    ) -> Result<Outcome, Error> {
        let nanoseconds = |time: Duration| time.as_nanos() as u64;
        let begin = self.now();
        self.counts_from = begin + nanoseconds(arguments.target.warm_up());
        let end = self.counts_from + nanoseconds(arguments.target.span());
        self.sending = true;
        if let Pace::PerSecond(rate) = arguments.pace() {
            self.schedule = Some(Schedule {
                begin,
                interval_ns: 1e9 / rate,
                next: 0,
                end,
            });
        }
        self.run_until(self.counts_from)?;
        self.tally = Tally::default();

        eprintln!(
            "measuring process {} for {:?}",
            target.process.0,
            arguments.target.span()
        );
        let meter = target.meter();
        self.run_until(end)?;
        let cost = meter.stop();
        let answered = self.tally.answered;
        let unanswered = self.settle()?;

        let mut outcome = cost.outcome(SCENARIO, arguments.setting(), UNIT, answered);
        let tally = &self.tally;
        outcome.latency_us = tally.latencies.summary();
        outcome.count("errors", tally.errors);
        outcome.count("closed", tally.closed);
        outcome.count("unanswered", unanswered);
        if let Some(late) = tally.late.quantile_us(0.99) {
            outcome.count("late_p99_us", late as u64);
            outcome.count("late_sends", tally.late_sends);
        }
        Ok(outcome)
    }

    /// ns since the beginning.
    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn run_until(&mut self, end: u64) -> Result<(), Error> {
        while self.now() < end {
            self.turn(end)?;
        }
        Ok(())
    }

    /// Nothing new in a closed loop; in an open one what was due is still to be sent. How many requests stay without an
    /// answer: each counts with the time that it has waited.
    fn settle(&mut self) -> Result<u64, Error> {
        self.sending = false;
        let limit = self.now() + SOON.as_nanos() as u64;
        while (self.in_flight() > 0 || self.next_due().is_some()) && self.now() < limit {
            self.turn(limit)?;
        }
        let now = self.now();
        let mut unanswered = 0;
        let in_flight: Vec<u64> = self.connections.iter().filter_map(|it| it.due).collect();
        for due in in_flight {
            self.count_latency(due, now);
            unanswered += 1;
        }
        while let Some(due) = self.next_due() {
            self.count_latency(due, now);
            unanswered += 1;
            self.advance();
        }
        Ok(unanswered)
    }

    fn in_flight(&self) -> usize {
        self.connections.len() - self.idle.len()
    }

    fn next_due(&self) -> Option<u64> {
        self.schedule.as_ref().and_then(Schedule::due)
    }

    fn advance(&mut self) {
        if let Some(schedule) = &mut self.schedule {
            schedule.next += 1;
        }
    }

    /// Sends what is due, waits for answers, and reads them.
    fn turn(&mut self, end: u64) -> Result<(), Error> {
        self.send_due()?;
        let due = self.next_due().filter(|_| !self.idle.is_empty());
        let wait = due.unwrap_or(end).min(end).saturating_sub(self.now());
        let wait = Duration::from_nanos(wait).min(LONGEST_WAIT);
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Error::machine("epoll_wait")(error)),
        }
        for at in 0..self.events.len() {
            let data = self.events[at].data;
            self.receive(data.u64() as usize)?;
        }
        Ok(())
    }

    /// A request on each connection that is free, as far as requests are due.
    fn send_due(&mut self) -> Result<(), Error> {
        if self.schedule.is_none() {
            while self.sending
                && let Some(index) = self.idle.pop_front()
            {
                let now = self.now();
                self.send(index, now)?;
            }
            return Ok(());
        }
        while let Some(due) = self.next_due()
            && let now = self.now()
            && due <= now
            && let Some(index) = self.idle.pop_front()
        {
            self.advance();
            if due >= self.counts_from {
                self.tally.late.record(now - due);
                self.tally.late_sends += u64::from(now - due > LATE_NS);
            }
            self.send(index, due)?;
        }
        Ok(())
    }

    fn send(&mut self, index: usize, due: u64) -> Result<(), Error> {
        let connection = &mut self.connections[index];
        let list = &self.requests[connection.list];
        let request = &list[connection.next];
        connection.next = (connection.next + 1) % list.len();
        connection.due = Some(due);
        match send(&connection.stream, request, SendFlags::NOSIGNAL) {
            Ok(count) if count == request.len() => Ok(()),
            // Less than a request fits into an empty buffer only on a connection that ends.
            Ok(_) | Err(_) => self.failed(index),
        }
    }

    fn receive(&mut self, index: usize) -> Result<(), Error> {
        let connection = &mut self.connections[index];
        let count = match recv(&connection.stream, &mut self.buffer[..], RecvFlags::empty()) {
            Ok((0, _)) => return self.failed(index),
            Ok((count, _)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(_) => return self.failed(index),
        };
        let whole = connection.partial.is_empty();
        if !whole {
            connection.partial.extend(&self.buffer[..count]);
        }
        let bytes = if whole {
            &self.buffer[..count]
        } else {
            &connection.partial
        };
        match response::parse(bytes) {
            Parsed::Partial if whole => {
                connection.partial.extend(&self.buffer[..count]);
                Ok(())
            }
            Parsed::Partial => Ok(()),
            Parsed::Whole(response) if response.length == bytes.len() => {
                connection.partial.clear();
                self.answered(index, response.status, response.closes)
            }
            // One request is in flight: nothing follows its answer.
            Parsed::Whole(_) | Parsed::Unreadable => self.failed(index),
        }
    }

    fn answered(&mut self, index: usize, status: u16, closes: bool) -> Result<(), Error> {
        let Some(due) = self.connections[index].due.take() else {
            return self.failed(index);
        };
        if (200..300).contains(&status) {
            self.tally.answered += 1;
            self.count_latency(due, self.now());
        } else {
            self.tally.errors += 1;
        }
        if closes {
            self.tally.closed += 1;
            self.reopen(index)?;
        }
        if self.schedule.is_none() && self.sending {
            let now = self.now();
            return self.send(index, now);
        }
        self.idle.push_back(index);
        Ok(())
    }

    fn count_latency(&mut self, due: u64, now: u64) {
        if due >= self.counts_from {
            self.tally.latencies.record(now - due);
        }
    }

    /// The connection is of no use any more. A request that was in flight is an error, with what it has waited.
    fn failed(&mut self, index: usize) -> Result<(), Error> {
        self.tally.closed += 1;
        if let Some(due) = self.connections[index].due.take() {
            self.tally.errors += 1;
            self.count_latency(due, self.now());
            self.idle.push_back(index);
        }
        self.reopen(index)
    }

    fn reopen(&mut self, index: usize) -> Result<(), Error> {
        let stream = self.open(index)?;
        // The old one leaves the epoll set as it is closed.
        self.connections[index].stream = stream;
        self.connections[index].partial.clear();
        Ok(())
    }

    fn open(&self, index: usize) -> Result<TcpStream, Error> {
        let server = self.server;
        let failed = |error| Error::Connection { server, error };
        let stream = TcpStream::connect_timeout(&server, SOON).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_nonblocking(true).map_err(failed)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)
            .map_err(Error::machine("an epoll set"))?;
        Ok(stream)
    }
}
