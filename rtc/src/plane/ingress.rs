//! What comes in from the network and from the clock.

use std::net::SocketAddr;
use std::time::Instant;

use super::Plane;
use crate::demux::{Admission, Kind};
use crate::session::Panicked;
use crate::stun::{Check, NoCheck};
use crate::{Outbox, SessionKey, SocketIndex};

impl Plane {
    /// Takes a datagram in. It never fails; what is dropped is counted, by reason.
    pub fn datagram(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut Outbox,
    ) {
        self.counters.datagrams_received += 1;
        self.counters.bytes_received += bytes.len() as u64;
        let Some(local) = self.sockets.get(usize::from(socket.0)) else {
            self.counters.unknown_socket += 1;
            return;
        };
        let to = local.advertised;
        let key = match Kind::of(bytes) {
            Kind::Stun => self.checked(now, socket, from, bytes, out),
            Kind::Dtls | Kind::Reports => self.sealed(socket, from),
            Kind::Media => {
                self.counters.unexpected_media += 1;
                None
            }
            Kind::Unknown => {
                self.counters.malformed += 1;
                None
            }
        };
        if let Some(session) = key.and_then(|key| self.sessions.get_mut(key)) {
            let key = session.key();
            #[cfg(feature = "fault-injection")]
            {
                session.signals.struck |= std::mem::take(&mut self.strikes.datagram);
            }
            // A panic is in the signals, which settle handles.
            let _: Result<(), Panicked> = match Kind::of(bytes) {
                Kind::Reports => session.reports(now, from, to, bytes, out),
                _ => session.datagram(now, from, to, bytes, out),
            };
            self.settle(now, key, out);
        }
    }

    /// The session that a connectivity check is for, when its integrity is right.
    fn checked(
        &mut self,
        now: Instant,
        socket: SocketIndex,
        from: SocketAddr,
        bytes: &[u8],
        out: &mut Outbox,
    ) -> Option<SessionKey> {
        let check = match Check::read(bytes) {
            Ok(check) => check,
            Err(NoCheck::Other) => {
                self.counters.stun_ignored += 1;
                return None;
            }
            Err(NoCheck::Malformed) => {
                self.counters.malformed += 1;
                return None;
            }
        };
        let known = self.demux.by_ufrag(check.ufrag);
        let Some(session) = known.and_then(|key| self.sessions.get_mut(key)) else {
            self.counters.unknown_ufrag += 1;
            return None;
        };
        let password = session.negotiation.password(check.ufrag)?;
        if !check.is_authentic(self.identity.crypto().sha1_hmac_provider, password) {
            self.counters.stun_bad_integrity += 1;
            return None;
        }
        session.touch(now);
        match self
            .demux
            .admit(now, session, (socket, from), check.transaction)
        {
            Admission::Admitted if check.controlled => {
                self.deny_role(&check, known?, (socket, from), out);
                None
            }
            Admission::Admitted => known,
            Admission::Refused => {
                self.counters.stun_address_limit += 1;
                None
            }
            Admission::TooFast => {
                self.counters.stun_rate += 1;
                None
            }
        }
    }

    /// An ICE-lite agent is always the controlled one (RFC 8445 §6.1.1), so whoever claims to be that
    /// too is told to be the other, whatever the tie-breakers say. str0m might give the role away,
    /// and then no pair could be nominated any more.
    fn deny_role(
        &mut self,
        check: &Check<'_>,
        key: SessionKey,
        (socket, to): (SocketIndex, SocketAddr),
        out: &mut Outbox,
    ) {
        self.counters.stun_role_conflicts += 1;
        let session = self.sessions.get(key);
        let Some(password) = session.and_then(|s| s.negotiation.password(check.ufrag)) else {
            return;
        };
        let answer = check.role_conflict(self.identity.crypto().sha1_hmac_provider, password);
        self.counters.datagrams_sent += 1;
        self.counters.bytes_sent += answer.len() as u64;
        out.datagram(key, socket, to, false, &answer);
    }

    /// The session that a sealed datagram is for: that of an address which passed a check, once
    /// there is an answer to hold its certificate against.
    fn sealed(&mut self, socket: SocketIndex, from: SocketAddr) -> Option<SessionKey> {
        let Some(key) = self.demux.by_address(socket, from) else {
            self.counters.unknown_source += 1;
            return None;
        };
        let answered = self
            .sessions
            .get(key)
            .is_some_and(|s| s.negotiation.is_answered());
        if !answered {
            self.counters.early += 1;
            return None;
        }
        Some(key)
    }

    /// The time that the session's last timer named has come.
    pub fn timeout(&mut self, now: Instant, key: SessionKey, out: &mut Outbox) {
        if let Some(session) = self.sessions.get_mut(key) {
            #[cfg(feature = "fault-injection")]
            {
                session.signals.struck |= std::mem::take(&mut self.strikes.timeout);
            }
            // A panic is in the signals, which settle handles.
            let _: Result<(), Panicked> = session.fired(now, out);
            self.settle(now, key, out);
        }
    }

    /// The socket would have blocked: a run of this session was given up, whole. It is lost to this
    /// viewer alone, who asks for it again (NACK) or for a keyframe (PLI).
    pub fn send_blocked(&mut self, session: SessionKey, datagrams: u64) {
        self.counters.blocked += datagrams;
        if let Some(session) = self.sessions.get_mut(session) {
            session.stats_mut().connection.datagrams_blocked += datagrams;
        }
    }
}
