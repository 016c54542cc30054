//! What is compared, with whom, and what is to be reached.

use crate::contender::Contender::{self, Axum, Floor, Go, Janus, OneShard, Server};
use crate::figures::Figure;

/// Runs that are made in turn, and what is read from them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// For `--only`.
    pub(crate) name: &'static str,
    /// One of each in a round, in this order.
    pub(crate) runs: &'static [Run],
    /// Lines of the table.
    pub(crate) rows: &'static [Row],
    /// Who has no such thing, and why.
    pub(crate) cannot: &'static [(Contender, &'static str)],
}

/// A run of one contender. In arguments `{viewers}`, `{watchers}`, `{sessions}`, `{clip}` and `{body}` are
/// filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) who: Contender,
    /// Arguments of whoever serves.
    pub(crate) serve: &'static [&'static str],
    /// Frames a second that are fed to a server that takes RTP.
    pub(crate) feed: Option<&'static str>,
    /// Scenario and arguments of `load`, or of `floor` where it measures itself.
    pub(crate) load: &'static [&'static str],
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) work: &'static str,
    pub(crate) figure: Figure,
    pub(crate) unit: &'static str,
    /// The outcome's scenario: for runs with outcomes of more than one kind.
    pub(crate) named: Option<&'static str>,
    /// Names of a setting, one of which must have this value: for runs with more than one outcome.
    pub(crate) only: Option<(&'static [&'static str], u64)>,
    pub(crate) target: Option<Target>,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// At most this, or at least.
    pub(crate) bound: Option<f64>,
    pub(crate) stretch: Option<f64>,
    /// At most so many times another's figure.
    pub(crate) of: Option<(Contender, f64)>,
    /// Whether more is better.
    pub(crate) more: bool,
}

const fn at_most(bound: f64) -> Target {
    Target {
        bound: Some(bound),
        stretch: None,
        of: None,
        more: false,
    }
}

impl Target {
    const fn stretch(mut self, stretch: f64) -> Self {
        self.stretch = Some(stretch);
        self
    }

    const fn of(mut self, who: Contender, times: f64) -> Self {
        self.of = Some((who, times));
        self
    }
}

const fn run(who: Contender, load: &'static [&'static str]) -> Run {
    Run {
        who,
        serve: &[],
        feed: None,
        load,
    }
}

impl Run {
    const fn serving(mut self, serve: &'static [&'static str]) -> Self {
        self.serve = serve;
        self
    }

    const fn fed(mut self, fps: &'static str) -> Self {
        self.feed = Some(fps);
        self
    }
}

const fn row(work: &'static str, figure: Figure, unit: &'static str) -> Row {
    Row {
        work,
        figure,
        unit,
        named: None,
        only: None,
        target: None,
    }
}

impl Row {
    const fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    const fn named(mut self, name: &'static str) -> Self {
        self.named = Some(name);
        self
    }

    const fn only(mut self, settings: &'static [&'static str], value: u64) -> Self {
        self.only = Some((settings, value));
        self
    }
}

/// The file at 30 frames a second to all sessions of the generator's device, through one track.
const GO_STREAM: &[&str] = &[
    "-h264", "{clip}", "-fps", "30", "-device", "load", "-fanout", "shared",
];
/// The same at five times as many frames: more than its core can send.
const GO_FLOOD: &[&str] = &[
    "-h264", "{clip}", "-fps", "150", "-device", "load", "-fanout", "shared",
];
const SESSION: &str = "/api/media/sessions/{id}";
const RSS_OF_VIEWER: Figure = Figure::Count("rss_per_viewer", 1e3);
const NO_WEBRTC: &str = "it speaks HTTP alone";
const NO_HTTP_API: &str = "it has no sessions that could be read over HTTP, and no health page";
const NO_ROOMS: &str = "its rooms are conferences, not chats over WebSockets";
const OWN_SOURCE: &str = "its source is its own: the generator does not know when a frame was sent";
const IN_FLIGHT: &[&str] = &["in_flight", "frames"];

