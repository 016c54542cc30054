//! Starts the shards, one pinned thread each, and waits for them.

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};

use crate::eventfd::EventFd;
use crate::health::{Health, Life, Vitals};
use crate::reactor::{Heart, Reactor, TICK, heartbeat};
use crate::watchdog::{self, StallLimits};

/// What the product runs with; only a test that provokes lost wake-ups has other values.
const TIMING: Timing = Timing {
    preempt_timer: Duration::from_millis(100),
    heartbeat: TICK,
    start_within: Duration::from_secs(10),
};
/// Memory that glommio pins for file I/O, three times per shard. We do none, and this is the least
/// that it takes (the default is 10 MiB).
const IO_MEMORY_BYTES: usize = 64 << 10;

/// How a shard relies on glommio.
#[derive(Clone, Copy, Debug)]
struct Timing {
    /// glommio's preempt timer. An executor whose timer has fired before its tasks ran parks
    /// although they are runnable: at 1 ms it hung in 4 of 4 runs, at 10 ms within 10 s, at 100 ms
    /// never in 4.3 million requests. The driver does not rely on being preempted.
    preempt_timer: Duration,
    /// Pause between two beats of the heartbeat task.
    heartbeat: Duration,
    /// Time for the executors to run their first task. One that parks instead cannot be kicked,
    /// as nothing of it can be woken yet.
    start_within: Duration,
}

/// How shards are started and watched.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Shard `i` is pinned on `cpus[i % cpus.len()]`.
    pub cpus: Vec<usize>,
    /// What the watchdog does.
    pub stall: StallLimits,
}

/// A shard's place: what its main future gets.
#[derive(Debug)]
pub struct Seat {
    /// Which shard, from 0.
    pub index: usize,
    /// The CPU on which it is pinned.
    pub cpu: usize,
    /// Everything that it waits on.
    pub reactor: Reactor,
}

/// The running shards. Dropping it leaves them running; [`Pool::join`] waits for them.
#[derive(Debug)]
pub struct Pool {
    threads: Vec<JoinHandle<()>>,
    watchdog: JoinHandle<()>,
    ends: Receiver<(usize, Result<(), String>)>,
    health: Health,
}

/// Why there is no pool, or no longer a whole one.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// [`PoolOptions::cpus`] is empty.
    #[error("no CPU to run shards on")]
    NoCpus,
    /// There are no seeds.
    #[error("no shards to run")]
    NoShards,
    /// A thread or descriptor could not be made.
    #[error("shard {shard} cannot be started: {source}")]
    Thread {
        /// Which shard.
        shard: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The watchdog's thread could not be made.
    #[error("the watchdog cannot be started: {0}")]
    Watchdog(io::Error),
    /// glommio refuses: a CPU that the process may not use, io_uring or locked memory
    /// ([`crate::Preflight`] says which).
    #[error("shard {shard} cannot be started on CPU {cpu}: {reason}")]
    Executor {
        /// Which shard.
        shard: usize,
        /// The CPU on which it was to be pinned.
        cpu: usize,
        /// What glommio said.
        reason: String,
    },
    /// Some executors have not run their first task in time: the machine is overloaded, or glommio
    /// has lost their very first wake-up. Starting the process again helps.
    #[error("{missing} of the shards have not started within {} s", .within.as_secs())]
    NotStarted {
        /// How many.
        missing: usize,
        /// The time that they had.
        within: Duration,
    },
    /// The main future of a shard has panicked. The others may still be running: end the process
    /// with [`EXIT_SHARD_DIED`](crate::EXIT_SHARD_DIED), as the watchdog does otherwise.
    #[error("shard {shard} has died: {message}")]
    ShardDied {
        /// Which shard.
        shard: usize,
        /// The panic's message.
        message: String,
    },
}

/// Starts one shard per seed, all or none, and runs `main` on each until it returns. Returns when
/// every shard's executor stands.
///
/// # Errors
/// See [`PoolError`].
pub fn spawn<T, F, Fut>(options: PoolOptions, seeds: Vec<T>, main: F) -> Result<Pool, PoolError>
where
    T: Send + 'static,
    F: Fn(Seat, T) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    spawn_timed(options, seeds, main, TIMING)
}

