//! One room as its audience sees it: which messages everyone has.

use std::collections::VecDeque;

/// A room and its audience.
pub(super) struct Room {
    /// As the server knows it.
    pub(super) id: u64,
    /// Whose latencies are kept together.
    pub(super) group: usize,
    /// Who is counted among the audience, by index.
    members: Vec<usize>,
    published: u64,
    /// Messages that everyone has.
    complete: u64,
    /// How many members have each message after those.
    reached: VecDeque<usize>,
}

impl Room {
    pub(super) fn new(id: u64, group: usize) -> Self {
        Self {
            id,
            group,
            members: Vec::new(),
            published: 0,
            complete: 0,
            reached: VecDeque::new(),
        }
    }

    /// Takes a member into the audience, before the first message.
    pub(super) fn add(&mut self, member: usize) {
        self.members.push(member);
    }

    pub(super) fn audience(&self) -> usize {
        self.members.len()
    }

    /// Counts one more message; who is to send it: each member in turn.
    pub(super) fn next_sender(&mut self) -> usize {
        let sender = self.members[self.published as usize % self.members.len()];
        self.published += 1;
        sender
    }

    /// Deliveries that all messages so far make.
    pub(super) fn due(&self) -> i64 {
        self.published as i64 * self.members.len() as i64
    }

    /// A member has its `count`th message. Whether this was the last member to have the oldest one that somebody lacked.
    pub(super) fn reached_by(&mut self, count: u64) -> bool {
        let Some(at) = count.checked_sub(self.complete + 1) else {
            return false;
        };
        let at = at as usize;
        if at >= self.reached.len() {
            self.reached.resize(at + 1, 0);
        }
        self.reached[at] += 1;
        let complete = self.reached.front() == Some(&self.members.len());
        if complete {
            self.reached.pop_front();
            self.complete += 1;
        }
        complete
    }
}
