//! What the kernel, other shards and the door refuse. It may come with every turn, and is told once in a while.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::logging::paced::Paced;
use crate::shard::ConnectionRefused;

/// A line of a kind at most so often. The metrics count all of it at once.
const INTERVAL: Duration = Duration::from_secs(10);

/// `times` in a line: so often since the last one.
#[derive(Debug)]
pub(super) struct Complaints {
    shard: usize,
    exhausted: Paced,
    refused: Paced,
    unwatched: Paced,
    unreceived: Paced,
    undelivered: Paced,
}

impl Complaints {
    pub(super) fn of(shard: usize) -> Self {
        let paced = || Paced::once_in(INTERVAL);
        Self {
            shard,
            exhausted: paced(),
            refused: paced(),
            unwatched: paced(),
            unreceived: paced(),
            undelivered: paced(),
        }
    }

    /// There was no descriptor for a connection, or no memory of the kernel's.
    pub(super) fn exhausted(&mut self, now: Instant) {
        if let Some(times) = self.exhausted.count(now, 1) {
            let shard = self.shard;
            warn!(
                shard,
                times,
                "out of descriptors, so that connections wait or are closed: raise the limit of open files \
                 (LimitNOFILE=, ulimit -n) or lower limits.connections"
            );
        }
    }

    /// A connection was turned away at a cap.
    pub(super) fn refused(&mut self, now: Instant, peer: IpAddr, refused: ConnectionRefused) {
        if let Some(times) = self.refused.count(now, 1) {
            let (shard, cap) = (self.shard, refused.cap());
            warn!(shard, %peer, times, "connections are refused: there are as many as {cap} allows");
        }
    }

    /// A connection was not taken into the epoll set.
    pub(super) fn unwatched(&mut self, now: Instant, fault: &io::Error) {
        if let Some(times) = self.unwatched.count(now, 1) {
            let shard = self.shard;
            warn!(shard, times, "a connection cannot be watched: {fault}");
        }
    }

    /// A UDP port gave no datagrams.
    pub(super) fn unreceived(&mut self, now: Instant, fault: &io::Error) {
        if let Some(times) = self.unreceived.count(now, 1) {
            let shard = self.shard;
            warn!(shard, times, "receiving datagrams failed: {fault}");
        }
    }

    /// That shard's mailbox was full.
    pub(super) fn undelivered(&mut self, now: Instant, to: usize) {
        if let Some(times) = self.undelivered.count(now, 1) {
            let shard = self.shard;
            warn!(shard, to, times, "a mailbox is full: messages are lost");
        }
    }
}
