//! glommio parks an executor although tasks are runnable, when the preempt timer has fired
//! before they ran. A tiny timer makes that happen within some thousand messages.

use std::future::poll_fn;
use std::os::fd::AsFd;

use super::*;
use crate::epoll::{Epoll, Token, Trigger};
use crate::health::ShardHealth;
use crate::mailbox::{Inbox, mailboxes};
use crate::readable::Readable;

/// Answers awaited before an executor counts as hung: far more than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(2);
const MESSAGES: u64 = 10_000;
const STOP: u64 = u64::MAX;

fn a_cpu() -> usize {
    crate::cpu::available()
        .unwrap()
        .iter()
        .last()
        .expect("there is a CPU")
}

/// Sends messages one by one and waits for each answer; the longest time that one took, or `None`
/// if one never came.
fn ping_pong(
    mut send: impl FnMut(u64),
    answers: &Receiver<u64>,
    messages: u64,
    patience: Duration,
) -> Option<Duration> {
    let mut longest = Duration::ZERO;
    for message in 0..messages {
        let sent = Instant::now();
        send(message);
        assert_eq!(answers.recv_timeout(patience).ok()?, message);
        longest = longest.max(sent.elapsed());
    }
    Some(longest)
}

/// What an executor does without heartbeat and watchdog: whether it stops answering.
fn hangs_alone(preempt_timer: Duration) -> bool {
    let (postbox, mut inboxes) = mailboxes(1, 16).unwrap();
    let mut inbox: Inbox<u64> = inboxes.pop().unwrap();
    let (answer, answers) = crossbeam_channel::bounded(16);
    // Left parked for ever if it hangs.
    thread::spawn(move || {
        let executor = LocalExecutorBuilder::new(Placement::Fixed(a_cpu()))
            .preempt_timer(preempt_timer)
            .make()
            .unwrap();
        executor.run(async move {
            let epoll = Epoll::new().unwrap();
            epoll.add(inbox.as_fd(), Token(1), Trigger::Level).unwrap();
            let mut readable = Readable::new(epoll.as_fd()).unwrap();
            let mut messages = Vec::new();
            while messages.pop() != Some(STOP) {
                poll_fn(|cx| readable.poll_readable(cx)).await;
                inbox.receive(1, &mut messages);
                messages
                    .iter()
                    .for_each(|message| answer.send(*message).unwrap());
            }
        });
    });
    let patience = Duration::from_millis(500);
    let send = |message| postbox.send(0, message).unwrap();
    let hung = ping_pong(send, &answers, MESSAGES, patience).is_none();
    let _ = postbox.send(0, STOP);
    hung
}

/// The longest preempt timer with which an executor alone hangs on this machine. Below the least
/// that is tried here an executor may not even run its first task.
fn treacherous_timer() -> Duration {
    let mut timer = Duration::from_micros(200);
    while timer > Duration::from_micros(20) && !hangs_alone(timer) {
        timer = timer * 3 / 4;
    }
    timer
}

/// Runs a shard that answers every message. Starting may take several tries: before the first task
/// has run nothing can wake an executor.
fn answering_shard(timing: Timing) -> (Pool, impl FnMut(u64), Receiver<u64>) {
    loop {
        let (postbox, inboxes) = mailboxes(1, 16).unwrap();
        let (answer, answers) = crossbeam_channel::bounded(16);
        let options = PoolOptions {
            cpus: vec![a_cpu()],
            stall: StallLimits {
                fatal_after: None,
                ..StallLimits::default()
            },
        };
        let main = move |mut seat: Seat, mut inbox: Inbox<u64>| {
            let answer = answer.clone();
            async move {
                seat.reactor
                    .register(inbox.as_fd(), Token(1), Trigger::Level)
                    .unwrap();
                let (mut events, mut messages) = (Vec::new(), Vec::new());
                while messages.pop() != Some(STOP) {
                    seat.reactor.wait(None, &mut events).await;
                    inbox.receive(1, &mut messages);
                    messages
                        .iter()
                        .for_each(|message| answer.send(*message).unwrap());
                }
            }
        };
        match spawn_timed(options, inboxes, main, timing) {
            Ok(pool) => {
                return (
                    pool,
                    move |message| postbox.send(0, message).unwrap(),
                    answers,
                );
            }
            Err(PoolError::NotStarted { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn no_message_is_left_behind_with_a_timer_that_hangs_a_bare_executor() {
    let preempt_timer = treacherous_timer();
    let start_within = Duration::from_millis(500);

    let heartbeat = Timing {
        preempt_timer,
        start_within,
        heartbeat: TICK,
    };
    let (pool, mut send, answers) = answering_shard(heartbeat);
    let longest = ping_pong(&mut send, &answers, MESSAGES, PATIENCE);
    println!("{preempt_timer:?}: with the heartbeat the slowest answer took {longest:?}");
    assert!(longest.is_some(), "the heartbeat did not wake the shard");
    send(STOP);
    pool.join().unwrap();

    // As if the heartbeat were always what is left behind: the watchdog alone must do it.
    let kicks_only = Timing {
        heartbeat: Duration::from_secs(3600),
        ..heartbeat
    };
    let (pool, mut send, answers) = answering_shard(kicks_only);
    let longest = ping_pong(&mut send, &answers, MESSAGES, PATIENCE);
    println!("{preempt_timer:?}: with kicks alone the slowest answer took {longest:?}");
    assert!(longest.is_some(), "the watchdog did not wake the shard");
    // Idle and without a heartbeat it stands still, is kicked, and moves: each is counted.
    let idle_since = Instant::now();
    let counted = |shard: ShardHealth| shard.kicks > 0 && shard.lost_wakeups > 0;
    while !pool.health().shards().all(counted) {
        assert!(idle_since.elapsed() < PATIENCE, "{:?}", pool.health());
        thread::yield_now();
    }
    send(STOP);
    pool.join().unwrap();
}
