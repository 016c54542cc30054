//! The course of a soak: warm-up, baseline, churn, quiet; at the end a shutdown and a restart. With a crash in the middle
//! the same again on what it left.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::churn::{Churn, Counts, Stage};
use crate::control::{Control, Seen};
use crate::dice::Dice;
use crate::director::{Director, Scenes};
use crate::ledger::{Checked, Ledger};
use crate::report::Report;
use crate::sampler::{Phase, Sample, Sampler};
use crate::site::Site;
use crate::support::server::Server;
use crate::support::wait_until;
use crate::target::{SHUTDOWN_TIMEOUT, Target};
use crate::{Arguments, Interrupt};

/// Rooms of the churn that stay all along.
const ROOMS: usize = 6;
/// The warm-up's share of the churn, …
const WARM_UP_SHARE: f64 = 0.2;
/// … and its bounds: every episode is played at least once, and past the second time that everything was done to
/// everybody a baseline no longer rises.
const WARM_UP: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(180));
/// From the end of churn to the figures that count: every timeout has passed, and the samples of tasks are of after it.
const QUIET: Duration = Duration::from_secs(25);
/// Streams of dice beside those of the workers.
const DIRECTORS_DICE: u64 = 1 << 32;

/// Everything that was seen.
#[derive(Default)]
pub struct Outcome {
    pub samples: Vec<Sample>,
    pub baseline: Option<Sample>,
    pub last: Option<Sample>,
    pub seen: Seen,
    pub counts: Counts,
    pub scenes: Scenes,
    pub errors: Vec<String>,
    pub checked: Checked,
    pub crashes: u64,
    pub shutdown: Option<(Option<i32>, Duration)>,
    pub restarted: bool,
}

/// What stays the same over all servers of a soak.
struct Soak<'a> {
    arguments: &'a Arguments,
    site: &'a Arc<Site>,
    interrupt: &'a Interrupt,
    target: Target,
    ledger: Arc<Ledger>,
    phase: Phase,
    begin: Instant,
    rooms: Vec<u64>,
    /// That of the control members.
    control_room: u64,
    outcome: Outcome,
}

pub fn run(arguments: &Arguments, site: &Arc<Site>, interrupt: &Interrupt) -> Report {
    let target = Target::new(arguments, site);
    let mut server = target.start();
    let rooms = (0..ROOMS)
        .map(|_| server.live_room("keeper", "churn"))
        .collect();
    let control_room = server.live_room("keeper", "control");
    let mut soak = Soak {
        arguments,
        site,
        interrupt,
        target,
        ledger: Arc::default(),
        phase: Phase::default(),
        begin: Instant::now(),
        rooms,
        control_room,
        outcome: Outcome::default(),
    };
    let whole = Duration::from_secs_f64(arguments.minutes * 60.0);
    let mut span = whole;
    if arguments.crash {
        span = whole / 2;
        soak.churn_and_crash(&mut server, whole - span);
        server = soak.target.start();
        soak.check(&server);
    }
    soak.churn(&server, span);
    soak.check(&server);
    soak.shut_down(server);
    let faults = soak.ledger.faults();
    Report::new(arguments, site, soak.outcome, faults)
}

