//! Which session a datagram belongs to, in O(1), and whether it may reach it.
//!
//! Two tables: the address that a datagram came from, and the local ufrag in a STUN request's
//! USERNAME. An address gets into the first only by a Binding request whose MESSAGE-INTEGRITY is
//! right (RFC 8445 §7.3). Nothing but STUN from any other address reaches a session, so a stranger
//! who races the viewer with a ClientHello of his own gets no answer.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::egress::Route;
use crate::session::Session;
use crate::stun::Transaction;
use crate::{SessionKey, SocketIndex};

/// Addresses of one session that are in the table at a time: those of its candidate pairs that are
/// being checked, which are sixteen of a machine with eight addresses and two sockets of ours. The
/// one that was not checked for longest makes room, but never the one that is in use: whoever hears a
/// check can send it again from as many as they like.
pub(crate) const ADDRESSES_PER_SESSION: usize = 16;
/// Addresses of one session until its next ICE restart. str0m keeps a remote candidate for each, so
/// without a bound a viewer could fill memory by checking from all its ports.
pub(crate) const ADDRESSES_PER_RESTART: usize = 64;
/// Time between two checks of a session from one address, on average. An agent sends one each 50 ms
/// (Ta, RFC 8445 §14.2), browsers each 48 ms; the other half is for what they send again.
const CHECK_INTERVAL: Duration = Duration::from_millis(25);
/// How much of that may come at once: what a network held back for a second.
const CHECK_BURST: Duration = Duration::from_secs(1);
/// The same for checks that came before: an agent sends one again after 100 ms or more, and then more
/// seldom (RFC 8445 §14.3).
const REPEAT_INTERVAL: Duration = Duration::from_millis(100);
/// Checks of an address that are known again: those of a minute, once there is a connection.
const KNOWN_CHECKS: usize = 32;

/// The address table and the ufrag table.
#[derive(Default)]
pub(crate) struct Demux {
    addresses: HashMap<(SocketIndex, SocketAddr), SessionKey>,
    ufrags: HashMap<String, SessionKey>,
}

/// What kind of datagram it is (RFC 7983 §7, RFC 5761 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stun,
    Dtls,
    /// SRTCP.
    Reports,
    /// SRTP. Viewers send none.
    Media,
    Unknown,
}

/// What became of an address that passed its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// One address too many.
    Refused,
    /// One check too many from this address.
    TooFast,
}

/// An address of a session that passed its check.
#[derive(Debug)]
pub(crate) struct Admitted {
    address: (SocketIndex, SocketAddr),
    pace: Pace,
    /// Of checks that came before, so that whoever hears one and sends it again does not use up what the
    /// viewer's next one needs.
    repeats: Pace,
    /// The last transactions, the oldest one first.
    known: VecDeque<Transaction>,
    /// It was the first one: a check cannot be repeated by others before its viewer has sent it.
    first: bool,
}

impl Admitted {
    fn allows(&mut self, now: Instant, transaction: Transaction) -> bool {
        if self.known.contains(&transaction) {
            return self.repeats.allows(now, REPEAT_INTERVAL);
        }
        let allowed = self.pace.allows(now, CHECK_INTERVAL);
        if allowed {
            if self.known.len() == KNOWN_CHECKS {
                self.known.pop_front();
            }
            self.known.push_back(transaction);
        }
        allowed
    }

    /// Whether it makes room for no other: the address that the session is served at, or until there is
    /// one the first.
    fn stays(&self, route: Option<Route>) -> bool {
        match route {
            Some(route) => (route.socket, route.to) == self.address,
            None => self.first,
        }
    }
}

/// Bounds the answers to one address of one session, so that whoever has a session, or heard a check
/// of one, cannot point more than these at a stranger. Each has its own: neither a neighbour behind
/// the same NAT nor a forger elsewhere uses up what a viewer needs. Checks are counted once they are
/// authentic, for the same reason.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// When the last check would have come, had all kept the interval.
    last: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { last: now }
    }

    fn allows(&mut self, now: Instant, interval: Duration) -> bool {
        let last = self.last.max(now) + interval;
        let allowed = last <= now + CHECK_BURST;
        if allowed {
            self.last = last;
        }
        allowed
    }
}

impl Kind {
    pub(crate) fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0..=3) => Kind::Stun,
            Some(20..=63) => Kind::Dtls,
            Some(128..=191) => match datagram.get(1).map(|second| second & 0x7f) {
                Some(64..=95) => Kind::Reports,
                Some(_) => Kind::Media,
                None => Kind::Unknown,
            },
            Some(_) | None => Kind::Unknown,
        }
    }
}