/// Everything, in the order of the table.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "viewers",
        runs: &[
            run(Server, &["viewers", "--viewers", "{viewers}"]),
            run(Go, &["viewers", "--viewers", "{viewers}", "--no-publish"]).serving(GO_STREAM),
            run(
                Janus,
                &["viewers", "--viewers", "{viewers}", "--no-publish"],
            )
            .fed("30"),
            run(
                Floor,
                &["media", "--viewers", "{viewers}", "--receivers", "plain"],
            ),
        ],
        rows: &[
            row(
                "RTP packet, 720p30 2 Mbit/s, {viewers} viewers",
                Figure::CpuPerUnit,
                "µs",
            )
            .target(at_most(1.5).stretch(1.2).of(Go, 0.28)),
            row("RSS per streaming viewer", RSS_OF_VIEWER, "kB")
                .target(at_most(80.0).stretch(62.0)),
        ],
        cannot: &[(Axum, NO_WEBRTC)],
    },
    Scenario {
        name: "viewers-gro",
        runs: &[
            run(Server, &["viewers", "--viewers", "{viewers}", "--gro"]),
            run(
                Go,
                &["viewers", "--viewers", "{viewers}", "--gro", "--no-publish"],
            )
            .serving(GO_STREAM),
            run(
                Janus,
                &["viewers", "--viewers", "{viewers}", "--gro", "--no-publish"],
            )
            .fed("30"),
            run(
                Floor,
                &["media", "--viewers", "{viewers}", "--receivers", "gro"],
            ),
        ],
        rows: &[
            row("RTP packet, receivers with GRO", Figure::CpuPerUnit, "µs")
                .target(at_most(0.8).stretch(0.68)),
        ],
        cannot: &[(Axum, NO_WEBRTC)],
    },
    Scenario {
        name: "saturated",
        runs: &[
            // A body brings at most 240 pictures a second, and 300 viewers of that do not fill the core.
            run(
                Server,
                &["viewers", "--viewers", "600", "--sink", "--fps", "240"],
            ),
            run(
                Go,
                &[
                    "viewers",
                    "--viewers",
                    "{viewers}",
                    "--sink",
                    "--no-publish",
                ],
            )
            .serving(GO_FLOOD),
            run(
                Janus,
                &[
                    "viewers",
                    "--viewers",
                    "{viewers}",
                    "--sink",
                    "--no-publish",
                ],
            )
            .fed("60"),
            run(
                Floor,
                &[
                    "media",
                    "--viewers",
                    "{viewers}",
                    "--receivers",
                    "sink",
                    "--fps",
                    "0",
                ],
            ),
        ],
        rows: &[row(
            "core saturated, receivers that only drop",
            Figure::Rate,
            "packets/s",
        )
        .target(Target {
            bound: Some(900_000.0),
            stretch: Some(1_100_000.0),
            of: None,
            more: true,
        })],
        cannot: &[(Axum, NO_WEBRTC)],
    },
    Scenario {
        name: "keyframe",
        runs: &[run(
            Floor,
            &[
                "media",
                "--viewers",
                "{viewers}",
                "--receivers",
                "gro",
                "--run",
                "48",
                "--fps",
                "5",
            ],
        )],
        rows: &[row(
            "RTP packet of a keyframe, the floor alone",
            Figure::CpuPerUnit,
            "µs",
        )],
        cannot: &[],
    },
    Scenario {
        name: "idle-viewers",
        runs: &[
            run(Server, &["viewers", "--viewers", "{viewers}", "--idle"]),
            run(Go, &["viewers", "--viewers", "{viewers}", "--idle"]),
            run(Janus, &["viewers", "--viewers", "{viewers}", "--idle"]),
        ],
        rows: &[row("RSS per connected idle viewer", RSS_OF_VIEWER, "kB").target(at_most(75.0))],
        cannot: &[(Axum, NO_WEBRTC)],
    },
    Scenario {
        name: "create-session",
        runs: &[
            run(Server, &["sessions", "--sessions", "{sessions}"]),
            run(Go, &["sessions", "--sessions", "{sessions}"]),
        ],
        rows: &[row("create a session", Figure::CpuPerUnit, "µs")
            .named("sessions-create")
            .target(at_most(60.0).stretch(35.0))],
        cannot: &[(Axum, NO_WEBRTC), (Janus, NO_HTTP_API)],
    },
    Scenario {
        name: "set-up",
        runs: &[
            run(Server, &["sessions", "--setup", "--sessions", "{viewers}"]),
            run(Go, &["sessions", "--setup", "--sessions", "{viewers}"]),
            run(Janus, &["sessions", "--setup", "--sessions", "{viewers}"]),
        ],
        rows: &[row("full set-up of a viewer", Figure::CpuPerUnit, "µs").target(at_most(450.0))],
        cannot: &[(Axum, NO_WEBRTC)],
    },
    Scenario {
        name: "get-session",
        runs: &[
            run(Server, &["http", "--path", SESSION]),
            run(Go, &["http", "--path", SESSION]),
            run(Axum, &["http", "--path", SESSION]),
            run(Floor, &["http", "--path", "/health"]).serving(&["--body", "{body}"]),
        ],
        rows: &[row("GET a session", Figure::CpuPerUnit, "µs").target(at_most(6.5).of(Axum, 0.95))],
        cannot: &[(Janus, NO_HTTP_API)],
    },
    Scenario {
        name: "health",
        runs: &[
            run(Server, &["http"]),
            run(Go, &["http"]),
            run(Axum, &["http"]),
            run(Floor, &["http"]).serving(&["--body", "41"]),
        ],
        rows: &[row("GET /health", Figure::CpuPerUnit, "µs")],
        cannot: &[(Janus, NO_HTTP_API)],
    },
    Scenario {
        name: "get-alternating",
        runs: &[run(
            Server,
            &[
                "http",
                "--path",
                SESSION,
                "--owners",
                "alternating",
                "--shards",
                "2",
            ],
        )],
        rows: &[row(
            "GET, owners alternating, two shards on one CPU",
            Figure::CpuPerUnit,
            "µs",
        )
        .target(at_most(12.0))],
        cannot: &[],
    },
    Scenario {
        name: "get-alternating-two-cpus",
        runs: &[run(
            Server,
            &[
                "http",
                "--path",
                SESSION,
                "--owners",
                "alternating",
                "--shards",
                "2",
                "--server-cpu",
                "0,1",
            ],
        )],
        rows: &[row(
            "the same, shards on two CPUs, one shared with the client",
            Figure::CpuPerUnit,
            "µs",
        )
        .target(at_most(12.0))],
        cannot: &[],
    },
    Scenario {
        name: "frame-latency",
        runs: &[run(
            Server,
            &[
                "viewers",
                "--viewers",
                "{watchers}",
                "--latency",
                "--delimited",
            ],
        )],
        rows: &[
            row(
                "frame in → last packet out, {watchers} viewers, P99 of P frames",
                Figure::P99,
                "ms",
            )
            .target(at_most(1.5)),
            row(
                "the same of paced keyframes",
                Figure::Count("keyframe_p99_us", 1e3),
                "ms",
            )
            .target(at_most(20.0)),
        ],
        cannot: &[(Go, OWN_SOURCE), (Janus, OWN_SOURCE), (Axum, NO_WEBRTC)],
    },
    Scenario {
        name: "frame-latency-silence",
        runs: &[run(
            Server,
            &["viewers", "--viewers", "{watchers}", "--latency"],
        )],
        rows: &[row(
            "the same of P frames whose end only 5 ms of silence tell",
            Figure::P99,
            "ms",
        )],
        cannot: &[(Go, OWN_SOURCE), (Janus, OWN_SOURCE), (Axum, NO_WEBRTC)],
    },
    Scenario {
        name: "two-shards",
        runs: &[
            run(Server, &["http", "--path", SESSION, "--shards", "2"]),
            run(OneShard, &["http", "--path", SESSION]),
        ],
        rows: &[row(
            "GET a session of the own shard, two shards on one CPU",
            Figure::CpuPerUnit,
            "µs",
        )
        .target(Target {
            bound: None,
            stretch: None,
            of: Some((OneShard, 1.05)),
            more: false,
        })],
        cannot: &[],
    },
    Scenario {
        name: "rooms",
        runs: &[
            run(Server, &["rooms", "one-room"]),
            run(Go, &["rooms", "one-room", "--any-room"]),
            run(Floor, &["rooms", "--frames", "1"]),
            run(Floor, &["rooms", "--frames", "4"]),
            run(Floor, &["rooms", "--frames", "16"]),
        ],
        rows: &[
            row(
                "delivery to one of 1,000 members, 1 message in flight",
                Figure::CpuPerUnit,
                "µs",
            )
            .only(IN_FLIGHT, 1),
            row("the same, 4 in flight", Figure::CpuPerUnit, "µs").only(IN_FLIGHT, 4),
            row("the same, 16 in flight", Figure::CpuPerUnit, "µs").only(IN_FLIGHT, 16),
        ],
        cannot: &[(Janus, NO_ROOMS), (Axum, "it has no rooms")],
    },
];
