//! What a turn leaves for the driver: datagrams in runs that GSO can carry, events, timers.

use std::net::SocketAddr;
use std::time::Instant;
use std::vec::Drain;

use crate::{Event, SessionKey, SocketIndex};

/// Segments that one `UDP_SEGMENT` send may carry (`UDP_MAX_SEGMENTS` of Linux before 6.9).
pub const RUN_MAX_SEGMENTS: usize = 64;
/// Bytes of one run: a UDP datagram's 65,507 less some room for IPv6 and its options.
pub const RUN_MAX_BYTES: usize = 65_000;

/// Outputs of a turn. Reused every turn, so that it allocates only until it has grown.
#[derive(Default)]
pub struct Outbox {
    /// As long as it ever had to be, so that nothing is cleared before it is written.
    bytes: Vec<u8>,
    /// How many of them hold datagrams.
    used: usize,
    runs: Vec<RunHead>,
    events: Vec<Event>,
    timers: Vec<(SessionKey, Instant)>,
}

struct RunHead {
    socket: SocketIndex,
    to: SocketAddr,
    session: SessionKey,
    media: bool,
    segment: usize,
    start: usize,
    end: usize,
    segments: usize,
}

/// Datagrams to one destination that one `UDP_SEGMENT` send can carry: all of `segment` bytes, but
/// for the last one, which may be shorter.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// Which socket to send on.
    pub socket: SocketIndex,
    /// Where to.
    pub to: SocketAddr,
    /// Size of a datagram in bytes.
    pub segment: usize,
    /// The datagrams, end to end.
    pub contents: &'a [u8],
    /// Whose they are, for [`Plane::send_blocked`](crate::Plane::send_blocked).
    pub session: SessionKey,
    /// SRTP (and not STUN, DTLS or SRTCP): what may be dropped when the socket is full.
    pub media: bool,
}

impl Run<'_> {
    /// How many datagrams the run holds.
    pub fn datagrams(&self) -> usize {
        self.contents.len().div_ceil(self.segment)
    }
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The datagrams, in the order in which they must be sent.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        self.runs.iter().map(|head| Run {
            socket: head.socket,
            to: head.to,
            segment: head.segment,
            contents: &self.bytes[head.start..head.end],
            session: head.session,
            media: head.media,
        })
    }

    /// Forgets the datagrams, which were sent or given up.
    pub fn clear_runs(&mut self) {
        self.runs.clear();
        self.used = 0;
    }

    /// Takes the events.
    pub fn events(&mut self) -> Drain<'_, Event> {
        self.events.drain(..)
    }

    /// Takes the timers: [`Plane::timeout`](crate::Plane::timeout) wants to be called for this
    /// session at this time, or up to 5 ms (a tick) before. A later time that was asked for before
    /// may be kept, and fire for nothing, or be replaced.
    pub fn timers(&mut self) -> Drain<'_, (SessionKey, Instant)> {
        self.timers.drain(..)
    }

    /// Bytes of datagrams held, so that the driver can flush in the middle of a long turn.
    pub fn datagram_bytes(&self) -> usize {
        self.used
    }

    /// Nothing to send, tell or arm.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.events.is_empty() && self.timers.is_empty()
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(crate) fn timer(&mut self, session: SessionKey, at: Instant) {
        self.timers.push((session, at));
    }

    /// Appends a datagram, to the last run where it fits there.
    pub(crate) fn datagram(
        &mut self,
        session: SessionKey,
        socket: SocketIndex,
        to: SocketAddr,
        media: bool,
        contents: &[u8],
    ) {
        if contents.is_empty() {
            return;
        }
        self.room(contents.len()).copy_from_slice(contents);
        self.append(session, (socket, to), media, contents.len());
    }

    /// Appends a datagram of media, of exactly `len` bytes, that `write` writes; none where it
    /// returns false.
    pub(crate) fn media(
        &mut self,
        session: SessionKey,
        socket: SocketIndex,
        to: SocketAddr,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> bool,
    ) -> bool {
        let written = write(self.room(len));
        if written {
            self.append(session, (socket, to), true, len);
        }
        written
    }

    /// The bytes behind the last datagram.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let end = self.used + len;
        if self.bytes.len() < end {
            self.bytes.resize(end.next_multiple_of(RUN_MAX_BYTES), 0);
        }
        &mut self.bytes[self.used..end]
    }

    fn append(
        &mut self,
        session: SessionKey,
        (socket, to): (SocketIndex, SocketAddr),
        media: bool,
        len: usize,
    ) {
        let start = self.used;
        let end = start + len;
        self.used = end;
        if let Some(last) = self.runs.last_mut()
            && last.session == session
            && last.socket == socket
            && last.to == to
            && last.media == media
            && last.takes(len)
        {
            last.end = end;
            last.segments += 1;
            return;
        }
        self.runs.push(RunHead {
            socket,
            to,
            session,
            media,
            segment: len,
            start,
            end,
            segments: 1,
        });
    }
}

impl RunHead {
    /// A datagram of `len` bytes may follow: no longer than the others, which are all full.
    fn takes(&self, len: usize) -> bool {
        let held = self.end - self.start;
        len <= self.segment
            && held == self.segments * self.segment
            && self.segments < RUN_MAX_SEGMENTS
            && held + len <= RUN_MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Key as _;

    fn push(out: &mut Outbox, session: u32, port: u16, len: usize) {
        let to = SocketAddr::from(([10, 0, 0, 1], port));
        let key = SessionKey::new(session, 0);
        out.datagram(key, SocketIndex(0), to, true, &vec![session as u8; len]);
    }

    fn shape(out: &Outbox) -> Vec<(usize, usize)> {
        out.runs()
            .map(|run| (run.segment, run.datagrams()))
            .collect()
    }

    #[test]
    fn equal_datagrams_are_one_run_and_a_shorter_one_ends_it() {
        let mut out = Outbox::new();
        for len in [1_000, 1_000, 999, 1_000] {
            push(&mut out, 1, 1, len);
        }
        assert_eq!(shape(&out), [(1_000, 3), (1_000, 1)]);
        assert_eq!(out.datagram_bytes(), 3_999);
    }

    #[test]
    fn a_longer_datagram_another_address_or_session_starts_a_run() {
        let mut out = Outbox::new();
        push(&mut out, 1, 1, 100);
        push(&mut out, 1, 1, 101);
        push(&mut out, 1, 2, 101);
        push(&mut out, 2, 2, 101);
        assert_eq!(shape(&out), [(100, 1), (101, 1), (101, 1), (101, 1)]);
    }

    #[test]
    fn runs_stay_within_what_the_kernel_takes() {
        let mut out = Outbox::new();
        for _ in 0..RUN_MAX_SEGMENTS + 1 {
            push(&mut out, 1, 1, 100);
        }
        assert_eq!(shape(&out), [(100, RUN_MAX_SEGMENTS), (100, 1)]);
        out.clear_runs();
        assert!(out.is_empty());
        for _ in 0..60 {
            push(&mut out, 1, 1, 1_194);
        }
        assert!(out.runs().all(|run| run.contents.len() <= RUN_MAX_BYTES));
        assert_eq!(shape(&out), [(1_194, 54), (1_194, 6)]);
    }
}
