//! Messages between shards: a bounded queue per receiver and an eventfd that is written only when
//! the receiver may be asleep.
//!
//! # No wake-up is lost
//!
//! `awake` says that the receiver will look at its queue without being told. A sender first puts
//! its message into the queue, then swaps `awake` to true, and signals the eventfd if it was false.
//! A receiver that has found its queue empty clears the eventfd, then swaps `awake` to false, then
//! looks once more. Both swaps are on one atomic, so one comes first: if the sender's does, the
//! receiver's swap reads it and so sees the message in its last look; if the receiver's does, the
//! sender's swap reads false and signals after the receiver has cleared. (Clearing after the swap
//! could eat a signal whose sender has already set `awake`, and no other would follow.)
//!
//! While messages are left the eventfd stays readable, so a receiver that stops early is reported
//! again in the next turn.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::eventfd::EventFd;

/// The sending end to all shards' mailboxes. Cheap to clone; one per shard, and any thread may have
/// one.
pub struct Postbox<M> {
    slots: Arc<[Slot<M>]>,
}

/// A shard's own mailbox. Register it [`Level`](crate::Trigger::Level).
pub struct Inbox<M> {
    queue: Receiver<M>,
    bell: Arc<Bell>,
}

/// The mailbox has no room, or its shard has ended: the message comes back.
#[derive(thiserror::Error)]
#[error("the shard's mailbox is full")]
pub struct Full<M>(pub M);

struct Slot<M> {
    queue: Sender<M>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Bell {
    awake: AtomicBool,
    eventfd: EventFd,
}

/// Makes a mailbox of `capacity` messages for each of `shards` shards.
///
/// # Errors
/// If the kernel gives no more descriptors.
pub fn mailboxes<M: Send>(
    shards: usize,
    capacity: usize,
) -> io::Result<(Postbox<M>, Vec<Inbox<M>>)> {
    let mut slots = Vec::with_capacity(shards);
    let mut inboxes = Vec::with_capacity(shards);
    for _ in 0..shards {
        let (sender, receiver) = crossbeam_channel::bounded(capacity);
        let bell = Arc::new(Bell {
            awake: AtomicBool::new(false),
            eventfd: EventFd::new()?,
        });
        slots.push(Slot {
            queue: sender,
            bell: bell.clone(),
        });
        inboxes.push(Inbox {
            queue: receiver,
            bell,
        });
    }
    Ok((
        Postbox {
            slots: slots.into(),
        },
        inboxes,
    ))
}

impl<M: Send> Postbox<M> {
    /// Puts `message` into the mailbox of shard `to`, and wakes the shard if it may be asleep.
    /// Never waits. Messages from one sender to one shard arrive in order.
    ///
    /// # Errors
    /// [`Full`] with the message.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn send(&self, to: usize, message: M) -> Result<(), Full<M>> {
        let slot = &self.slots[to];
        match slot.queue.try_send(message) {
            Ok(()) => {
                slot.bell.ring();
                Ok(())
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                Err(Full(message))
            }
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.slots.len()
    }
}

impl<M: Send> Inbox<M> {
    /// Appends at most `most` messages to `into` and says whether there may be more. Once it has
    /// said no, the inbox is reported readable when a message comes. Never waits.
    pub fn receive(&mut self, most: usize, into: &mut Vec<M>) -> bool {
        let end = into.len().saturating_add(most);
        if !self.drain(end, into) {
            return true;
        }
        self.bell.disarm();
        if self.drain(end, into) {
            return false;
        }
        // The batch became full with messages that came in the meantime and did not ring.
        self.bell.ring();
        true
    }

    /// Messages that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes messages until there are none (true) or `into` has `end` of them.
    fn drain(&mut self, end: usize, into: &mut Vec<M>) -> bool {
        while into.len() < end {
            match self.queue.try_recv() {
                Ok(message) => into.push(message),
                Err(_empty) => return true,
            }
        }
        self.queue.is_empty()
    }
}

impl Bell {
    /// After a message was put into the queue.
    fn ring(&self) {
        if !self.awake.swap(true, Ordering::AcqRel) {
            self.eventfd.signal();
        }
    }

    /// Before the last look at an empty queue.
    fn disarm(&self) {
        self.eventfd.clear();
        self.awake.swap(false, Ordering::AcqRel);
    }
}

impl<M> AsFd for Inbox<M> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.eventfd.as_fd()
    }
}

impl<M> Clone for Postbox<M> {
    fn clone(&self) -> Self {
        Self {
            slots: self.slots.clone(),
        }
    }
}

