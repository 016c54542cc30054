//! The bounds of the process that are not configuration, each with its unit and reason, and the
//! type of those that are.

use std::fmt;
use std::num::NonZeroUsize;

/// Characters of a device's or user's id. A bound on what is kept per session and printed per log
/// line; JWT subjects, serial numbers and host names with a port all fit.
pub const ID_CHARS: usize = 128;

/// Characters of an `X-Request-Id`: echoed and logged with every request. UUIDs and the ids of the
/// common proxies take 32 to 64.
pub const REQUEST_ID_CHARS: usize = 128;

/// Characters of a session's id: a UUID in its hyphenated form (RFC 9562 §4).
pub const SESSION_ID_CHARS: usize = 36;

/// CPUs that can be named: Linux's `cpu_set_t` has a bit for each of so many.
pub const CPUS: usize = 1024;

/// Shards of a process: more of them than CPUs gain nothing.
pub const SHARDS: usize = CPUS;
const _: () = assert!(SHARDS <= u16::MAX as usize, "a ShardId is a u16");

/// Draws of a session's id before the random generator is taken for broken, per shard: a draw
/// misses with the chance 1 − 1/shards, so that many all miss once in e⁶⁴ sessions.
pub const SESSION_ID_DRAWS_PER_SHARD: usize = 64;

/// Bytes of the configuration file. A complete one has 4 KiB; whatever is far above is not one.
pub const CONFIG_FILE_BYTES: u64 = 1 << 20;

/// Items of a list in the configuration (addresses, origins, hosts, ICE servers): every request or
/// offer walks some of them.
pub const CONFIG_LIST_ITEMS: usize = 64;

/// Log lines waiting to be written, over all shards. At 300 B a line 5 MB: past that lines are
/// lost and counted, for a shard never waits for the log's reader.
pub const LOG_QUEUE_LINES: usize = 16 * 1024;

/// An upper bound from the configuration in which 0 means off: nothing is refused then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap(Option<NonZeroUsize>);

impl Cap {
    /// No bound at all.
    pub const OFF: Self = Self(None);

    /// At most `most`; 0 turns the bound off.
    pub const fn new(most: usize) -> Self {
        Self(NonZeroUsize::new(most))
    }

    /// Whether `n` may exist at once. To admit one more, ask for the count that it would make.
    pub fn allows(self, n: usize) -> bool {
        self.0.is_none_or(|most| n <= most.get())
    }

    /// The bound, `None` when it is off.
    pub fn get(self) -> Option<usize> {
        self.0.map(NonZeroUsize::get)
    }
}

/// As it is configured: 0 when off.
impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().unwrap_or(0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_allows_up_to_its_value_and_zero_turns_it_off() {
        let fifty = Cap::new(50);
        assert!(fifty.allows(50));
        assert!(!fifty.allows(51));
        assert_eq!(fifty.get(), Some(50));

        assert_eq!(Cap::new(0), Cap::OFF);
        assert!(Cap::OFF.allows(usize::MAX));
        assert_eq!(Cap::OFF.get(), None);
        assert_eq!(Cap::OFF.to_string(), "0");
    }
}
