//! A process that runs out of descriptors. Alone in its binary: the limit is the whole process's.

#![allow(unsafe_code, reason = "setrlimit(2)")]

use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use executor::{ACCEPT_BACKOFF, Accepted, PoolOptions, Seat, StallLimits, bind_all, cpu, spawn};

const PATIENCE: Duration = Duration::from_secs(10);

/// Opens files until there is no descriptor left.
fn use_up_descriptors() -> Vec<File> {
    let limit = libc::rlimit {
        rlim_cur: 256,
        rlim_max: 256,
    };
    // SAFETY: `limit` is readable.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files
}

#[test]
fn a_server_without_descriptors_turns_away_and_recovers() {
    let mut listeners = bind_all("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let mut listener = listeners.remove(0);
    let addr = listener.local_addr();
    let mut first = TcpStream::connect(addr).unwrap();
    let mut second = TcpStream::connect(addr).unwrap();
    for client in [&first, &second] {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let (sender, results) = mpsc::channel();
    let (go, begin) = mpsc::channel();

    // A shard that was started in good times must go on sleeping and ticking in bad ones.
    let options = PoolOptions {
        cpus: cpu::available().unwrap().iter().collect(),
        stall: StallLimits {
            fatal_after: None,
            ..StallLimits::default()
        },
    };
    let main = |mut seat: Seat, (begin, sender): (mpsc::Receiver<()>, mpsc::Sender<u32>)| {
        begin.recv().unwrap();
        let (mut ticks, mut turns, mut events) = (0, 0, Vec::new());
        while ticks < 20 {
            ticks += u32::from(seat.reactor.wait(None, &mut events).tick);
            turns += 1;
        }
        sender.send(turns).unwrap();
    };
    let pool = spawn(options, vec![(begin, sender)], main).unwrap();

    let mut files = use_up_descriptors();
    let now = Instant::now();
    let Accepted::Exhausted { retry_at } = listener.accept(now) else {
        panic!("there was a descriptor");
    };
    assert_eq!(retry_at, now + ACCEPT_BACKOFF);
    assert_eq!(
        first.read(&mut [0]).unwrap(),
        0,
        "the first in the queue learns of it"
    );

    let too_early = listener.accept(retry_at - Duration::from_millis(1));
    assert!(matches!(too_early, Accepted::Exhausted { .. }));

    go.send(()).unwrap();
    let turns = results.recv_timeout(PATIENCE).unwrap();
    assert_eq!(turns, 20, "the shard slept from tick to tick");
    pool.join().unwrap();

    files.truncate(files.len() - 8);
    let accepted = listener.accept(retry_at);
    assert!(
        matches!(accepted, Accepted::Connection { .. }),
        "it recovers: {accepted:?}"
    );
    drop(accepted);
    assert_eq!(second.read(&mut [0]).unwrap(), 0);
}
