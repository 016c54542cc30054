//! The bounds of the process that are not configuration, each with its unit and reason, and the
//! type of those that are.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Characters of a device's or user's id. A bound on what is kept per session and printed per log
/// line; JWT subjects, serial numbers and host names with a port all fit.
pub const ID_CHARS: usize = 128;

/// Characters of a user name: with the `@` of its id it stays far below [`ID_CHARS`].
pub const USERNAME_CHARS_MOST: usize = 64;
/// Characters of a user name at least.
pub const USERNAME_CHARS_LEAST: usize = 3;
const _: () = assert!(USERNAME_CHARS_MOST < ID_CHARS);

/// Bytes of a password at least (NIST SP 800-63B §5.1.1).
pub const PASSWORD_BYTES_LEAST: usize = 8;
/// Bytes of a password at most: all of them are hashed.
pub const PASSWORD_BYTES_MOST: usize = 1024;

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

/// Draws of a session's or room's id before the random generator is taken for broken, per shard: a
/// draw misses with the chance 1 − 1/shards, so that many all miss once in e⁶⁴ ids.
pub const ID_DRAWS_PER_SHARD: usize = 64;

/// Bytes of the configuration file. A complete one has 4 KiB; whatever is far above is not one.
pub const CONFIG_FILE_BYTES: u64 = 1 << 20;

/// Items of a list in the configuration (addresses, origins, hosts, ICE servers): every request or
/// offer walks some of them.
pub const CONFIG_LIST_ITEMS: usize = 64;

/// Log lines waiting to be written, over all shards. At 300 B a line 5 MB: past that lines are
/// lost and counted, for a shard never waits for the log's reader.
pub const LOG_QUEUE_LINES: usize = 16 * 1024;

/// Sessions of a page of a list, where the client does not say.
pub const LIST_DEFAULT: usize = 100;
/// Sessions of a page of a list at most: some 300 kB of JSON.
pub const LIST_MAX: usize = 1000;

/// Messages of a page of a room's history, where the client does not say.
pub const HISTORY_DEFAULT: usize = 100;
/// Messages of a page of a room's history at most: some 150 kB of JSON usually, 5 MB at worst.
pub const HISTORY_MAX: usize = 500;

/// Rooms of the ranking by heat, where the client does not say.
pub const HOT_DEFAULT: usize = 20;
/// Rooms of the ranking by heat at most.
pub const HOT_MAX: usize = 100;

/// Bytes of a control message's text or clipboard. A phone's clipboard holds more, a control
/// channel that answers in 50 ms does not.
pub const CONTROL_TEXT_BYTES: usize = 16 << 10;

/// Bytes of a room message's `content`.
pub const MESSAGE_CONTENT_BYTES: usize = 2 << 10;
/// Bytes of a room message's `data`, as JSON.
pub const MESSAGE_DATA_BYTES: usize = 8 << 10;
/// Arrays and objects within each other in a room message's `data`. Its readers have bounds of
/// their own, often near 100, and would lose the connection by it; the history wraps it further.
pub const MESSAGE_DATA_LEVELS: usize = 32;
/// Bytes of the `id` that a sender gives a message to have it acknowledged, as JSON.
pub const MESSAGE_ID_BYTES: usize = 64;

/// Bytes of a room's title.
pub const ROOM_TITLE_BYTES: usize = 256;
/// Bytes of a room's cover, which is a URL.
pub const ROOM_COVER_BYTES: usize = 2 << 10;

/// Members whose sockets are written in one turn: a send costs some 5 µs, so a large room keeps
/// small ones and media waiting for a sixth of a millisecond. Beside a room of 5,000 the P99 of
/// small rooms is 1.5 ms; with twice as many it is 2 ms, and sends are no cheaper.
pub const SWEEP_MEMBERS: usize = 32;

/// Messages of one member that are handled in a turn: a read of 64 KiB can hold 640, and what is
/// left waits so that everybody else's sockets are served in between.
pub const MEMBER_MESSAGES_PER_TURN: usize = 64;

/// Members that go on in a turn with what they sent too much of in an earlier one: a turn handles 256
/// messages of theirs, however many of them wait.
pub const PAUSED_MEMBERS_PER_TURN: usize = 4;

/// RTP packets written in one slice of fan-out: about half a millisecond at 2 µs each, so that a
/// keyframe for a thousand viewers keeps nobody else waiting.
pub const FAN_OUT_PACKETS: usize = 256;

/// What a turn does of the work that may concern everything at once (timers, passes over all sessions),
/// in tenths of a microsecond: at 0.4 ms of it a turn stays below a millisecond.
pub const TURN_WORK: usize = 4_000;

/// Connections accepted per listener and turn: 40 µs each with their first request.
pub const ACCEPTS_PER_TURN: usize = 32;

/// Connections past `limits.connections` that are kept for `metrics.listen`: whoever fills the server
/// must not blind those who look after it, nor have its probes fail and the server restarted.
pub const MONITORING_CONNECTIONS: usize = 16;

/// Bytes read from a socket at once. A picture of 2 Mbit/s video has 8 KiB, a keyframe 50 KiB.
pub const READ_BYTES: usize = 64 << 10;
/// Reads per connection and turn: a publisher on loopback shares the turn with the others.
pub const READS_PER_TURN: usize = 4;

/// Batches of datagrams taken per socket and turn.
pub const DATAGRAM_BATCHES_PER_TURN: usize = 4;

/// Messages taken from the mailbox per turn.
pub const MESSAGES_PER_TURN: usize = 64;
/// Messages that a shard's mailbox holds: hand-overs and queries, never packets. Full, a hand-over
/// is answered 503.
pub const MAILBOX_MESSAGES: usize = 4096;
const _: () = assert!(MESSAGES_PER_TURN <= MAILBOX_MESSAGES);

/// How long a thread beside the shards tries to place an answer in a mailbox that is full: a shard
/// takes 64 messages in a turn, so one that does not within a second is not answering anybody.
pub const MAIL_PATIENCE: Duration = Duration::from_secs(1);

/// Scrapes that wait to be written, each of some megabytes. They go first, and wait behind nothing
/// else: whoever floods the server with requests must not blind those who look after it.
pub const SIDE_SCRAPES: usize = 4;
/// Reads of the store (histories, profiles) that wait: at less than 2 ms each for the largest page the
/// last of them waits for half a second, and whoever comes then is refused at once.
pub const SIDE_READS: usize = 256;
/// Sign-ups and log-ins that wait for their thread: at some 25 ms each the last of them waits for half
/// a second, and whoever comes then is refused at once.
pub const ACCOUNT_TASKS: usize = 16;

/// Handshakes of TLS that are taken a step further in a turn: one costs 70 µs with an
/// ECDSA key (P-256) and 280 µs with RSA (2048 bits), and media on the same shard waits for them.
pub const HANDSHAKES_PER_TURN: usize = 4;

/// Connections over TLS that a shard has closed and whose last sealed piece (16 KiB) waits for the
/// socket.
pub const PARTING_STREAMS: usize = 256;

/// A connection that is being closed may take so long to read its last answer.
pub const LINGER: Duration = Duration::from_secs(2);

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
