//! Shards as their user sees them: real threads, real descriptors.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use executor::{
    Inbox, LONGEST_REST, Pool, PoolError, PoolOptions, Reactor, Readiness, Seat, ShardHealth,
    StallLimits, TICK, Token, Trigger, UdpPort, cpu, mailboxes, spawn,
};

/// What a busy machine may need; a test that passes does not wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// On the CPUs of this machine, and never ending the test's process.
fn options() -> PoolOptions {
    PoolOptions {
        cpus: cpu::available().unwrap().iter().collect(),
        stall: StallLimits {
            fatal_after: None,
            ..StallLimits::default()
        },
    }
}

/// Runs `main` on one shard and returns what it sends.
fn on_one_shard<T, F>(main: F) -> T
where
    T: Send + 'static,
    F: Fn(Seat) -> T + Clone + Send + 'static,
{
    let (sender, results) = mpsc::channel();
    let pool = spawn(
        options(),
        vec![sender],
        move |seat, sender: mpsc::Sender<T>| sender.send(main(seat)).unwrap(),
    );
    pool.unwrap().join().unwrap();
    results.recv().unwrap()
}

fn health(pool: &Pool) -> Vec<ShardHealth> {
    pool.health().shards().collect()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn each_shard_runs_on_its_cpu_with_its_seed() {
    let cpus: Vec<usize> = cpu::available().unwrap().iter().collect();
    let shards = cpus.len() + 1; // one more than there are CPUs: they are shared in turn
    let (sender, results) = mpsc::channel();
    let seeds = (0..shards)
        .map(|seed| (seed * 10, sender.clone()))
        .collect();
    let pool = spawn(
        options(),
        seeds,
        |seat: Seat, (seed, sender): (usize, mpsc::Sender<_>)| {
            let allowed: Vec<usize> = cpu::available().unwrap().iter().collect();
            sender.send((seat.index, seat.cpu, seed, allowed)).unwrap();
        },
    )
    .unwrap();
    pool.join().unwrap();
    let mut seen: Vec<_> = results.try_iter().collect();
    seen.sort();
    let expected = (0..shards).map(|index| {
        let cpu = cpus[index % cpus.len()];
        (index, cpu, index * 10, vec![cpu])
    });
    assert_eq!(seen, expected.collect::<Vec<_>>());
}

#[test]
fn an_idle_shard_ticks_and_is_healthy() {
    let (began, ticks) = on_one_shard(|mut seat| {
        let began = seat.reactor.now();
        let (mut ticks, mut events) = (vec![], vec![]);
        while ticks.len() < 100 {
            let wake = seat.reactor.wait(None, &mut events);
            assert!(events.is_empty());
            assert!(wake.tick, "nothing else can have happened");
            ticks.push(wake);
        }
        (began, ticks)
    });
    for pair in ticks.windows(2) {
        let pause = pair[1].now - pair[0].now;
        assert_eq!(pause - pair[1].lag, TICK, "what is later is the machine's");
    }
    assert!(ticks[99].now - began >= TICK * 99);
}

#[test]
fn a_shard_that_rests_sleeps_through_ticks_once() {
    on_one_shard(|mut seat| {
        let mut events = Vec::new();
        let mut last = seat.reactor.wait(None, &mut events).now;
        let mut wait = |reactor: &mut Reactor| {
            let wake = reactor.wait(None, &mut events);
            assert!(wake.tick, "nothing else can have happened");
            let asked = wake.now - last - wake.lag;
            last = wake.now;
            asked
        };
        for _ in 0..10 {
            let far = seat.reactor.now() + Duration::from_secs(3600);
            seat.reactor.rest(far);
            assert_eq!(wait(&mut seat.reactor), LONGEST_REST);
            assert_eq!(wait(&mut seat.reactor), TICK, "a rest is for one sleep");
            seat.reactor.rest(seat.reactor.now());
            assert_eq!(wait(&mut seat.reactor), TICK, "never early");
        }
    });
}

#[test]
fn a_deadline_before_the_tick_is_met() {
    let mut late = on_one_shard(|mut seat| {
        let mut events = Vec::new();
        let mut late = Vec::new();
        while late.len() < 50 {
            seat.reactor.wait(None, &mut events); // a tick has just been
            let deadline = seat.reactor.now() + Duration::from_millis(1);
            let wake = seat.reactor.wait(Some(deadline), &mut events);
            assert!(wake.now >= deadline || wake.tick, "woken for nothing");
            if !wake.tick {
                late.push(wake.now - deadline);
            }
        }
        late
    });
    late.sort();
    let median = late[late.len() / 2];
    assert!(
        median < Duration::from_millis(2),
        "{median:?} after the deadline"
    );
}

#[test]
fn a_deadline_that_has_passed_returns_at_once() {
    let turns = on_one_shard(|mut seat| {
        let (mut turns, mut events) = (0, Vec::new());
        let end = seat.reactor.now() + TICK * 4;
        loop {
            let wake = seat.reactor.wait(Some(seat.reactor.now()), &mut events);
            if wake.now >= end {
                return turns;
            }
            turns += 1;
        }
    });
    assert!(turns > 100, "{turns} turns in four ticks: it slept");
}

#[test]
fn a_message_wakes_a_sleeping_shard() {
    let (postbox, inboxes) = mailboxes::<mpsc::Sender<Instant>>(1, 4).unwrap();
    let pool = spawn(options(), inboxes, |mut seat: Seat, mut inbox: Inbox<_>| {
        seat.reactor
            .register(inbox.as_fd(), Token(3), Trigger::Level)
            .unwrap();
        let (mut events, mut messages) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            while messages.is_empty() {
                let wake = seat.reactor.wait(None, &mut events);
                if events.is_empty() {
                    continue;
                }
                assert_eq!(events[0].token, Token(3));
                assert!(events[0].readable && !events[0].writable && !events[0].hangup);
                inbox.receive(4, &mut messages);
                let answer: mpsc::Sender<Instant> = messages.remove(0);
                answer.send(wake.now).unwrap();
                break;
            }
        }
    })
    .unwrap();
    let mut delays: Vec<Duration> = (0..200)
        .map(|_| {
            let (answer, answers) = mpsc::channel();
            let sent = Instant::now();
            postbox.send(0, answer).unwrap();
            answers
                .recv_timeout(PATIENCE)
                .unwrap()
                .saturating_duration_since(sent)
        })
        .collect();
    delays.sort();
    assert!(
        delays[100] < TICK / 2,
        "the shard slept on to its tick: {:?}",
        delays[100]
    );
    pool.join().unwrap();
}

