//! A tick: what `media_service::driver` does in its turns, and the peers in theirs.

use media_service::accounts::Outcome;
use media_service::connection::ConnectionId;
use media_service::limits::READS_PER_TURN;
use media_service::message::Message;
use media_service::metrics::{ProcessFigures, encode};
use media_service::shard::{Flushed, Job};
use media_service::side::read;
use rtc::SocketIndex;

use super::mailbox::{Letter, Mailbox};
use super::{Client, Side, Sim, media_address, wall};

/// Rounds of a flush: what is carried out leaves a little more, a few times.
const FLUSH_ROUNDS: usize = 1000;

/// Datagrams that a socket's buffer holds; more are lost.
const SOCKET_DATAGRAMS: usize = 1_000;

impl Sim {
    /// One tick: a turn of every shard, and of the viewers.
    pub fn step(&mut self) {
        self.now += self.tick;
        while let Some((to, from, bytes)) = self.network.arrived(self.now) {
            if let Some(viewer) = self.viewers.iter_mut().find(|v| v.address == to) {
                viewer.receive(self.now, from, &bytes);
            } else if let Some(shard) = (0..self.shards.len()).find(|&i| media_address(i) == to) {
                let unread = &mut self.unread[shard];
                if unread.len() < SOCKET_DATAGRAMS {
                    unread.push_back((from, bytes));
                }
            }
        }
        for (shard, receipts) in self.store.commit(self.now) {
            let _ = self.mail(shard.index(), Letter::Message(Message::Stored(receipts)));
        }
        for shard in 0..self.shards.len() {
            if !self.stuck[shard] && !self.ended[shard] {
                self.turn(shard);
            }
        }
        for viewer in &mut self.viewers {
            viewer.tick(self.now);
            for (to, bytes) in viewer.outgoing.drain(..) {
                self.network.send(self.now, viewer.address, to, &bytes);
            }
        }
    }

    fn turn(&mut self, shard: usize) {
        let now = self.now;
        for (from, bytes) in self.unread[shard].drain(..) {
            self.shards[shard].datagram(now, SocketIndex(0), from, &bytes);
        }
        for letter in self.mailboxes[shard].receive(now) {
            match letter {
                Letter::Message(message) => self.shards[shard].message(now, message),
                Letter::Reload(update) => self.shards[shard].reload(now, &update),
                Letter::Adopt(client, transfer) => {
                    let id = self.shards[shard].adopt(now, *transfer);
                    self.own(client, shard, id);
                }
            }
        }
        let mut here: Vec<Client> = self.clients_of(shard);
        here.sort_unstable_by_key(|client| client.0);
        for client in here {
            self.read(client);
            self.write(client);
        }
        self.shards[shard].tick(now, wall(now - self.start));
        // The driver takes further turns at once while there is more to do.
        let mut more = true;
        while more {
            self.turns += 1;
            more = self.shards[shard].end_turn(now);
            self.flush(shard);
            self.shards[shard].flushed(now);
        }
        if self.shards[shard].is_drained(now) {
            self.ended[shard] = true;
            for client in self.clients_of(shard) {
                self.close(client);
            }
        }
    }

    pub(super) fn clients_of(&self, shard: usize) -> Vec<Client> {
        self.owners
            .iter()
            .filter(|(_, (owner, _))| *owner == shard)
            .map(|(&client, _)| client)
            .collect()
    }

    pub(super) fn own(&mut self, client: Client, shard: usize, id: ConnectionId) {
        self.owners.insert(client, (shard, id));
        self.clients.insert((shard, id), client);
    }

    /// Connections on their way from shard to shard.
    pub fn moving(&self) -> usize {
        self.mailboxes.iter().map(Mailbox::connections).sum()
    }

    /// Everybody who is connected, in the order of coming.
    pub fn everybody(&self) -> Vec<Client> {
        let mut clients: Vec<Client> = self.owners.keys().copied().collect();
        clients.sort_unstable_by_key(|client| client.0);
        clients
    }

    /// Connections that shards have.
    pub fn held(&self) -> usize {
        self.owners.len()
    }

    pub(super) fn disown(&mut self, client: Client) {
        if let Some(owner) = self.owners.remove(&client) {
            self.clients.remove(&owner);
        }
    }

    pub(super) fn close(&mut self, client: Client) {
        self.disown(client);
        self.wires[client.0].server_done = true;
        self.wires[client.0].closed = true;
    }

    /// Reads what the client has sent, as long as the shard wants it.
    fn read(&mut self, client: Client) {
        for _ in 0..READS_PER_TURN {
            let Some(&(shard, id)) = self.owners.get(&client) else {
                return;
            };
            if !self.shards[shard].reads(id) {
                return;
            }
            let most = 1 + self.draw(self.read_bytes);
            let wire = &mut self.wires[client.0];
            if wire.reset {
                return self.shards[shard].ended(self.now, id, true);
            }
            if wire.to_server.is_empty() {
                if wire.client_done && !wire.end_read {
                    wire.end_read = true;
                    self.shards[shard].ended(self.now, id, false);
                }
                return;
            }
            let count = most.min(wire.to_server.len());
            let bytes: Vec<u8> = wire.to_server.drain(..count).collect();
            let mut records = bytes.chunks(self.record_bytes);
            for record in &mut records {
                self.shards[shard].received(self.now, id, record);
                if !self.shards[shard].reads(id) {
                    break;
                }
            }
            let held: Vec<u8> = records.flatten().copied().collect();
            self.wires[client.0].to_server.splice(..0, held);
        }
    }

