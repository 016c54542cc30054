//! What a shard leaves, carried out: bytes to their sockets, connections and messages to other shards,
//! jobs to their threads, datagrams.

use std::os::fd::AsFd;
use std::time::Instant;

use executor::SendOutcome;

use super::{Driver, Mail};
use crate::connection::{ConnectionId, Transfer};
use crate::metrics::{Stage, TlsHandshake};
use crate::shard::{Flushed, Job};

impl Driver {
    /// Carries everything out that the shard has left, until it leaves nothing more.
    pub(super) fn flush(&mut self, now: Instant) -> bool {
        self.send_datagrams();
        self.enter(Stage::Write);
        loop {
            let outbox = self.shard.outbox();
            // Swapped, for a sweep fills it in every turn.
            let mut dirty = std::mem::replace(&mut outbox.dirty, std::mem::take(&mut self.dirty));
            let resumed = std::mem::take(&mut outbox.resumed);
            let moves = std::mem::take(&mut outbox.moves);
            let messages = std::mem::take(&mut outbox.messages);
            let jobs = std::mem::take(&mut outbox.jobs);
            // The store leaves nothing that would need another round.
            let rows = outbox.rows.drain(..);
            rows.for_each(|entry| self.store.push(entry));
            if dirty.is_empty() && moves.is_empty() && messages.is_empty() && jobs.is_empty() {
                resumed.into_iter().for_each(|id| self.queue(id));
                return !self.ready.is_empty();
            }
            resumed.into_iter().for_each(|id| self.queue(id));
            dirty.drain(..).for_each(|id| self.write(now, id));
            self.dirty = dirty;
            for (id, to, transfer) in moves {
                self.hand_over(now, id, to.index(), transfer);
            }
            for (to, message) in messages {
                if self
                    .postbox
                    .send(to.index(), Mail::Message(message))
                    .is_err()
                {
                    self.shard.undelivered();
                    self.complaints.undelivered(now, to.index());
                }
            }
            jobs.into_iter().for_each(|job| self.give_job(now, job));
        }
    }

    fn give_job(&mut self, now: Instant, job: Job) {
        if let Err(job) = self.side.push(job) {
            self.shard.job_refused(now, job);
        }
    }

    pub(super) fn write(&mut self, now: Instant, id: ConnectionId) {
        loop {
            let Some(socket) = self.sockets.get_mut(id) else {
                // Its socket failed before it was watched, so the shard knows that it has ended.
                self.shard.wrote(now, id, 0);
                return;
            };
            let count = match socket.stream.write(self.shard.output(id)) {
                Ok(count) => count,
                Err(_) => {
                    self.shard.ended(now, id, true);
                    0
                }
            };
            match self.shard.wrote(now, id, count) {
                Flushed::More => {}
                Flushed::Stay => return,
                Flushed::Shutdown => {
                    // If it is broken, so says the next read.
                    let _ = socket.stream.shut_down();
                    // The rest of what the peer sends is read and dropped.
                    return self.queue(id);
                }
                Flushed::Close => {
                    return self.close(now, id);
                }
            }
        }
    }

    /// Closes a socket that the shard has forgotten, when it has taken what is sealed for it.
    fn close(&mut self, now: Instant, id: ConnectionId) {
        let Some(mut socket) = self.sockets.remove(id) else {
            return;
        };
        if socket.stream.is_unfinished() {
            let metrics = self.shard.metrics();
            metrics.tls_handshakes.bump(TlsHandshake::Unfinished);
        }
        if !socket.stream.close() {
            let _ = self.seat.reactor.deregister(socket.stream.as_fd());
            self.parting.add(now, socket.stream);
            self.shard.parting(self.parting.len());
        }
        // Closing takes the descriptor out of the epoll set.
    }

    /// Those that wait for their last bytes to be taken.
    pub(super) fn tick_parting(&mut self, now: Instant) {
        if self.parting.len() > 0 {
            self.parting.tick(now);
            self.shard.parting(self.parting.len());
        }
    }

    fn hand_over(&mut self, now: Instant, id: ConnectionId, to: usize, transfer: Box<Transfer>) {
        let Some(socket) = self.sockets.remove(id) else {
            return self.shard.lost(id);
        };
        let _ = self.seat.reactor.deregister(socket.stream.as_fd());
        match self.postbox.send(
            to,
            Mail::Adopt {
                socket: socket.stream,
                transfer,
            },
        ) {
            Ok(()) => self.shard.moved(id),
            Err(full) => {
                if let Mail::Adopt { socket, transfer } = full.0 {
                    self.shard.move_refused(now, id, *transfer);
                    self.watch(now, id, socket);
                }
            }
        }
    }

    /// One send per viewer and run; what the socket will not take is dropped and counted.
    fn send_datagrams(&mut self) {
        if self.shard.datagrams().is_empty() {
            return;
        }
        self.enter(Stage::Send);
        let mut blocked = Vec::new();
        let (mut runs, mut datagrams, mut bytes, mut failed) = (0, 0, 0, 0);
        let (outbox, load) = self.shard.sends();
        for run in outbox.runs() {
            let Some(port) = self.ports.get(usize::from(run.socket.0)) else {
                continue;
            };
            match port.send(run.to, run.contents, run.segment) {
                SendOutcome::Sent => {
                    load.runs.observe(run.datagrams());
                    runs += 1;
                    datagrams += run.datagrams() as u64;
                    bytes += run.contents.len() as u64;
                }
                SendOutcome::WouldBlock => blocked.push((run.session, run.datagrams())),
                // Unreachable for the moment: ICE notices when it stays so.
                SendOutcome::Failed(_) => failed += run.datagrams() as u64,
            }
        }
        self.shard.datagrams().clear_runs();
        for (session, datagrams) in blocked {
            self.shard.send_blocked(session, datagrams);
        }
        let metrics = self.shard.metrics();
        metrics.send_runs += runs;
        metrics.send_datagrams += datagrams;
        metrics.send_bytes += bytes;
        metrics.send_failed += failed;
    }
}
