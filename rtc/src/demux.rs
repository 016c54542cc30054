//! Which session a datagram belongs to, in O(1), and whether it may reach it.
//!
//! Two tables: the address that a datagram came from, and the local ufrag in a STUN request's
//! USERNAME. An address gets into the first only by a Binding request whose MESSAGE-INTEGRITY is
//! right (RFC 8445 §7.3). Nothing but STUN from any other address reaches a session, so a stranger
//! who races the viewer with a ClientHello of his own gets no answer.

use std::collections::HashMap;
use std::net::SocketAddr;

use str0m::ice::StunMessage;

use crate::session::Session;
use crate::{SessionKey, SocketIndex};

/// Addresses of one session that are in the table at a time: those of its candidate pairs that are
/// being checked. The one that was not checked for longest makes room.
pub(crate) const ADDRESSES_PER_SESSION: usize = 8;
/// Addresses of one session until its next ICE restart. str0m keeps a remote candidate for each, so
/// without a bound a viewer could fill memory by checking from all its ports.
pub(crate) const ADDRESSES_PER_RESTART: usize = 64;

/// The address table and the ufrag table.
#[derive(Default)]
pub(crate) struct Demux {
    addresses: HashMap<(SocketIndex, SocketAddr), SessionKey>,
    ufrags: HashMap<String, SessionKey>,
}

/// What kind of datagram it is (RFC 7983 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stun,
    /// DTLS, SRTP or SRTCP.
    Sealed,
    Unknown,
}

/// Why a STUN message is no connectivity check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoCheck {
    /// A response or an indication. An ICE-lite agent sends no checks, so no answer is for it.
    Other,
    Malformed,
}

/// What became of an address that passed its check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// One address too many.
    Refused,
}

impl Kind {
    pub(crate) fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0..=3) => Kind::Stun,
            Some(20..=63 | 128..=191) => Kind::Sealed,
            Some(_) | None => Kind::Unknown,
        }
    }
}

/// Reads a connectivity check: a Binding request, and our ufrag in its USERNAME, which is the
/// receiver's ufrag, a colon and the sender's (RFC 8445 §7.2.2).
pub(crate) fn read_check(datagram: &[u8]) -> Result<(StunMessage<'_>, &str), NoCheck> {
    let message = StunMessage::parse(datagram).map_err(|_| NoCheck::Malformed)?;
    if !message.is_binding_request() {
        return Err(NoCheck::Other);
    }
    let (ufrag, _) = message
        .username()
        .and_then(|name| name.split_once(':'))
        .ok_or(NoCheck::Malformed)?;
    Ok((message, ufrag))
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
        session: &mut Session,
        socket: SocketIndex,
        from: SocketAddr,
    ) -> Admission {
        let address = (socket, from);
        if let Some(known) = session.addresses.iter().position(|held| *held == address) {
            session.addresses.remove(known);
        } else {
            if session.addresses_seen >= ADDRESSES_PER_RESTART {
                return Admission::Refused;
            }
            session.addresses_seen += 1;
            if session.addresses.len() >= ADDRESSES_PER_SESSION
                && let Some(oldest) = session.addresses.pop_front()
            {
                self.forget(oldest, session.key());
            }
        }
        session.addresses.push_back(address);
        // The newest check decides: a port of a NAT may have passed from one viewer to another.
        self.addresses.insert(address, session.key());
        Admission::Admitted
    }

    /// Forgets everything about a session.
    pub(crate) fn remove(&mut self, session: &Session) {
        for ufrag in session.negotiation.ufrags() {
            self.ufrags.remove(ufrag);
        }
        for address in &session.addresses {
            self.forget(*address, session.key());
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

    #[test]
    fn the_first_byte_tells_the_kind() {
        assert_eq!(Kind::of(&[]), Kind::Unknown);
        assert_eq!(Kind::of(&[0, 1]), Kind::Stun);
        assert_eq!(Kind::of(&[22]), Kind::Sealed);
        assert_eq!(Kind::of(&[128, 200]), Kind::Sealed);
        assert_eq!(Kind::of(&[64]), Kind::Unknown, "TURN channel data");
        assert_eq!(Kind::of(&[255]), Kind::Unknown);
    }

    #[test]
    fn garbage_is_malformed_and_never_a_panic() {
        for len in 0..64 {
            let junk: Vec<u8> = (0..len).map(|i| (i * 37) as u8).collect();
            assert!(read_check(&junk).is_err());
        }
    }
}
