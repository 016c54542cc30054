//! What a request pays on its way.

use super::BucketKey;
use crate::accounts::Username;
use crate::metrics::RateLimit;

/// Tolls of one request at most.
const TOLLS: usize = 3;

/// Why a request needs tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge<'a> {
    /// It needs none.
    Nothing,
    /// It creates a session.
    Session,
    /// It adds a user.
    SignUp,
    /// It tries a password.
    LogIn(&'a Username),
    /// It creates a room.
    Room,
}

/// A token to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Toll {
    /// Which rate is meant.
    pub(crate) limit: RateLimit,
    /// From which bucket.
    pub(crate) key: BucketKey,
}

/// The tokens that a request needs, in their order, and how many it has.
#[derive(Debug, Default)]
pub struct Admission {
    tolls: [Option<Toll>; TOLLS],
    paid: usize,
}

impl Admission {
    /// One more, after the others.
    ///
    /// # Panics
    /// Past three.
    pub(crate) fn add(&mut self, toll: Toll) {
        let place = self.tolls.iter_mut().find(|toll| toll.is_none());
        *place.expect("no request has more tolls") = Some(toll);
    }

    /// The token that is needed next; `None`: it has all.
    pub(crate) fn next(&self) -> Option<Toll> {
        self.tolls.get(self.paid).copied().flatten()
    }

    /// It has that one.
    pub(crate) fn pass(&mut self) {
        self.paid += 1;
    }

    /// A token that it was given.
    pub(crate) fn passed(&self, limit: RateLimit) -> Option<Toll> {
        let mut paid = self.tolls[..self.paid.min(TOLLS)].iter().flatten();
        paid.find(|toll| toll.limit == limit).copied()
    }
}
