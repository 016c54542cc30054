//! Token buckets, exact over the process without anything that shards share.
//!
//! A bucket is owned by the shard that its key hashes to ([`Shards::owner_of_bucket`]), under a hash that
//! only this process knows. A request that needs tokens has an [`Admission`]: it goes to the owner of each
//! bucket, takes a token there, and then to the owner of what it names. It moves with its connection, as
//! every request does that another shard must answer.
//!
//! A token that was taken stays taken whatever becomes of the request, so that a request which fails late
//! (a mailbox is full, a cap is met) is no way to ask for nothing; but for a [log-in](Charge::LogIn) that
//! succeeds. The bucket of all is on one shard, which every creation of a session passes.
//!
//! [`Shards::owner_of_bucket`]: crate::placement::Shards::owner_of_bucket

mod admission;
mod buckets;
mod rate;
#[cfg(test)]
mod tests;

pub use admission::{Admission, Charge, Toll};
pub use buckets::{BUCKETS_PER_SHARD, BucketKey, Buckets};
pub use rate::Rate;
