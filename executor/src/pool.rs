//! Starts the shards, one pinned thread each, and waits for them.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};

use crate::health::{Health, Life, Vitals};
use crate::reactor::Reactor;
use crate::watchdog::{self, StallLimits};

/// Time for the executors to run their first task.
const START_WITHIN: Duration = Duration::from_secs(10);
/// Memory that glommio pins for file I/O, three times per shard. We do none, and this is the least
/// that it takes (the default is 10 MiB).
const IO_MEMORY_BYTES: usize = 64 << 10;

/// How shards are started and watched.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Shard `i` is pinned on `cpus[i % cpus.len()]`.
    pub cpus: Vec<usize>,
    /// What the watchdog does.
    pub stall: StallLimits,
}

/// A shard's place: what its program gets.
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
    /// has parked before its first task. Starting the process again helps.
    #[error("{missing} of the shards have not started within {} s", .within.as_secs())]
    NotStarted {
        /// How many.
        missing: usize,
        /// The time that they had.
        within: Duration,
    },
    /// The program of a shard has panicked. The others may still be running: end the process
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
pub fn spawn<T, F>(options: PoolOptions, seeds: Vec<T>, main: F) -> Result<Pool, PoolError>
where
    T: Send + 'static,
    F: Fn(Seat, T) + Clone + Send + 'static,
{
    if options.cpus.is_empty() {
        return Err(PoolError::NoCpus);
    }
    if seeds.is_empty() {
        return Err(PoolError::NoShards);
    }
    let shards: Arc<[_]> = (0..seeds.len())
        .map(|shard| Arc::new(Vitals::new(options.cpus[shard % options.cpus.len()])))
        .collect();

    let (ready, all_ready) = crossbeam_channel::bounded(seeds.len());
    let (start, gate) = crossbeam_channel::bounded(seeds.len());
    let (end, ends) = crossbeam_channel::bounded(seeds.len());
    let mut threads = Vec::with_capacity(seeds.len());
    for (index, seed) in seeds.into_iter().enumerate() {
        let shard = Shard {
            index,
            vitals: shards[index].clone(),
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
    let deadline = Instant::now() + START_WITHIN;
    for started in 0..threads.len() {
        let (missing, within) = (threads.len() - started, START_WITHIN);
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

    /// Waits until every shard's program has returned, or until the first has panicked.
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

/// A shard's thread before its program runs.
struct Shard {
    index: usize,
    vitals: Arc<Vitals>,
}

impl Shard {
    fn run(
        self,
        ready: &Sender<Result<(), PoolError>>,
        gate: &Receiver<()>,
        end: &Sender<(usize, Result<(), String>)>,
        main: impl FnOnce(Seat),
    ) {
        let (executor, seat) = match self.prepare() {
            Ok(prepared) => prepared,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        // One task from here to the end, which sleeps in the kernel by itself: the executor never
        // parks, so that none of its wake-ups can be lost.
        executor.run(async {
            let _ = ready.send(Ok(()));
            if gate.recv().is_err() {
                return; // Another shard could not be started.
            }
            self.vitals.set_life(Life::Running);
            let result = catch_unwind(AssertUnwindSafe(|| main(seat)));
            let outcome = result.map_err(|panic| describe(panic.as_ref()));
            self.vitals.set_life(match &outcome {
                Ok(()) => Life::Returned,
                Err(message) => {
                    tracing::error!(shard = self.index, message, "the shard has died");
                    Life::Died
                }
            });
            let _ = end.send((self.index, outcome));
        });
    }

    /// Makes the executor and everything that the program needs.
    fn prepare(&self) -> Result<(LocalExecutor, Seat), PoolError> {
        let executor = self.executor()?;
        let reactor = Reactor::new(self.vitals.clone()).map_err(|source| PoolError::Thread {
            shard: self.index,
            source,
        })?;
        let seat = Seat {
            index: self.index,
            cpu: self.vitals.cpu,
            reactor,
        };
        Ok((executor, seat))
    }

    fn executor(&self) -> Result<LocalExecutor, PoolError> {
        let builder = LocalExecutorBuilder::new(Placement::Fixed(self.vitals.cpu))
            .name("shard")
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