    /// Writes what the client's socket takes.
    fn write(&mut self, client: Client) {
        let Some(&(shard, id)) = self.owners.get(&client) else {
            return;
        };
        loop {
            let (now, owner, wire) = (self.now, &mut self.shards[shard], &mut self.wires[client.0]);
            let output = owner.output(id);
            let mut count = output.len().min(wire.room());
            if wire.reset && !output.is_empty() {
                owner.ended(now, id, true);
                count = 0;
            } else {
                wire.to_client.extend_from_slice(&output[..count]);
            }
            match owner.wrote(now, id, count) {
                Flushed::Stay => return,
                Flushed::More => {}
                Flushed::Shutdown => return wire.server_done = true,
                Flushed::Close => return self.close(client),
            }
        }
    }

    /// Carries out everything that the shard has left.
    ///
    /// # Panics
    /// When it leaves something more and more: a driver would never come back from that.
    fn flush(&mut self, shard: usize) {
        for run in self.shards[shard].datagrams().runs() {
            for datagram in run.contents.chunks(run.segment) {
                self.network
                    .send(self.now, media_address(shard), run.to, datagram);
            }
        }
        self.shards[shard].datagrams().clear_runs();
        for _ in 0..FLUSH_ROUNDS {
            let outbox = std::mem::take(self.shards[shard].outbox());
            for entry in outbox.rows {
                self.store.push(self.now, entry);
            }
            // Who wants bytes again is asked each turn here.
            if outbox.dirty.is_empty()
                && outbox.moves.is_empty()
                && outbox.messages.is_empty()
                && outbox.jobs.is_empty()
            {
                return;
            }
            for id in outbox.dirty {
                match self.clients.get(&(shard, id)) {
                    Some(&client) => self.write(client),
                    None => _ = self.shards[shard].wrote(self.now, id, 0),
                }
            }
            for (id, to, transfer) in outbox.moves {
                let client = self.clients[&(shard, id)];
                self.disown(client);
                match self.mail(to.index(), Letter::Adopt(client, transfer)) {
                    Ok(()) => {
                        self.handed_over += 1;
                        self.shards[shard].moved(id);
                    }
                    Err(Letter::Adopt(_, transfer)) => {
                        self.shards[shard].move_refused(self.now, id, *transfer);
                        self.own(client, shard, id);
                    }
                    Err(Letter::Message(_) | Letter::Reload(_)) => {
                        unreachable!("the letter itself comes back")
                    }
                }
            }
            for (to, message) in outbox.messages {
                if self.mail(to.index(), Letter::Message(message)).is_err() {
                    self.shards[shard].undelivered();
                }
            }
            for job in outbox.jobs {
                self.do_job(shard, job);
            }
        }
        panic!("the shard is not done after {FLUSH_ROUNDS} rounds of one flush");
    }

    pub(super) fn mail(&mut self, to: usize, letter: Letter) -> Result<(), Letter> {
        if self.ended[to] {
            return Err(letter);
        }
        let share = self.draw(1000) as f64 / 1000.0;
        self.mailboxes[to].send(self.now, share, letter)
    }

    fn do_job(&mut self, shard: usize, job: Job) {
        match self.side {
            Side::Works => {}
            Side::Full => return self.shards[shard].job_refused(self.now, job),
            Side::Silent => return,
        }
        let (to, message) = match job {
            Job::Scrape(scrape) => {
                let snapshots = self.last.update(scrape.snapshots);
                let text = encode(snapshots, &ProcessFigures::default())
                    .expect("figures that can be written");
                let message = Message::Encoded {
                    connection: scrape.connection,
                    gather: scrape.gather,
                    text,
                };
                (scrape.from, message)
            }
            Job::Read(job) => {
                let message = Message::Replied {
                    connection: job.connection,
                    gather: job.gather,
                    reply: read(&self.store.reader, &job.read),
                };
                (job.from, message)
            }
            Job::Account(job) => {
                let accounts = self.accounts.as_mut().expect("the process runs");
                let (connection, gather) = (job.connection, job.gather);
                let message = match accounts.run(job.task) {
                    Outcome::Reply(reply) => Message::Replied {
                        connection,
                        gather,
                        reply,
                    },
                    Outcome::Store(user, response) => Message::Hashed {
                        connection,
                        gather,
                        user,
                        response,
                    },
                };
                (job.from, message)
            }
        };
        // The side thread tries for a second; a mailbox that stays full loses it.
        let _ = self.mail(to.index(), Letter::Message(message));
    }
}
