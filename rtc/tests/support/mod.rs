//! A plane, str0m viewers and a network between them, in virtual time.
//!
//! Nothing here sleeps or reads a clock but once: a [`Sim`] steps its own time by milliseconds,
//! loses datagrams by a seeded generator, and does what a driver does with an outbox.

#![allow(dead_code, unused_imports)] // Several test targets may share this; none need use all of it.

pub(crate) mod check;
pub(crate) mod media;
mod network;
pub(crate) mod viewer;

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::RtcConfig;
use str0m::config::CryptoProvider;

use rtc::{
    AccessUnit, Event, Identity, MediaSocket, Outbox, Plane, PlaneConfig, PlaneLimits, SessionKey,
    SessionState, SocketIndex, SourceKey,
};

#[allow(unused_imports)]
pub(crate) use network::{Mishap, Network, is_media};
pub(crate) use viewer::{Viewer, ViewerId};

/// One step of virtual time: finer than the pacing, so that its order shows.
pub(crate) const STEP: Duration = Duration::from_millis(1);
/// RTP packets of fan-out in one step.
pub(crate) const FAN_OUT_PACKETS: usize = 256;

/// A plane and its viewers, who take any cipher.
pub(crate) type Sim = Simulation<AnyCipher>;

/// The DTLS of a simulation, which decides on the cipher of its media.
pub(crate) trait Ends {
    /// The plane's identity, and what viewers have for crypto where that is not str0m's own.
    fn make() -> (Identity, Option<Arc<CryptoProvider>>);
}

/// AES-GCM, which every browser takes.
pub(crate) struct AnyCipher;

impl Ends for AnyCipher {
    fn make() -> (Identity, Option<Arc<CryptoProvider>>) {
        (Identity::generate().expect("an identity"), None)
    }
}

/// The same over a DTLS.
pub(crate) struct Simulation<E> {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) plane: Plane,
    pub(crate) out: Outbox,
    pub(crate) network: Network,
    pub(crate) viewers: Vec<Viewer>,
    /// Everything that the plane told, with the time since the start.
    pub(crate) events: Vec<(Duration, Event)>,
    /// Datagrams of each run that was sent, with its session, when they were media.
    pub(crate) media_runs: Vec<(SessionKey, usize)>,
    /// Timers that fired.
    pub(crate) fired: u64,
    timers: BTreeSet<(Instant, SessionKey)>,
    /// What viewers seal with, where that is not str0m's own.
    crypto: Option<Arc<CryptoProvider>>,
    ends: PhantomData<E>,
}

/// Where the plane listens.
pub(crate) fn plane_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 40_000))
}

/// The clock is read once; from then on time is a number.
#[allow(clippy::disallowed_methods)]
fn epoch() -> Instant {
    // Far enough from the machine's start that tests can go back in time.
    Instant::now() + Duration::from_secs(3_600)
}

