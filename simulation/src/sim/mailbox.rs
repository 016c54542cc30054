//! Bounded mailboxes that take their time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media_service::connection::Transfer;
use media_service::limits::{MAILBOX_MESSAGES, MESSAGES_PER_TURN};
use media_service::message::Message;
use media_service::reload::Update;

use super::Client;

/// What comes through a mailbox.
#[derive(Debug)]
pub(crate) enum Letter {
    /// A connection that moves.
    Adopt(Client, Box<Transfer>),
    /// For the state machine.
    Message(Message),
    /// Another configuration.
    Reload(Arc<Update>),
}

/// A shard's mailbox: first in, first out.
#[derive(Debug)]
pub struct Mailbox {
    /// Letters that it holds; more are refused.
    pub capacity: usize,
    /// A letter is on its way for up to so long.
    pub delay: Duration,
    letters: VecDeque<(Instant, Letter)>,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        Self {
            capacity: MAILBOX_MESSAGES,
            delay: Duration::ZERO,
            letters: VecDeque::new(),
        }
    }

    /// Puts a letter in, `share` of the delay late; it comes back when there is no room.
    pub(crate) fn send(&mut self, now: Instant, share: f64, letter: Letter) -> Result<(), Letter> {
        if self.letters.len() >= self.capacity {
            return Err(letter);
        }
        self.letters
            .push_back((now + self.delay.mul_f64(share), letter));
        Ok(())
    }

    /// Connections that are in it.
    pub(crate) fn connections(&self) -> usize {
        let adopts = |letter: &Letter| matches!(letter, Letter::Adopt(..));
        self.letters.iter().filter(|(_, it)| adopts(it)).count()
    }

    /// Whether a new configuration is in it.
    pub(crate) fn reloads(&self) -> bool {
        let reload = |(_, letter): &(_, Letter)| matches!(letter, Letter::Reload(_));
        self.letters.iter().any(reload)
    }

    /// The letters of a turn.
    pub(crate) fn receive(&mut self, now: Instant) -> Vec<Letter> {
        let arrived = self.letters.iter().take_while(|(at, _)| *at <= now).count();
        self.letters
            .drain(..arrived.min(MESSAGES_PER_TURN))
            .map(|(_, letter)| letter)
            .collect()
    }
}