/// A task that is always busy must not starve the shard's other I/O.
#[test]
fn a_busy_shard_goes_on_with_everything_else() {
    const BUSY: Token = Token(1);
    const ECHO: Token = Token(2);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let (sender, addresses) = mpsc::channel();
    let (postbox, mut inboxes) = mailboxes::<()>(1, 4).unwrap();
    let seeds = vec![(sender, inboxes.remove(0))];
    let main = |mut seat: Seat, (sender, inbox): (mpsc::Sender<_>, Inbox<()>)| {
        let mut port = UdpPort::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        sender.send(port.local_addr()).unwrap();
        seat.reactor
            .register(port.as_fd(), ECHO, Trigger::Edge)
            .unwrap();
        // Never received, so it is ready in every turn: a shard that is never done.
        seat.reactor
            .register(inbox.as_fd(), BUSY, Trigger::Level)
            .unwrap();
        let (mut events, mut ticks, mut echoed) = (Vec::new(), 0, 0);
        while echoed < 100 || ticks < 20 {
            let wake = seat.reactor.wait(None, &mut events);
            ticks += u32::from(wake.tick);
            if events
                .iter()
                .any(|event| event.token == ECHO && event.readable)
            {
                let mut answers = Vec::new();
                port.recv(&mut |from, datagram| answers.push((from, datagram.to_vec())))
                    .unwrap();
                for (to, datagram) in answers {
                    port.send(to, &datagram, datagram.len());
                    echoed += 1;
                }
            }
            // A bounded batch of work.
            let until = wake.now + Duration::from_micros(200);
            while seat.reactor.now() < until {}
        }
    };
    postbox.send(0, ()).unwrap();
    let pool = spawn(options(), seeds, main).unwrap();
    client
        .connect(addresses.recv_timeout(PATIENCE).unwrap())
        .unwrap();
    let mut times: Vec<Duration> = (0..100_u8)
        .map(|number| {
            let sent = Instant::now();
            client.send(&[number; 100]).unwrap();
            let mut answer = [0; 200];
            assert_eq!(client.recv(&mut answer).unwrap(), 100);
            assert_eq!(answer[0], number);
            sent.elapsed()
        })
        .collect();
    times.sort();
    // A turn takes 0.2 ms; the starvation that this is about takes 100 ms.
    assert!(
        times[50] < Duration::from_millis(5),
        "an answer takes {:?}",
        times[50]
    );
    pool.join().unwrap();
}

/// Which tokens are reported now, and whether as readable.
fn turn(reactor: &mut Reactor, events: &mut Vec<Readiness>) -> Vec<(u64, bool)> {
    reactor.wait(Some(reactor.now()), events);
    events
        .iter()
        .map(|event| (event.token.0, event.readable))
        .collect()
}

