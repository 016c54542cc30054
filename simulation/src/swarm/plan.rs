//! What a seed draws before it plays.

use std::collections::BTreeSet;
use std::time::Duration;

use media_service::config::Config;
use media_service::limits::Cap;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::accounts::SECRET;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $weight:literal;)*) => {
        /// Kinds of actions.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// How often it is drawn, compared with the others.
            fn weight(self) -> usize {
                match self {
                    $(Kind::$name => $weight,)*
                }
            }

            /// As it is written.
            pub fn name(self) -> &'static str {
                match self {
                    $(Kind::$name => stringify!($name),)*
                }
            }
        }
    };
}

kinds! {
    /// A client connects.
    Connect 8;
    /// A client asks for something, whatever it did before.
    Ask 24;
    /// A client asks for many things at once.
    Pipeline 4;
    /// A client closes its half.
    HalfClose 1;
    /// A client is gone.
    Reset 2;
    /// A client does not read for a while.
    SlowClient 1;
    /// A viewer makes a session and answers.
    Watch 10;
    /// A viewer asks for a fresh offer with new ICE credentials.
    IceRestart 3;
    /// A viewer's network gives it another address.
    Move 3;
    /// A viewer controls its device over the data channel.
    Control 4;
    /// A viewer closes its peer connection.
    Leave 2;
    /// A viewer deletes its session.
    Delete 2;
    /// A viewer is not heard of any more.
    Vanish 2;
    /// Somebody publishes a device.
    Publish 8;
    /// A publisher ends.
    PublishEnd 2;
    /// A publisher falls silent.
    PublishSilence 1;
    /// An agent connects.
    Agent 4;
    /// A viewer connects its socket.
    ViewerSocket 4;
    /// Somebody says something over a viewer's or agent's socket.
    Speak 6;
    /// A socket of a viewer or agent is gone.
    SocketGone 2;
    /// A room is created and started.
    Room 4;
    /// A room is stopped.
    StopRoom 1;
    /// A member connects.
    Member 10;
    /// Members say something.
    Say 20;
    /// A member does not read for a while.
    SlowMember 2;
    /// A member connects again, and wants what it missed.
    Return 4;
    /// A member is gone.
    MemberGone 3;
    /// Somebody signs up.
    SignUp 1;
    /// Somebody logs in, or tries to.
    LogIn 2;
    /// Somebody asks who has no token that is good.
    Stranger 4;
    /// A shard makes no progress for a while.
    Stuck 2;
    /// A mailbox takes nothing for a while.
    MailboxFull 2;
    /// Mailboxes take their time.
    MailboxSlow 2;
    /// The side thread is full, or answers nothing, for a while.
    SideTrouble 1;
    /// The store takes its time.
    StoreSlow 2;
    /// The store refuses every row for a while.
    StoreFull 1;
    /// Memory is short for a while.
    Memory 2;
    /// The process is asked to end, serves on for a moment, ends in order, and starts again.
    Restart 1;
    /// The process ends without a word, and starts again.
    Crash 1;
    /// Viewers are cut off for a while.
    Partition 2;
    /// The network loses, doubles and reorders.
    BadNetwork 2;
    /// Something of the server panics.
    Panic 1;
    /// Another configuration.
    Reload 2;
    /// All shards stand still for a moment.
    Pause 1;
    /// A scrape.
    Scrape 2;
    /// Nothing, for longer.
    Wait 6;
}

/// A chance in so many that a kind is left out.
const LEFT_OUT: usize = 4;

/// What a seed draws.
#[derive(Debug, Clone)]
pub struct Plan {
    pub shards: usize,
    /// With their weights.
    pub kinds: Vec<(Kind, usize)>,
    pub devices: usize,
    pub rooms: usize,
    /// Where clients are.
    pub addresses: usize,
    pub users: usize,
    /// A read of the server, and a write of a client, are up to so long.
    pub read_bytes: usize,
    pub write_bytes: usize,
    /// Time after an action, at most.
    pub pause: Duration,
    /// Delay and jitter of the network, its loss and its duplicates when it is well.
    pub delay: Duration,
    pub jitter: Duration,
    /// Caps are so low that they are met.
    pub tight: bool,
    pub config: Config,
    random: ChaCha20Rng,
}

