//! Pinned shards: the only crate that knows glommio, epoll and the sockets' options.
//!
//! A *shard* is one thread on one CPU that owns a disjoint part of the work. Its program is one
//! function, the *driver*, that loops over [`Reactor::wait`] and does one bounded batch per turn:
//!
//! ```text
//!   other shards            kernel
//!       │ Postbox             │ TCP, UDP
//!       ▼                     ▼
//!   Inbox (eventfd)     Listener, UdpPort, connections        watchdog thread
//!       └───────────┬─────────┘                                     │ looks each 50 ms
//!                   ▼                                               │ whether there are turns
//!              epoll set: the thread sleeps in epoll_pwait2,        │
//!                   │     to the next TICK (at rest: a few of them) │
//!                   ▼                                               ▼
//!   driver:  loop { reactor.wait(deadline) → one bounded batch → flush once }
//! ```
//!
//! * [`spawn`] starts the shards and the watchdog and gives each shard a [`Seat`].
//! * [`bind_all`] makes one `SO_REUSEPORT` [`Listener`] a shard; [`UdpPort`] sends and receives
//!   runs of datagrams with one system call.
//! * [`mailboxes`] is all that shards share: bounded, and silent while the receiver is awake.
//! * [`Wheel`] holds every timer of a shard; it has no clock.
//! * [`Preflight`] says at start what the machine refuses, [`cpu`] which CPUs there are, and
//!   [`memory_limit`] how much memory.
//!
//! # How glommio 0.9.0 is used
//!
//! It makes each shard's executor and pins it. On that executor runs one task, the driver, which
//! never suspends: a sleep that is awaited through glommio's rings costs 40 to 65 µs, one in the
//! kernel's own epoll a fraction of it (`benches/runs/`). Three defects have no occasion to show:
//!
//! * An executor may park although tasks are runnable. This one has no second task, and never parks.
//! * Its UDP socket truncates a datagram after `EAGAIN`. Datagrams never pass through it.
//! * A task that yields to itself starves all I/O. The driver looks at its epoll set in each turn.

pub mod cpu;

mod bind;
mod cgroup;
#[allow(unsafe_code, reason = "clock_gettime(2) of a thread's CPU time")]
mod cpu_time;
#[allow(unsafe_code, reason = "epoll(7) has no safe interface in std")]
mod epoll;
#[allow(unsafe_code, reason = "eventfd(2) has no safe interface in std")]
mod eventfd;
mod health;
mod listener;
mod mailbox;
mod memory;
mod pool;
#[allow(unsafe_code, reason = "asks the kernel for a ring and for limits")]
mod preflight;
mod reactor;
#[allow(
    unsafe_code,
    reason = "setsockopt(2) of options that socket2 does not know"
)]
mod udp;
#[allow(unsafe_code, reason = "_exit(2), which runs nothing")]
mod watchdog;
mod wheel;

pub use bind::BindError;
pub use cpu::CpuList;
pub use cpu_time::thread_cpu_time;
pub use epoll::{Readiness, Token, Trigger};
pub use health::{Health, ShardHealth};
pub use listener::{ACCEPT_BACKOFF, Accepted, BACKLOG, Listener, bind_all};
pub use mailbox::{Full, Inbox, Postbox, mailboxes};
pub use memory::memory_limit;
pub use pool::{Pool, PoolError, PoolOptions, Seat, spawn};
pub use preflight::{Preflight, Problem};
pub use reactor::{EVENTS_PER_TURN, LONGEST_REST, Reactor, TICK, Wake};
pub use udp::{
    MAX_RUN_BYTES, MAX_RUN_SEGMENTS, RECV_BATCH_DATAGRAMS, Received, SendOutcome, UdpPort,
};
pub use watchdog::{EXIT_SHARD_DIED, EXIT_STALLED, StallLimits};
pub use wheel::Wheel;