#[test]
fn edges_are_reported_once_and_levels_in_every_turn() {
    on_one_shard(|mut seat| {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let edge = UdpSocket::bind("127.0.0.1:0").unwrap();
        let level = UdpSocket::bind("127.0.0.1:0").unwrap();
        seat.reactor
            .register(edge.as_fd(), Token(1), Trigger::Edge)
            .unwrap();
        seat.reactor
            .register(level.as_fd(), Token(2), Trigger::Level)
            .unwrap();
        let mut events = Vec::new();
        assert_eq!(
            turn(&mut seat.reactor, &mut events),
            [(1, false)],
            "writable from the start"
        );
        assert!(events[0].writable);
        assert_eq!(turn(&mut seat.reactor, &mut events), []);
        sender.send_to(b"x", edge.local_addr().unwrap()).unwrap();
        sender.send_to(b"x", level.local_addr().unwrap()).unwrap();
        let mut seen = turn(&mut seat.reactor, &mut events);
        seen.sort();
        assert_eq!(seen, [(1, true), (2, true)]);
        assert_eq!(turn(&mut seat.reactor, &mut events), [(2, true)]);
        seat.reactor.deregister(level.as_fd()).unwrap();
        assert_eq!(turn(&mut seat.reactor, &mut events), []);
    });
}

#[test]
fn a_wrong_registration_is_refused() {
    on_one_shard(|seat| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let register = || {
            let result = seat
                .reactor
                .register(socket.as_fd(), Token(0), Trigger::Edge);
            result.map_err(|error| error.kind())
        };
        assert_eq!(register(), Ok(()));
        assert_eq!(register(), Err(std::io::ErrorKind::AlreadyExists));
        seat.reactor.deregister(socket.as_fd()).unwrap();
        let again = seat.reactor.deregister(socket.as_fd()).unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::NotFound);
    });
}

#[test]
fn many_ready_descriptors_are_spread_over_turns() {
    on_one_shard(|mut seat| {
        let sockets: Vec<UdpSocket> = (0..300)
            .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
            .collect();
        for (token, socket) in (0..).zip(&sockets) {
            seat.reactor
                .register(socket.as_fd(), Token(token), Trigger::Edge)
                .unwrap();
        }
        let (mut events, mut seen) = (Vec::new(), Vec::new());
        while seen.len() < sockets.len() {
            seat.reactor.wait(Some(Instant::now()), &mut events);
            assert!(!events.is_empty() && events.len() <= executor::EVENTS_PER_TURN);
            seen.extend(events.iter().map(|event| event.token.0));
        }
        seen.sort();
        assert_eq!(seen, (0..300).collect::<Vec<_>>());
    });
}

#[test]
fn a_panicking_shard_is_named() {
    let pool = spawn(options(), vec![(), (), ()], |seat: Seat, ()| {
        if seat.index == 1 {
            panic!("a bug in shard one");
        }
        // The others do not end: `join` must not wait for them.
        loop {
            std::thread::park();
        }
    })
    .unwrap();
    let health = pool.health();
    match pool.join() {
        Err(PoolError::ShardDied { shard: 1, message }) => {
            assert_eq!(message, "a bug in shard one");
        }
        other => panic!("{other:?}"),
    }
    assert!(!health.shards().nth(1).unwrap().running);
}

#[test]
fn shards_start_all_or_none() {
    let (sender, started) = mpsc::channel::<()>();
    let no_such_cpu = 8_000;
    let good = cpu::available().unwrap().iter().next().unwrap();
    let options = PoolOptions {
        cpus: vec![good, no_such_cpu],
        ..options()
    };
    let result = spawn(
        options,
        vec![sender.clone(), sender],
        |_, sender: mpsc::Sender<()>| {
            sender.send(()).unwrap();
        },
    );
    match result {
        Err(PoolError::Executor { shard: 1, cpu, .. }) => assert_eq!(cpu, no_such_cpu),
        other => panic!("{other:?}"),
    }
    // The channel is closed, since the other shard has gone home, and nothing came through it.
    assert_eq!(
        started.recv_timeout(PATIENCE),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn nothing_to_run_is_an_error() {
    let main = |_, ()| ();
    let no_cpus = PoolOptions {
        cpus: vec![],
        ..options()
    };
    assert!(matches!(
        spawn(no_cpus, vec![()], main),
        Err(PoolError::NoCpus)
    ));
    assert!(matches!(
        spawn(options(), vec![], main),
        Err(PoolError::NoShards)
    ));
}

#[test]
fn health_shows_a_shard_that_is_busy_for_long() {
    let (stop, stopped) = mpsc::channel::<()>();
    let main = |mut seat: Seat, stopped: mpsc::Receiver<()>| {
        let mut events = Vec::new();
        while stopped.try_recv().is_err() {
            let now = seat.reactor.wait(None, &mut events).now;
            while seat.reactor.now() < now + Duration::from_millis(150) {}
        }
    };
    let pool = spawn(options(), vec![stopped], main).unwrap();
    wait_until("the watchdog sees the stall", || {
        health(&pool)[0].longest_stall >= Duration::from_millis(50)
    });
    assert!(health(&pool)[0].turns > 0 && health(&pool)[0].running);
    stop.send(()).unwrap();
    pool.join().unwrap();
}