impl<M> fmt::Debug for Postbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postbox")
            .field("shards", &self.slots.len())
            .finish()
    }
}

impl<M> fmt::Debug for Inbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("waiting", &self.queue.len())
            .finish()
    }
}

impl<M> fmt::Debug for Full<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full")
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::thread;

    use super::*;

    /// Whether the inbox is reported readable within `timeout` milliseconds.
    #[allow(unsafe_code, reason = "poll(2) has no safe interface in std")]
    fn readable<M>(inbox: &Inbox<M>, timeout: i32) -> bool {
        let mut pollfd = libc::pollfd {
            fd: inbox.as_fd().as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: the pointer is to one pollfd.
        unsafe { libc::poll(&raw mut pollfd, 1, timeout) == 1 }
    }

    fn one_mailbox(capacity: usize) -> (Postbox<u32>, Inbox<u32>) {
        let (postbox, mut inboxes) = mailboxes(1, capacity).unwrap();
        (postbox, inboxes.pop().unwrap())
    }

    #[test]
    fn messages_go_to_their_shard_in_order() {
        let (postbox, mut inboxes) = mailboxes(3, 8).unwrap();
        assert_eq!(postbox.shards(), 3);
        for message in 0..6 {
            postbox.clone().send(message % 2 * 2, message).unwrap();
        }
        let mut received = Vec::new();
        assert!(!inboxes[0].receive(8, &mut received));
        assert_eq!(received, [0, 2, 4]);
        assert!(!readable(&inboxes[1], 0));
        received.clear();
        assert!(!inboxes[2].receive(8, &mut received));
        assert_eq!(received, [1, 3, 5]);
    }

    #[test]
    fn a_full_mailbox_gives_the_message_back() {
        let (postbox, mut inbox) = one_mailbox(2);
        postbox.send(0, 1).unwrap();
        postbox.send(0, 2).unwrap();
        let Full(message) = postbox.send(0, 3).unwrap_err();
        assert_eq!(message, 3);
        let mut received = Vec::new();
        inbox.receive(8, &mut received);
        postbox.send(0, message).unwrap();
        inbox.receive(8, &mut received);
        assert_eq!(received, [1, 2, 3]);
    }

    #[test]
    fn the_message_to_a_shard_that_has_ended_comes_back() {
        let (postbox, inbox) = one_mailbox(2);
        drop(inbox);
        assert!(postbox.send(0, 1).is_err());
    }

    #[test]
    fn the_inbox_is_readable_until_it_is_empty() {
        let (postbox, mut inbox) = one_mailbox(8);
        assert!(!readable(&inbox, 0));
        for message in 0..3 {
            postbox.send(0, message).unwrap();
        }
        let mut received = Vec::new();
        assert!(inbox.receive(2, &mut received), "one is left");
        assert!(readable(&inbox, 0), "and will be reported");
        assert!(!inbox.receive(2, &mut received));
        assert!(!readable(&inbox, 0));
        assert_eq!(received, [0, 1, 2]);
    }

    #[test]
    fn a_batch_that_just_fits_leaves_nothing() {
        let (postbox, mut inbox) = one_mailbox(8);
        postbox.send(0, 1).unwrap();
        postbox.send(0, 2).unwrap();
        let mut received = Vec::new();
        assert!(!inbox.receive(2, &mut received));
        assert!(!readable(&inbox, 0));
        postbox.send(0, 3).unwrap();
        assert!(readable(&inbox, 0), "the bell was armed again");
    }

    /// Receivers that sleep until they are told, and a lost wake-up would let sleep for ever.
    #[test]
    fn no_wakeup_is_lost_between_threads() {
        const SENDERS: u32 = 3;
        const EACH: u32 = 20_000;
        let (postbox, mut inbox) = one_mailbox(64);
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let postbox = postbox.clone();
                thread::spawn(move || {
                    for message in 0..EACH {
                        let mut pending = sender * EACH + message;
                        while let Err(Full(message)) = postbox.send(0, pending) {
                            pending = message;
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let (mut received, mut all) = (Vec::new(), Vec::new());
        while all.len() < (SENDERS * EACH) as usize {
            assert!(readable(&inbox, 5_000), "asleep with {} to come", all.len());
            inbox.receive(7, &mut received);
            all.append(&mut received);
        }
        for sender in senders {
            sender.join().unwrap();
        }
        for sender in 0..SENDERS {
            let own = all.iter().filter(|message| **message / EACH == sender);
            assert!(own.is_sorted(), "the order of sender {sender} is kept");
        }
    }
}
