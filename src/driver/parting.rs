//! Streams that their shard has forgotten, with a last sealed piece for the socket.

use std::collections::VecDeque;
use std::time::Instant;

use super::stream::Stream;
use crate::limits::{LINGER, PARTING_STREAMS};

/// They get [`LINGER`] to take it.
#[derive(Debug, Default)]
pub(super) struct Parting(VecDeque<(Instant, Stream)>);

impl Parting {
    /// Takes a stream; one too many is the end of the oldest.
    pub(super) fn add(&mut self, now: Instant, stream: Stream) {
        if self.0.len() == PARTING_STREAMS {
            self.0.pop_front();
        }
        self.0.push_back((now + LINGER, stream));
    }

    /// Closes those that are done, and those whose time is up.
    pub(super) fn tick(&mut self, now: Instant) {
        self.0
            .retain_mut(|(until, stream)| now < *until && !stream.flush().unwrap_or(true));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