impl Soak<'_> {
    /// The whole course: warm-up, quiet, baseline, churn, quiet.
    fn churn(&mut self, server: &Server, span: Duration) {
        let control = Control::start(server.http(), self.control_room, &self.ledger);
        let sampler = Sampler::start(server.http(), server.process(), &self.phase, self.begin);
        let (least, most) = WARM_UP;
        let warm_up = span.mul_f64(WARM_UP_SHARE).clamp(least, most);
        println!("warm-up: {} s", warm_up.as_secs());
        self.play(server, self.arguments.seed ^ 1, warm_up);
        self.outcome.baseline = self.quiet(server, &sampler);
        println!("churn: {} s", span.as_secs());
        self.play(server, self.arguments.seed, span);
        self.outcome.last = self.quiet(server, &sampler);
        self.outcome.seen.add(control.end());
        self.outcome.samples.extend(sampler.end());
        self.take_errors(server);
    }

    /// Churn up to `kill -9`.
    fn churn_and_crash(&mut self, server: &mut Server, span: Duration) {
        println!("churn: {} s, then kill -9", span.as_secs());
        let control = Control::start(server.http(), self.control_room, &self.ledger);
        let sampler = Sampler::start(server.http(), server.process(), &self.phase, self.begin);
        let (churn, scenes) = self.direct(server, self.arguments.seed ^ 2, span);
        self.add_scenes(scenes);
        // These would call it a fault.
        self.outcome.seen.add(control.end());
        self.outcome.samples.extend(sampler.end());
        self.take_errors(server);
        server.signal(Signal::KILL);
        let _ = server.wait(SHUTDOWN_TIMEOUT);
        self.outcome.crashes += 1;
        self.add_counts(churn.end());
    }

    fn play(&mut self, server: &Server, seed: u64, span: Duration) {
        let (churn, scenes) = self.direct(server, seed, span);
        self.add_scenes(scenes);
        self.add_counts(churn.end());
    }

    /// Churn for a time; it still goes on.
    fn direct(&self, server: &Server, seed: u64, span: Duration) -> (Churn, Scenes) {
        let until = Instant::now() + span;
        let stage = Stage::new(
            self.target.http(server),
            self.target.media(server),
            self.site.client_address(),
            self.rooms.clone(),
            Arc::clone(&self.ledger),
        );
        let churn = Churn::start(self.site, stage, seed, self.arguments.workers);
        let director = Director {
            site: self.site,
            target: &self.target,
            server,
            stage: churn.stage(),
            phase: &self.phase,
            interrupt: self.interrupt,
            reloads: self.target.reloads(server),
        };
        let dice = Dice::new(seed, DIRECTORS_DICE);
        // On a thread of its own: it goes to the clients' side.
        let scenes = thread::scope(|scope| {
            let directing = scope.spawn(|| director.direct(dice, until));
            directing.join().expect("the director")
        });
        (churn, scenes)
    }

    /// Waits until every timeout has passed; what the server holds then.
    fn quiet(&self, server: &Server, sampler: &Sampler) -> Option<Sample> {
        self.phase.set("quiet");
        self.stop_passing_rooms(server);
        self.interrupt.sleep(QUIET);
        sampler.steady()
    }

    /// Rooms whose episode was cut short are live, and would be for ever.
    fn stop_passing_rooms(&self, server: &Server) {
        let mut cursor = String::new();
        loop {
            let mut page = server
                .get(&format!("/api/v1/rooms?status=1&limit=100{cursor}"))
                .json();
            for room in page["rooms"].as_array_mut().into_iter().flatten() {
                let id = room["id"].as_u64().unwrap_or_default();
                let anchor = room["anchor_id"].as_str().unwrap_or_default();
                if id != self.control_room && !self.rooms.contains(&id) {
                    server.change_room(anchor, id, "stop");
                }
            }
            match page["next_cursor"].take().as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return,
            }
        }
    }

    /// Everything acknowledged is stored, and the rooms are as live as they were.
    fn check(&mut self, server: &Server) {
        let mut rooms = self.rooms.clone();
        rooms.push(self.control_room);
        for &room in &rooms {
            let found = server.get(&format!("/api/v1/rooms/{room}"));
            if found.status != 200 || found.json()["status"] != json!(1) {
                self.ledger
                    .fault(format!("room {room} is not live: {}", found.text()));
                return;
            }
        }
        self.outcome.checked = self.ledger.check(server, &rooms);
    }

    /// SIGTERM, and a start on what it left.
    fn shut_down(&mut self, mut server: Server) {
        println!("shutdown and restart");
        let begin = Instant::now();
        server.signal(Signal::TERM);
        wait_until(
            SHUTDOWN_TIMEOUT + Duration::from_secs(5),
            "the server ends",
            || !server.running(),
        );
        let status = server.wait(SHUTDOWN_TIMEOUT);
        self.outcome.shutdown = Some((status.code(), begin.elapsed()));
        let server = self.target.start();
        self.check(&server);
        self.outcome.restarted = true;
    }

    /// Lines of the log that tell of a fault of the server's own.
    fn take_errors(&mut self, server: &Server) {
        let entries = server.log().entries();
        let errors = entries.iter().filter(|line| line["level"] == "ERROR");
        self.outcome.errors.extend(errors.map(ToString::to_string));
        let text = server.log().text();
        let panics = text.lines().filter(|line| line.contains("panicked at"));
        self.outcome.errors.extend(panics.map(str::to_owned));
    }

    fn add_counts(&mut self, counts: Counts) {
        for (name, count) in counts {
            let sum = self.outcome.counts.entry(name).or_default();
            sum.played += count.played;
            sum.cut_short += count.cut_short;
            if !count.reason.is_empty() {
                sum.reason = count.reason;
            }
        }
    }

    fn add_scenes(&mut self, scenes: Scenes) {
        let sum = &mut self.outcome.scenes;
        sum.cuts += scenes.cuts;
        sum.exhaustions += scenes.exhaustions;
        sum.crowds += scenes.crowds;
        sum.session_floods += scenes.session_floods;
        sum.reloads += scenes.reloads;
        sum.bad_reloads += scenes.bad_reloads;
    }
}
