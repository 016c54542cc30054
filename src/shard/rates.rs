//! Tokens that requests need on their way ([`crate::rates`]).

use std::time::Instant;

use super::Shard;
use crate::api::Operation;
use crate::client::AddressBlock;
use crate::connection::Exchange;
use crate::error::ApiError;
use crate::metrics::RateLimit;
use crate::placement::ShardId;
use crate::rates::{Admission, Charge, Rate, Toll};

impl Shard {
    /// The tokens that the request needs. The client's own come first: who is refused costs others nothing.
    pub(super) fn admission(&self, exchange: &Exchange, operation: &Operation) -> Admission {
        let mut admission = Admission::default();
        if self.draining.is_some() {
            // The other shards may be gone already, and nothing new is begun.
            return admission;
        }
        let mut add = |limit, of: &[u8]| {
            if self.rate(limit).is_some() {
                let key = self.totals.bucket(limit, of);
                admission.add(Toll { limit, key });
            }
        };
        let address = &AddressBlock::of(exchange.client).bytes();
        match operation.charge() {
            Charge::Nothing => {}
            Charge::Session => {
                add(RateLimit::SessionAddress, address);
                if self.auth.is_some() {
                    // Elsewhere the name is the client's word: anybody could use up anybody's tokens.
                    add(
                        RateLimit::SessionUser,
                        exchange.identity.user.as_str().as_bytes(),
                    );
                }
                add(RateLimit::SessionTotal, &[]);
            }
            Charge::SignUp => add(RateLimit::LoginAddress, address),
            Charge::LogIn(username) => {
                add(RateLimit::LoginAddress, address);
                // Names are unique whatever the case of their letters.
                let name = username.as_str().to_ascii_lowercase();
                add(RateLimit::LoginUser, name.as_bytes());
            }
            Charge::Room => add(RateLimit::RoomAddress, address),
        }
        admission
    }

    /// Takes the tokens that are here, in their order. The shard that has the next one; `None`: there is no
    /// further one.
    pub(super) fn pay(
        &mut self,
        now: Instant,
        exchange: &mut Exchange,
    ) -> Result<Option<ShardId>, ApiError> {
        while let Some(Toll { limit, key }) = exchange.admission.next() {
            if let Some(rate) = self.rate(limit) {
                let owner = self.shards.owner_of_bucket(key);
                if owner != self.id {
                    return Ok(Some(owner));
                }
                if let Err(wait) = self.buckets.take(now, key, rate) {
                    self.metrics.rate_limited.bump(limit);
                    return Err(ApiError::RateLimited { wait });
                }
            }
            exchange.admission.pass();
        }
        Ok(None)
    }

    /// A log-in succeeded: its username has its token back, for what is bounded there is guessing. (That of
    /// the address stays taken: a password's hash costs the same whether it is right or not.) The bucket is
    /// here, since it was the last one to be passed.
    pub(super) fn refund(&mut self, exchange: &Exchange) {
        if let Some(toll) = exchange.admission.passed(RateLimit::LoginUser)
            && let Some(rate) = self.rate(toll.limit)
        {
            self.buckets.give_back(toll.key, rate);
        }
    }

    /// As it is configured now; `None`: off.
    fn rate(&self, limit: RateLimit) -> Option<Rate> {
        let limits = &self.config.limits;
        let (rate, burst) = match limit {
            RateLimit::SessionAddress | RateLimit::SessionUser => {
                (limits.session_rate, limits.session_burst)
            }
            RateLimit::SessionTotal => (limits.session_rate_total, limits.session_burst_total),
            RateLimit::LoginAddress | RateLimit::LoginUser => {
                (limits.login_rate, limits.login_burst)
            }
            RateLimit::RoomAddress => (limits.room_rate, limits.room_burst),
        };
        Rate::new(rate, burst)
    }
}
