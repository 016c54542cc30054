//! Pinned shards.
