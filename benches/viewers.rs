//! Many viewers of one device on one shard: CPU of the server per RTP packet, packets lost, memory per viewer, time to
//! the first picture. The server is pinned to one CPU, everything else to another.
//!
//! ```text
//! cargo bench --bench viewers -- --viewers 300 --seconds 10 --rounds 3
//! cargo bench --bench viewers -- --base 127.0.0.1:30006 --pid 4711 --device cam-1 --no-publish   # another server
//! ```
//!
//! Viewers are full WebRTC peers (ICE, DTLS, SRTP, receiver reports) over sockets of their own. Packets and losses are
//! counted from the RTP headers on the wire. CPU is user and system time of the server's process, as the kernel counts
//! it; over loopback that includes the softirq work of the receiving sockets, which a network card would not charge.
//! `--gro` lets the receiving kernel keep runs of datagrams together, which takes most of that out.

#[path = "../tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;
use serde_json::json;
use str0m::format::Codec;

use support::media::Clip;
use support::process::{Process, available_cpus, pin_to};
use support::publish::PacedPublisher;
use support::server::Server;
use support::viewer::{Viewer, ViewerOptions};
use support::viewers::Viewers;

/// How long all viewers together may take to be connected and to see their first picture.
const JOIN_LIMIT: Duration = Duration::from_secs(60);

#[derive(Parser)]
#[command(about = "Measures many viewers of one device on one shard")]
struct Arguments {
    /// Viewers that watch at once
    #[arg(long, default_value_t = 300)]
    viewers: usize,
    /// Seconds measured per round
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds from the last viewer's first picture to the measurement
    #[arg(long, default_value_t = 3)]
    warm_up: u64,
    /// Rounds, each with a fresh server; the medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Annex B file with one slice a picture; the demo clip by default
    #[arg(long)]
    clip: Option<PathBuf>,
    /// Pictures a second
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// Bits a second that the clip is filled up to; 0: as it is. The server does not decode, so filling costs it what a
    /// picture does
    #[arg(long, default_value_t = 2_000_000)]
    bitrate: u64,
    /// CPU of the server
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// CPU of the viewers and the publisher
    #[arg(long, default_value_t = 1)]
    client_cpu: usize,
    /// Viewers receive with UDP_GRO
    #[arg(long)]
    gro: bool,
    /// Prints the result as JSON too
    #[arg(long)]
    json: bool,
    /// Device to publish and watch
    #[arg(long, default_value = "bench")]
    device: String,
    /// Another server's HTTP address, running and pinned already (with --pid)
    #[arg(long, requires = "pid")]
    base: Option<SocketAddr>,
    /// Another server's process
    #[arg(long, requires = "base")]
    pid: Option<u32>,
    /// The other server has its own source
    #[arg(long)]
    no_publish: bool,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// One round's figures.
#[derive(Clone, Debug, Serialize)]
struct Round {
    cpu_us_per_packet: f64,
    /// The part of it outside the kernel.
    user_us_per_packet: f64,
    packets_per_second: f64,
    packets_lost: u64,
    server_cpu_percent: f64,
    client_cpu_percent: f64,
    rss_kb_per_viewer: f64,
    join_ms_median: f64,
    join_ms_p99: f64,
}

fn main() {
    let arguments = Arguments::parse();
    for cpu in [arguments.server_cpu, arguments.client_cpu] {
        assert!(
            available_cpus().contains(&cpu),
            "CPU {cpu} is not available, but {:?}",
            available_cpus()
        );
    }
    let clip = clip(&arguments);
    println!("{}", describe(&arguments, &clip));
    println!(
        "round  µs/packet  (user)  packets/s   lost  server CPU  client CPU  RSS/viewer  join p50   join p99"
    );
    let mut rounds = Vec::new();
    for number in 1..=arguments.rounds {
        let round = round(&arguments, &clip);
        print_row(&number.to_string(), &round);
        rounds.push(round);
    }
    let median = median_round(&rounds);
    print_row("median", &median);
    if arguments.json {
        let result = json!({
            "setting": describe(&arguments, &clip), "host": host(),
            "viewers": arguments.viewers, "seconds": arguments.seconds, "gro": arguments.gro,
            "median": median, "rounds": rounds,
        });
        println!("{result:#}");
    }
}

/// One round on a server of its own, or on the one that runs already. The client's work is on a thread that is pinned:
/// pinning the process would pin the server that it starts.
fn round(arguments: &Arguments, clip: &Clip) -> Round {
    let cpu = arguments.server_cpu.to_string();
    let own = arguments
        .base
        .is_none()
        .then(|| Server::start(&["--cores", &cpu, "--shards", "1"]));
    let (http, process) = match &own {
        Some(server) => (server.http(), server.process()),
        None => (
            arguments.base.expect("checked"),
            Process(arguments.pid.expect("required with --base")),
        ),
    };
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            pin_to(arguments.client_cpu);
            let publish =
                || PacedPublisher::start(http, &arguments.device, clip.clone(), arguments.fps);
            let _publisher = (!arguments.no_publish).then(publish);
            measure(arguments, http, process)
        });
        client.join().expect("the client does its part")
    })
}

