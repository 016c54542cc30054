//! A thread-per-core, shared-nothing server: live device video to browsers over WebRTC, its
//! control, and live rooms over WebSocket.
//!
//! Each CPU core runs one [`shard::Shard`], a pure state machine that owns its connections,
//! devices, sessions and rooms. [`driver::run`] is the only loop around it.
//!
//! ```text
//!          TCP (SO_REUSEPORT: every shard listens on the same port)     UDP (one port per shard)
//!                   │                                                        │
//! executor:  listener ─ poller (epoll) ─ gso udp ─ mailbox ─ 5 ms tick
//!                   │  bytes                                                 │ datagrams
//! driver     (the only loop: wait in the kernel → one bounded batch → flush once)
//!                   │                                                        │
//! shard      Shard: pure state machine, `now` is a parameter                 │
//!   connections: http → api → {sessions, devices, rooms}     demux: address / ufrag → session
//!                   │                                                        │
//! rtc        device source → packetise once → every viewer session (str0m) → outbox
//!                   │                                                        │
//! driver     flush: write per dirty connection, one UDP_SEGMENT send per viewer and frame
//! ```
//!
//! A device or room belongs to the shard that its id hashes to ([`placement`]); a session's id is
//! drawn so that it hashes there too. A request that names another shard's device, session or room
//! moves there with its connection ([`driver::Mail::Adopt`]). What is to survive a restart goes to
//! the [`store`]'s thread, which no shard waits for. Where TLS is spoken, the driver holds a
//! [`tls::Tunnel`] with each socket, and the shard sees what is within.

pub mod accounts;
pub mod alarm;
pub mod api;
pub mod auth;
pub mod client;
pub mod clock;
pub mod config;
pub mod connection;
pub mod driver;
pub mod error;
pub mod faults;
pub mod http;
pub mod ids;
pub mod json;
pub mod launch;
pub mod limits;
pub mod logging;
pub mod media;
#[allow(
    unsafe_code,
    reason = "prctl(2) has no safe interface in std, and the allocator none at all"
)]
pub mod memory;
pub mod message;
pub mod metrics;
pub mod openapi;
pub mod placement;
pub mod rates;
pub mod reload;
pub mod rooms;
pub mod shard;
pub mod side;
pub mod store;
pub mod threads;
pub mod tls;
pub mod totals;
pub mod web;
pub mod ws;
