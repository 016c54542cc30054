//! What happens to everybody at once, one thing after the other: the link is cut, descriptors run out, a crowd comes, the
//! configuration is read again.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Interrupt;
use crate::churn::Stage;
use crate::dice::Dice;
use crate::sampler::Phase;
use crate::site::Site;
use crate::support::http::Connection;
use crate::support::server::Server;
use crate::target::{CONNECTIONS, FewDescriptors, SESSIONS, Target};

/// Churn alone between two scenes, in ms.
const CALM: std::ops::Range<u64> = 5_000..12_000;
/// How long the link is dead, in ms: some sessions outlive it, some do not.
const CUT: std::ops::Range<u64> = 1_000..8_000;
/// How long a server has no descriptors to spare.
const EXHAUSTION: Duration = Duration::from_secs(5);
/// Descriptors that it may still open then.
const DESCRIPTORS_LEFT: u64 = 8;
/// Connections that come then, beside those of the churn.
const TAKERS: usize = 60;
/// Connections of a crowd: with those of the churn more than the cap.
const CROWD: usize = CONNECTIONS + 200;
/// Threads that a crowd connects from: over the link each connection takes two ways of its delay, and all are to be there
/// before the first has been silent for too long.
const CROWD_THREADS: usize = 60;
/// How long a crowd stays.
const CROWD_STAYS: Duration = Duration::from_secs(2);
/// A server has taken a configuration, or refused it, well within this.
const RELOADED: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
enum Scene {
    Cut,
    FewDescriptors,
    Crowd,
    ManySessions,
    Reload { other: bool },
    BadReload(usize),
}

/// How often each thing was done.
#[derive(Clone, Debug, Default)]
pub struct Scenes {
    pub cuts: u64,
    pub exhaustions: u64,
    pub crowds: u64,
    pub session_floods: u64,
    pub reloads: u64,
    pub bad_reloads: u64,
}

/// Whom it is done to.
pub struct Director<'a> {
    pub site: &'a Site,
    pub target: &'a Target,
    pub server: &'a Server,
    pub stage: &'a Stage,
    pub phase: &'a Phase,
    pub interrupt: &'a Interrupt,
    pub reloads: bool,
}

impl Director<'_> {
    /// Until a time, on the clients' side.
    pub fn direct(&self, mut dice: Dice, until: Instant) -> Scenes {
        self.site.go_to_clients();
        let mut scenes = Scenes::default();
        let mut round = 0;
        loop {
            let mut programme = self.programme(round);
            dice.shuffle(&mut programme);
            for scene in programme {
                self.phase.set("churn");
                let calm = dice.millis(CALM);
                self.interrupt
                    .sleep(calm.min(until.saturating_duration_since(Instant::now())));
                if Instant::now() >= until || self.interrupt.is_set() {
                    return scenes;
                }
                self.play(scene, &mut dice, &mut scenes);
            }
            round += 1;
        }
    }

    fn programme(&self, round: usize) -> Vec<Scene> {
        let mut scenes = vec![Scene::FewDescriptors, Scene::Crowd, Scene::ManySessions];
        if self.site.link().is_some() {
            scenes.extend([Scene::Cut, Scene::Cut]);
        }
        if self.reloads {
            let other = round.is_multiple_of(2);
            scenes.extend([Scene::Reload { other }, Scene::BadReload(round)]);
        }
        scenes
    }

    fn play(&self, scene: Scene, dice: &mut Dice, scenes: &mut Scenes) {
        match scene {
            Scene::Cut => {
                self.phase.set("link cut");
                scenes.cuts += 1;
                let link = self
                    .site
                    .link()
                    .expect("on the programme where there is one");
                link.cut(true);
                let time = dice.millis(CUT);
                self.interrupt.sleep(time);
                link.cut(false);
            }
            Scene::FewDescriptors => {
                self.phase.set("no descriptors");
                scenes.exhaustions += 1;
                let few = FewDescriptors::leave(self.server.process(), DESCRIPTORS_LEFT);
                let takers = self.crowd(TAKERS);
                self.interrupt.sleep(EXHAUSTION);
                drop(few);
                drop(takers);
            }
            Scene::Crowd => {
                self.phase.set("crowd");
                scenes.crowds += 1;
                let crowd = self.crowd(CROWD);
                self.interrupt.sleep(CROWD_STAYS);
                drop(crowd);
            }
            Scene::ManySessions => {
                self.phase.set("many sessions");
                scenes.session_floods += 1;
                self.many_sessions();
            }
            Scene::Reload { other } => {
                self.phase.set("reload");
                scenes.reloads += 1;
                self.target.reload_good(self.server, other);
                self.interrupt.sleep(RELOADED);
            }
            Scene::BadReload(number) => {
                self.phase.set("bad reload");
                scenes.bad_reloads += 1;
                self.target.reload_bad(self.server, number);
                self.interrupt.sleep(RELOADED);
                self.target.reload_good(self.server, false);
                self.interrupt.sleep(RELOADED);
            }
        }
    }

    /// Connections that say nothing.
    fn crowd(&self, size: usize) -> Vec<Connection> {
        let http = self.stage.http;
        let connect = || {
            let all = 0..size / CROWD_THREADS;
            all.filter_map(|_| Connection::try_open(http).ok())
                .collect::<Vec<_>>()
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..CROWD_THREADS).map(|_| scope.spawn(connect)).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, Vec<Connection>>| thread.join();
            threads.into_iter().flat_map(join).flatten().collect()
        })
    }

    /// Asks for more sessions than the server takes, and answers none of them.
    fn many_sessions(&self) {
        let Ok(mut connection) = Connection::try_open(self.stage.http) else {
            return;
        };
        for number in 0..SESSIONS + 50 {
            let body = json!({"deviceId": format!("crowd-{}", number % 4), "userId": "crowd"});
            let headers = [("Content-Type", "application/json")];
            let body = body.to_string();
            let asked =
                connection.send_request("POST", "/api/media/sessions", &headers, body.as_bytes());
            match asked.and_then(|()| connection.try_response(false)) {
                Ok(response) if matches!(response.status, 201 | 429 | 503) => {}
                Ok(response) => {
                    let what = format!(
                        "one session too many: {} {}",
                        response.status,
                        response.text()
                    );
                    self.stage.ledger.fault(what);
                }
                Err(_) => return, // lost on the way
            }
        }
    }
}