impl Demux {
    pub(crate) fn by_address(&self, socket: SocketIndex, from: SocketAddr) -> Option<SessionKey> {
        self.addresses.get(&(socket, from)).copied()
    }

    pub(crate) fn by_ufrag(&self, ufrag: &str) -> Option<SessionKey> {
        self.ufrags.get(ufrag).copied()
    }

    pub(crate) fn has_ufrag(&self, ufrag: &str) -> bool {
        self.ufrags.contains_key(ufrag)
    }

    /// Maps the ufrags that the session has now.
    pub(crate) fn map_ufrags(&mut self, session: &Session) {
        for ufrag in session.negotiation.ufrags() {
            self.ufrags.insert(ufrag.to_owned(), session.key());
        }
    }

    /// Forgets `ufrag`, unless the session still has it.
    pub(crate) fn unmap_ufrag(&mut self, ufrag: &str, session: &Session) {
        if session.negotiation.ufrags().all(|current| current != ufrag) {
            self.ufrags.remove(ufrag);
        }
    }

    /// An address has passed its check for `session`.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        session: &mut Session,
        address: (SocketIndex, SocketAddr),
        transaction: Transaction,
    ) -> Admission {
        let mut held = session.addresses.iter();
        let known = held.position(|held| held.address == address);
        let mut admitted = match known.and_then(|known| session.addresses.remove(known)) {
            Some(known) => known,
            None => {
                if session.addresses_seen >= ADDRESSES_PER_RESTART {
                    return Admission::Refused;
                }
                session.addresses_seen += 1;
                if session.addresses.len() >= ADDRESSES_PER_SESSION {
                    let mut held = session.addresses.iter();
                    let oldest = held.position(|held| !held.stays(session.route));
                    if let Some(oldest) = oldest.and_then(|at| session.addresses.remove(at)) {
                        self.forget(oldest.address, session.key());
                    }
                }
                Admitted {
                    address,
                    pace: Pace::new(now),
                    repeats: Pace::new(now),
                    known: VecDeque::new(),
                    first: session.addresses.is_empty(),
                }
            }
        };
        let allowed = admitted.allows(now, transaction);
        session.addresses.push_back(admitted);
        // The newest check decides: a port of a NAT may have passed from one viewer to another.
        self.addresses.insert(address, session.key());
        if allowed {
            Admission::Admitted
        } else {
            Admission::TooFast
        }
    }

    /// Forgets everything about a session.
    pub(crate) fn remove(&mut self, session: &Session) {
        for ufrag in session.negotiation.ufrags() {
            self.ufrags.remove(ufrag);
        }
        for held in &session.addresses {
            self.forget(held.address, session.key());
        }
    }

    fn forget(&mut self, address: (SocketIndex, SocketAddr), key: SessionKey) {
        if self.addresses.get(&address) == Some(&key) {
            self.addresses.remove(&address);
        }
    }

    /// Entries in both tables: none without sessions.
    pub(crate) fn len(&self) -> usize {
        self.addresses.len() + self.ufrags.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    #[test]
    fn the_first_bytes_tell_the_kind() {
        assert_eq!(Kind::of(&[]), Kind::Unknown);
        assert_eq!(Kind::of(&[0, 1]), Kind::Stun);
        assert_eq!(Kind::of(&[22]), Kind::Dtls);
        assert_eq!(Kind::of(&[128, 200]), Kind::Reports);
        assert_eq!(Kind::of(&[0x90, 0x80 | 111]), Kind::Media);
        assert_eq!(Kind::of(&[128]), Kind::Unknown);
        assert_eq!(Kind::of(&[64]), Kind::Unknown, "TURN channel data");
        assert_eq!(Kind::of(&[255]), Kind::Unknown);
    }

    #[test]
    fn checks_are_paced_at_twice_what_agents_send() {
        let now = start();
        let mut pace = Pace::new(now);
        let allowed =
            (0..=10_000).filter(|ms| pace.allows(now + Duration::from_millis(*ms), CHECK_INTERVAL));
        assert_eq!(allowed.count(), 40 + 400);
        // A browser's, each 48 ms, for an hour.
        let mut pace = Pace::new(now);
        assert!(
            (0..75_000).all(|n| pace.allows(now + n * Duration::from_millis(48), CHECK_INTERVAL))
        );
    }
}