fn spawn_timed<T, F, Fut>(
    options: PoolOptions,
    seeds: Vec<T>,
    main: F,
    timing: Timing,
) -> Result<Pool, PoolError>
where
    T: Send + 'static,
    F: Fn(Seat, T) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    if options.cpus.is_empty() {
        return Err(PoolError::NoCpus);
    }
    if seeds.is_empty() {
        return Err(PoolError::NoShards);
    }
    let shards = (0..seeds.len())
        .map(|shard| {
            let kick = EventFd::new().map_err(|source| PoolError::Thread { shard, source })?;
            Ok(Arc::new(Vitals::new(
                options.cpus[shard % options.cpus.len()],
                kick,
            )))
        })
        .collect::<Result<Arc<[_]>, PoolError>>()?;

    let (ready, all_ready) = crossbeam_channel::bounded(seeds.len());
    let (start, gate) = crossbeam_channel::bounded(seeds.len());
    let (end, ends) = crossbeam_channel::bounded(seeds.len());
    let mut threads = Vec::with_capacity(seeds.len());
    for (index, seed) in seeds.into_iter().enumerate() {
        let shard = Shard {
            index,
            vitals: shards[index].clone(),
            timing,
        };
        let (ready, gate, end, main) = (ready.clone(), gate.clone(), end.clone(), main.clone());
        let thread = thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || shard.run(&ready, &gate, &end, |seat| main(seat, seed)))
            .map_err(|source| PoolError::Thread {
                shard: index,
                source,
            })?;
        threads.push(thread);
    }
    drop(ready);
    let deadline = Instant::now() + timing.start_within;
    for started in 0..threads.len() {
        let (missing, within) = (threads.len() - started, timing.start_within);
        let result = all_ready.recv_deadline(deadline);
        // An early return drops `start`, which sends home the threads that wait at the gate.
        result.unwrap_or(Err(PoolError::NotStarted { missing, within }))?;
    }
    let watchdog = watchdog::start(shards.clone(), options.stall).map_err(PoolError::Watchdog)?;
    for _ in 0..threads.len() {
        // Has room for all of them, and each thread waits for its own.
        let _ = start.send(());
    }
    Ok(Pool {
        threads,
        watchdog,
        ends,
        health: Health { shards },
    })
}

impl Pool {
    /// What is known of each shard from outside it; stays valid after the pool has ended.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Waits until every shard's main future has returned, or until the first has panicked.
    ///
    /// # Errors
    /// [`PoolError::ShardDied`].
    pub fn join(self) -> Result<(), PoolError> {
        for _ in 0..self.threads.len() {
            if let Ok((shard, Err(message))) = self.ends.recv() {
                return Err(PoolError::ShardDied { shard, message });
            }
        }
        for thread in self.threads {
            // Each has caught its own panics and has reported its end.
            let _ = thread.join();
        }
        let _ = self.watchdog.join();
        Ok(())
    }
}

/// A shard's thread before its main future runs.
struct Shard {
    index: usize,
    vitals: Arc<Vitals>,
    timing: Timing,
}

impl Shard {
    fn run<Fut>(
        self,
        ready: &Sender<Result<(), PoolError>>,
        gate: &Receiver<()>,
        end: &Sender<(usize, Result<(), String>)>,
        main: impl FnOnce(Seat) -> Fut,
    ) where
        Fut: Future<Output = ()> + 'static,
    {
        let (executor, seat, heartbeat) = match self.prepare() {
            Ok(prepared) => {
                let _ = ready.send(Ok(()));
                prepared
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        if gate.recv().is_err() {
            // Another shard could not be started. The heartbeat may be dropped on its executor only.
            executor.run(async move { drop(heartbeat) });
            return;
        }
        self.vitals.set_life(Life::Running);
        let vitals = self.vitals.clone();
        let result = catch_unwind(AssertUnwindSafe(|| {
            executor.run(async move {
                let _heartbeat = heartbeat;
                vitals.pulse.set_parked(false);
                main(seat).await;
            });
        }));
        let outcome = result.map_err(|panic| describe(panic.as_ref()));
        match &outcome {
            Ok(()) => self.vitals.set_life(Life::Returned),
            Err(message) => {
                tracing::error!(shard = self.index, message, "the shard has died");
                self.vitals.set_life(Life::Died);
                // Its tasks are in an unknown state, and the process is about to end.
                std::mem::forget(executor);
            }
        }
        let _ = end.send((self.index, outcome));
    }

    /// Makes the executor and everything that the main future needs, and runs the heartbeat for the
    /// first time: from then on the shard can be kicked.
    fn prepare(&self) -> Result<(LocalExecutor, Seat, glommio::Task<()>), PoolError> {
        let executor = self.executor()?;
        let heart = Heart::new(self.timing.heartbeat);
        let reactor = Reactor::new(self.vitals.clone(), heart.clone()).map_err(|source| {
            PoolError::Thread {
                shard: self.index,
                source,
            }
        })?;
        let seat = Seat {
            index: self.index,
            cpu: self.vitals.cpu,
            reactor,
        };
        let vitals = self.vitals.clone();
        #[expect(
            clippy::async_yields_async,
            reason = "the heartbeat goes on; it is not awaited"
        )]
        let heartbeat = executor.run(async { glommio::spawn_local(heartbeat(heart, vitals)) });
        Ok((executor, seat, heartbeat))
    }

    fn executor(&self) -> Result<LocalExecutor, PoolError> {
        let builder = LocalExecutorBuilder::new(Placement::Fixed(self.vitals.cpu))
            .name("shard")
            .preempt_timer(self.timing.preempt_timer)
            .io_memory(IO_MEMORY_BYTES)
            // Made before this thread is pinned, so it may run on any CPU of the process.
            .blocking_thread_pool_placement(PoolPlacement::Unbound(1));
        // glommio panics when the kernel has no io_uring.
        let reason = match catch_unwind(AssertUnwindSafe(|| builder.make())) {
            Ok(Ok(executor)) => return Ok(executor),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => describe(panic.as_ref()),
        };
        Err(PoolError::Executor {
            shard: self.index,
            cpu: self.vitals.cpu,
            reason,
        })
    }
}

fn describe(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "panicked".to_owned())
}

#[cfg(test)]
mod tests;