impl<E: Ends> Simulation<E> {
    /// A simulation with a network that loses nothing and delays by 10 ms each way.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_limits(seed, PlaneLimits::default())
    }

    pub(crate) fn with_limits(seed: u64, limits: PlaneLimits) -> Self {
        println!("simulation seed: {seed}");
        let (identity, crypto) = E::make();
        let now = epoch();
        let address = plane_address();
        let config = PlaneConfig {
            identity,
            sockets: vec![MediaSocket {
                bound: address,
                advertised: address,
            }],
            limits,
            seed: [seed as u8; 32],
        };
        Self {
            now,
            start: now,
            plane: Plane::new(now, config).expect("a plane"),
            out: Outbox::new(),
            network: Network::new(seed),
            viewers: Vec::new(),
            events: Vec::new(),
            media_runs: Vec::new(),
            fired: 0,
            timers: BTreeSet::new(),
            crypto,
            ends: PhantomData,
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// A viewer who has got the offer and whose answer was accepted.
    pub(crate) fn join(&mut self, source: SourceKey) -> ViewerId {
        let viewer = self.new_viewer(|config| config);
        self.join_as(source, viewer)
    }

    /// A viewer that has not joined yet.
    pub(crate) fn new_viewer(&self, edit: impl FnOnce(RtcConfig) -> RtcConfig) -> Viewer {
        Viewer::with(self.now, self.viewers.len(), |config| {
            edit(match &self.crypto {
                Some(crypto) => config.set_crypto_provider(crypto.clone()),
                None => config,
            })
        })
    }

    pub(crate) fn join_as(&mut self, source: SourceKey, mut viewer: Viewer) -> ViewerId {
        let (key, offer) = self
            .plane
            .create_session(self.now, source, &mut self.out)
            .expect("a session");
        viewer.key = Some(key);
        let answer = viewer.answer(self.now, &offer);
        self.plane
            .accept_answer(self.now, key, &answer, &mut self.out)
            .expect("a good answer");
        let id = ViewerId(self.viewers.len());
        self.viewers.push(viewer);
        self.flush();
        id
    }

    /// Joins, and runs until media can flow.
    pub(crate) fn watch(&mut self, source: SourceKey) -> ViewerId {
        let viewer = self.join(source);
        self.connect(viewer);
        viewer
    }

    /// Runs until both sides of a session are connected.
    pub(crate) fn connect(&mut self, id: ViewerId) {
        self.run_until(Duration::from_secs(1), "connecting", |sim| {
            let session = sim.plane.session(sim.key(id)).expect("the session");
            session.state() == SessionState::Connected && sim.viewer(id).connected.is_some()
        });
    }

    pub(crate) fn viewer(&self, id: ViewerId) -> &Viewer {
        &self.viewers[id.0]
    }

    pub(crate) fn viewer_mut(&mut self, id: ViewerId) -> &mut Viewer {
        &mut self.viewers[id.0]
    }

    pub(crate) fn key(&self, id: ViewerId) -> SessionKey {
        self.viewers[id.0].key.expect("the viewer has joined")
    }

    /// Publishes an access unit that is captured now.
    pub(crate) fn publish(&mut self, source: SourceKey, au: &AccessUnit) {
        self.plane
            .write(self.now, source, self.now, au, &mut self.out);
        self.flush();
    }

    /// Publishes `frames` pictures of `bytes` at 25 a second, a keyframe first and each `gop`.
    pub(crate) fn publish_for(
        &mut self,
        source: SourceKey,
        stream: &mut media::Stream,
        frames: usize,
    ) {
        for _ in 0..frames {
            let au = stream.next();
            self.publish(source, &au);
            self.run_for(media::FRAME);
        }
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            self.step();
        }
    }

    /// Runs until `done`, for at most `limit`. Panics when that does not suffice.
    pub(crate) fn run_until(&mut self, limit: Duration, what: &str, done: impl Fn(&Self) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            assert!(self.now < end, "{what} did not happen within {limit:?}");
            self.step();
        }
    }

    /// Jumps from one event to the next, where hours are to pass.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            let viewers = self.viewers.iter().map(Viewer::deadline);
            let timers = self.timers.first().map(|(at, _)| *at);
            let others = [timers, self.network.next(), self.plane.next_pacing()];
            let next = viewers.chain(others.into_iter().flatten()).min();
            // What is overdue has its turn a step later, so that time goes on.
            let next = next.map_or(end, |at| if at > self.now { at } else { self.now + STEP });
            self.now = next.min(end);
            self.act();
        }
    }

    pub(crate) fn step(&mut self) {
        self.now += STEP;
        self.act();
    }

    /// What a driver does in a turn, and the viewers in theirs.
    fn act(&mut self) {
        while let Some((to, from, bytes)) = self.network.arrived(self.now) {
            if to == plane_address() {
                self.plane
                    .datagram(self.now, SocketIndex(0), from, &bytes, &mut self.out);
            } else if let Some(viewer) = self.viewers.iter_mut().find(|v| v.address == to) {
                viewer.receive(self.now, from, &bytes);
            }
            self.flush();
        }
        while let Some(&(at, key)) = self.timers.first()
            && at <= self.now
        {
            self.timers.pop_first();
            self.fired += 1;
            self.plane.timeout(self.now, key, &mut self.out);
            self.flush();
        }
        self.plane.fan_out(self.now, FAN_OUT_PACKETS, &mut self.out);
        for viewer in &mut self.viewers {
            viewer.tick(self.now);
        }
        self.flush();
    }

    /// Empties the outboxes of the plane and of the viewers.
    pub(crate) fn flush(&mut self) {
        for run in self.out.runs() {
            if run.media {
                self.media_runs.push((run.session, run.datagrams()));
            }
            for datagram in run.contents.chunks(run.segment) {
                self.network
                    .send(self.now, plane_address(), run.to, datagram);
            }
        }
        self.out.clear_runs();
        let at = self.now - self.start;
        self.events
            .extend(self.out.events().map(|event| (at, event)));
        self.timers
            .extend(self.out.timers().map(|(key, at)| (at, key)));
        for viewer in &mut self.viewers {
            for (to, bytes) in viewer.outgoing.drain(..) {
                self.network.send(self.now, viewer.address, to, &bytes);
            }
        }
    }

    /// A datagram to the plane, forged or not. Returns what it has sent since, by destination.
    pub(crate) fn inject(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        self.plane
            .datagram(self.now, SocketIndex(0), from, bytes, &mut self.out);
        let sent = self
            .out
            .runs()
            .flat_map(|run| {
                run.contents
                    .chunks(run.segment)
                    .map(move |one| (run.to, one))
            })
            .map(|(to, datagram)| (to, datagram.to_vec()))
            .collect();
        self.flush();
        sent
    }

    /// Takes the events so far.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).map(|(_, event)| event).collect()
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.events
            .iter()
            .filter(|(_, event)| wanted(event))
            .count()
    }
}