fn measure(arguments: &Arguments, http: SocketAddr, server: Process) -> Round {
    let options = ViewerOptions {
        codecs: &[Codec::H264, Codec::Opus],
        frames: false,
        gro: arguments.gro,
        ..ViewerOptions::default()
    };
    // One viewer first: what a process allocates once is not a viewer's.
    let mut viewers = Viewers::default();
    viewers.join(http, &arguments.device, options);
    viewers.run_until(JOIN_LIMIT, "the first viewer sees a picture", |v| {
        v[0].first_picture.is_some()
    });
    let rss_before = server.rss();

    for _ in 0..arguments.viewers.saturating_sub(1) {
        viewers.join(http, &arguments.device, options);
        viewers.turn();
    }
    let seeing =
        |viewers: &mut Viewers| viewers.iter().all(|viewer| viewer.first_picture.is_some());
    viewers.run_until(JOIN_LIMIT, "every viewer sees a picture", seeing);
    viewers.run_for(Duration::from_secs(arguments.warm_up));

    let client = Process(std::process::id());
    let (packets, server_cpu, client_cpu, begin) = (
        received(&viewers),
        server.cpu(),
        client.cpu(),
        Instant::now(),
    );
    viewers.run_for(Duration::from_secs(arguments.seconds));
    let seconds = begin.elapsed().as_secs_f64();
    let packets = received(&viewers) - packets;
    let user = server.cpu().since(server_cpu).user.as_secs_f64();
    let server_cpu = server.cpu().since(server_cpu).total().as_secs_f64();
    let client_cpu = client.cpu().since(client_cpu).total().as_secs_f64();
    let rss = server.rss().saturating_sub(rss_before);

    let mut joins: Vec<f64> = viewers
        .iter()
        .filter_map(Viewer::join_time)
        .map(|t| t.as_secs_f64() * 1e3)
        .collect();
    joins.sort_by(f64::total_cmp);
    let round = Round {
        cpu_us_per_packet: server_cpu * 1e6 / packets as f64,
        user_us_per_packet: user * 1e6 / packets as f64,
        packets_per_second: packets as f64 / seconds,
        packets_lost: viewers.iter().map(|viewer| viewer.wire.lost()).sum(),
        server_cpu_percent: 100.0 * server_cpu / seconds,
        client_cpu_percent: 100.0 * client_cpu / seconds,
        rss_kb_per_viewer: rss as f64 / 1e3 / (viewers.len() - 1).max(1) as f64,
        join_ms_median: joins[joins.len() / 2],
        join_ms_p99: joins[joins.len() * 99 / 100],
    };
    leave(&mut viewers);
    round
}

fn received(viewers: &Viewers) -> u64 {
    viewers.iter().map(|viewer| viewer.wire.received()).sum()
}

fn leave(viewers: &mut Viewers) {
    for index in 0..viewers.len() {
        viewers[index].leave();
    }
}

fn clip(arguments: &Arguments) -> Clip {
    let path = arguments
        .clip
        .clone()
        .unwrap_or_else(|| support::media::file("assets/demo.h264"));
    let stream = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let clip = Clip::h264(&stream, arguments.fps);
    if arguments.bitrate == 0 {
        clip
    } else {
        clip.padded_to(arguments.bitrate)
    }
}

fn describe(arguments: &Arguments, clip: &Clip) -> String {
    let bytes: usize = clip.units.iter().map(Vec::len).sum();
    let megabits = bytes as f64 * 8.0 / 1e6 / (clip.units.len() as f64 / f64::from(arguments.fps));
    let receivers = if arguments.gro {
        "with GRO"
    } else {
        "without GRO"
    };
    let source = if arguments.no_publish {
        "the server's own source".into()
    } else {
        format!("H.264, {} fps, {megabits:.2} Mbit/s", arguments.fps)
    };
    format!(
        "{} viewers {receivers} of one device on one shard, {source}",
        arguments.viewers
    )
}

fn print_row(name: &str, round: &Round) {
    println!(
        "{name:<7}{:>8.2}{:>8.2}{:>12.0}{:>7}{:>11.1}%{:>11.1}%{:>9.0} kB{:>8.1} ms{:>8.1} ms",
        round.cpu_us_per_packet,
        round.user_us_per_packet,
        round.packets_per_second,
        round.packets_lost,
        round.server_cpu_percent,
        round.client_cpu_percent,
        round.rss_kb_per_viewer,
        round.join_ms_median,
        round.join_ms_p99,
    );
}

/// Each figure's median by itself, but all packets lost.
fn median_round(rounds: &[Round]) -> Round {
    let median = |figure: fn(&Round) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Round {
        cpu_us_per_packet: median(|r| r.cpu_us_per_packet),
        user_us_per_packet: median(|r| r.user_us_per_packet),
        packets_per_second: median(|r| r.packets_per_second),
        packets_lost: rounds.iter().map(|r| r.packets_lost).sum(),
        server_cpu_percent: median(|r| r.server_cpu_percent),
        client_cpu_percent: median(|r| r.client_cpu_percent),
        rss_kb_per_viewer: median(|r| r.rss_kb_per_viewer),
        join_ms_median: median(|r| r.join_ms_median),
        join_ms_p99: median(|r| r.join_ms_p99),
    }
}

/// What the figures were measured on.
fn host() -> serde_json::Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    json!({
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "cpus": available_cpus().len(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}