impl Plan {
    pub fn new(seed: u64, without: &BTreeSet<Kind>) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(seed ^ 0x5eed);
        let mut draw = |from: usize, to: usize| from + random.next_u64() as usize % (to - from);
        let shards = draw(1, 5);
        let mut kinds = Vec::new();
        for &kind in Kind::ALL {
            // Drawn in any case: leaving one out by hand changes nothing else.
            let left_out = draw(0, LEFT_OUT) == 0;
            let weight = kind.weight() * draw(1, 4);
            if kind == Kind::Connect || !(left_out || without.contains(&kind)) {
                kinds.push((kind, weight));
            }
        }
        let tight = draw(0, 6) == 0;
        let mut config = Config::default();
        config.store.fsync = false;
        config.limits.connections_per_address = Cap::OFF;
        config.server.trusted_proxies = vec!["203.0.113.0/24".parse().expect("a network")];
        configure(&mut config, tight, &mut draw);
        if draw(0, 3) == 0 {
            config.auth.jwt_secret = Some(SECRET.into());
        }
        Self {
            shards,
            kinds,
            devices: draw(1, 9),
            rooms: draw(1, 5),
            addresses: draw(1, 4),
            users: draw(1, 9),
            read_bytes: [1, 100, 5_000, 65_536][draw(0, 4)].max(16),
            write_bytes: [20, 300, 5_000, 65_536][draw(0, 4)],
            pause: draw(5, 400) as u32 * MS,
            delay: draw(0, 60) as u32 * MS,
            jitter: [0, 0, 5, 30][draw(0, 4)] * MS,
            tight,
            config,
            random,
        }
    }

    /// Draws another configuration in the place of this one.
    pub fn reconfigure(&mut self) {
        let random = &mut self.random;
        let mut draw = |from: usize, to: usize| from + random.next_u64() as usize % (to - from);
        configure(&mut self.config, self.tight, &mut draw);
    }

    /// Whether the kind is played.
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds.iter().any(|&(it, _)| it == kind)
    }

    /// A uniform number below `end`.
    pub fn draw(&mut self, end: usize) -> usize {
        (self.random.next_u64() % end as u64) as usize
    }

    /// A moment up to `most`.
    pub fn time(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.draw(1_000) as f64 / 1_000.0)
    }

    /// The next action.
    pub fn action(&mut self) -> Kind {
        let total: usize = self.kinds.iter().map(|(_, weight)| weight).sum();
        let mut at = self.draw(total);
        for &(kind, weight) in &self.kinds {
            match at.checked_sub(weight) {
                None => return kind,
                Some(left) => at = left,
            }
        }
        unreachable!("it is below the sum of the weights")
    }
}

/// So much is no bound here.
const ANY: usize = 1_000_000;

/// Draws what a reload can change too. Its caps are met where they are `tight`.
fn configure(config: &mut Config, tight: bool, draw: &mut impl FnMut(usize, usize) -> usize) {
    config.http.idle_timeout = draw(5, 40) as u32 * SECOND;
    config.http.head_timeout = draw(3, 11) as u32 * SECOND;
    config.media.idle_timeout = draw(15, 60) as u32 * SECOND;
    config.media.publisher_timeout = draw(2, 11) as u32 * SECOND;
    config.media.device_linger = draw(1, 21) as u32 * SECOND;
    config.rooms.join_timeout = draw(5, 61) as u32 * SECOND;
    config.rooms.recent = [8, 64, 1024][draw(0, 3)];
    config.rooms.member_rate = Cap::new([0, 2, 10][draw(0, 3)]);
    config.ws.queue = [16, 64, 256][draw(0, 3)];
    if draw(0, 2) == 0 {
        config.ws.ping_interval = 10 * SECOND;
        config.ws.pong_timeout = 15 * SECOND;
    }
    let mut rate = |most: usize| match draw(0, 3) {
        0 => (Cap::new(draw(1, 4)), draw(1, most)),
        _ => (Cap::OFF, ANY),
    };
    let limits = &mut config.limits;
    (limits.session_rate, limits.session_burst) = rate(8);
    (limits.session_rate_total, limits.session_burst_total) = rate(12);
    (limits.room_rate, limits.room_burst) = rate(4);
    (limits.login_rate, limits.login_burst) = rate(4);
    if tight {
        config.limits.sessions = Cap::new(draw(1, 8));
        config.limits.sessions_per_device = Cap::new(draw(1, 4));
        config.limits.devices = Cap::new(draw(1, 6));
        config.limits.rooms = Cap::new(draw(1, 4));
        config.limits.rooms_per_anchor = Cap::new(1);
        config.limits.connections = Cap::new(draw(8, 30));
        config.media.candidates = Cap::new(draw(1, 4));
    }
}
