//! Label values that are known beforehand, each a dense index into a table.

use std::marker::PhantomData;

use super::merge::Merge;

/// A label whose values are known beforehand.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];
    /// The value's place in [`Label::ALL`].
    fn index(self) -> usize;
    /// The value as it is written.
    fn as_str(self) -> &'static str;
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$value_doc])* $value,)*
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$($name::$value,)*];

            fn index(self) -> usize {
                self as usize
            }

            fn as_str(self) -> &'static str {
                match self {
                    $($name::$value => $text,)*
                }
            }
        }
    )*};
}

labels! {
    /// What is counted now and then.
    Resource {
        /// Threads of the process.
        Threads "threads",
        /// Descriptors that are open, those of connections among them.
        Descriptors "descriptors",
        /// TCP connections.
        Connections "connections",
        /// Sessions of the API.
        Sessions "sessions",
        /// Sessions of the media plane that none of the API has: a fault of ours.
        Orphans "orphaned_sessions",
        /// Devices that are known.
        Devices "devices",
        /// Rooms of any status.
        Rooms "rooms",
        /// Entries of the shards' timer wheels. One that is not needed any more stays until its time.
        Timers "timers",
        /// Rows that the store is not done with.
        StoreRows "store_rows",
    }

    /// What is done in a part of a turn.
    Stage {
        /// Datagrams are received, and given to their sessions.
        Datagrams "datagrams",
        /// Connections are accepted, read, and their requests and messages carried out.
        Connections "connections",
        /// What other shards and threads have sent is carried out.
        Mail "mail",
        /// The tick: what is due is done.
        Timers "timers",
        /// Pictures are packed for their viewers, and members named for what their rooms have said.
        FanOut "fan_out",
        /// Datagrams are given to the kernel.
        Send "send",
        /// Bytes are given to the kernel, and connections and messages to other shards.
        Write "write",
    }

    /// The `type` of a WebSocket message.
    MessageKind {
        /// The server's offer.
        Offer "offer",
        /// The viewer's answer.
        Answer "answer",
        /// A trickled candidate.
        IceCandidate "ice-candidate",
        /// Touch, key, text and the like.
        Control "control",
        /// The agent's acknowledgement of a control message.
        Ack "ack",
        /// Quality of a session.
        Stats "stats",
        /// What was wrong with a message.
        Error "error",
        /// The server is about to close.
        Closing "closing",
        /// First message of an agent.
        Hello "hello",
        /// An access unit or an Opus packet of an agent.
        Media "media",
        /// The server wants a keyframe.
        Keyframe "keyframe",
        /// The server wants another bitrate.
        Bitrate "bitrate",
        /// WebSocket ping, RFC 6455 §5.5.2.
        Ping "ping",
        /// WebSocket pong, RFC 6455 §5.5.3.
        Pong "pong",
        /// WebSocket close, RFC 6455 §5.5.1.
        Close "close",
        /// A message of a member of a room.
        Room "room",
        /// Anything else, and what could not be read.
        Other "other",
    }

    /// The `type` of a message that a room broadcast.
    RoomMessage {
        /// A bullet comment.
        Danmu "danmu",
        /// A gift.
        Gift "gift",
        /// A like.
        Like "like",
        /// Of the anchor or an admin.
        System "system",
        /// Who came and went.
        Presence "presence",
    }

    /// Where a room stands.
    RoomState {
        /// Created, not started.
        Idle "idle",
        /// Members come and talk.
        Live "live",
        /// Over.
        Ended "ended",
    }

    /// Which way a message went, as the server sees it.
    Direction {
        /// From a client.
        In "in",
        /// To a client.
        Out "out",
    }

    /// How a device's media comes in.
    PublisherKind {
        /// A live body: `PUT …/video` or `…/audio`.
        Body "body",
        /// A device agent's WebSocket.
        Agent "agent",
        /// The process itself: the bundled clip, or a program that has the server in it.
        Process "process",
    }

    /// Why a TCP connection ended.
    ConnectionEnd {
        /// The client closed it between two requests, or a WebSocket closed in good order.
        Peer "peer",
        /// The last answer said `Connection: close`.
        Finished "finished",
        /// Nothing was asked for too long.
        Idle "idle",
        /// A head, a body, a pong or a write made no progress in time.
        Timeout "timeout",
        /// What the client sent was not HTTP, or not WebSocket.
        Protocol "protocol",
        /// A client that took too little of what was sent to it.
        Slow "slow",
        /// The socket failed, or the client vanished in the middle of something.
        Io "io",
        /// The token of a WebSocket expired.
        Expired "expired",
        /// The server is stopping.
        Drain "drain",
        /// A fault of the server's own (a panic while it was served).
        Fault "fault",
    }

    /// How a TLS handshake ended.
    TlsHandshake {
        /// With certificate and signature.
        Full "full",
        /// By a ticket of an earlier one.
        Resumed "resumed",
        /// One side refused the other, or what came was no handshake.
        Failed "failed",
        /// What came was plain HTTP.
        Plaintext "plaintext",
        /// The connection ended before: the client went away, or was too slow.
        Unfinished "unfinished",
    }

    /// What a panic was in, and has ended.
    PanicPart {
        /// A connection.
        Connection "connection",
        /// A session.
        Session "session",
        /// What a device's publisher sent.
        Device "device",
        /// A room.
        Room "room",
        /// A question of another shard, or a datagram: it was left unanswered.
        Question "question",
    }

    /// Why a session ended.
    SessionEnd {
        /// Somebody deleted it.
        Deleted "deleted",
        /// Nothing was heard of its viewer for `media.idle_timeout`.
        Idle "idle",
        /// Its viewer did not connect within `media.setup_timeout`.
        Setup "setup",
        /// The token that it was used with expired.
        Expired "expired",
        /// The viewer closed DTLS.
        Peer "peer",
        /// The viewer's network path went away and did not come back.
        IceTimeout "ice_timeout",
        /// The server is stopping.
        Drain "drain",
        /// DTLS failed: another certificate than the answer named, or a handshake that never ended.
        DtlsFailed "dtls_failed",
        /// A fault of the server's own (a panic while it was served).
        Fault "fault",
    }

    /// Which rate refused a request.
    RateLimit {
        /// Sessions of a client's address.
        SessionAddress "session_address",
        /// Sessions of a user.
        SessionUser "session_user",
        /// Sessions of everybody.
        SessionTotal "session_total",
        /// Log-ins and sign-ups of a client's address.
        LoginAddress "login_address",
        /// Log-ins with a username.
        LoginUser "login_user",
        /// Rooms of a client's address.
        RoomAddress "room_address",
    }

    /// Why a datagram that came in was not used.
    DatagramDrop {
        /// A STUN message whose integrity check failed (RFC 8489 §9.1.3).
        BadIntegrity "bad_integrity",
        /// STUN for a ufrag that no session of this shard has; perhaps one of another's.
        UnknownUfrag "unknown_ufrag",
        /// DTLS or RTCP from an address that passed no connectivity check.
        UnknownSource "unknown_source",
        /// None of the protocols that share the port (RFC 7983 §7), or a broken one.
        Malformed "malformed",
        /// STUN that is no Binding request.
        StunIgnored "stun_ignored",
        /// A valid check from one address too many for its session.
        AddressLimit "address_limit",
        /// A valid check that came too soon after others from its address.
        StunRate "stun_rate",
        /// DTLS or SRTCP before the answer, or SRTCP before the end of the handshake.
        Early "early",
        /// RTP, which viewers have no reason to send.
        UnexpectedMedia "unexpected_media",
        /// SRTCP that came before (RFC 3711 §3.3.2).
        Replayed "replayed",
        /// DTLS refused it.
        DtlsRefused "dtls_refused",
    }
}

/// One counter for each value of a label.
#[derive(Clone, Debug)]
pub struct ByLabel<L> {
    counts: Box<[u64]>,
    label: PhantomData<L>,
}

impl<L: Label> ByLabel<L> {
    /// Counts one.
    pub fn bump(&mut self, value: L) {
        self.add(value, 1);
    }

    /// Counts several.
    pub fn add(&mut self, value: L, count: u64) {
        self.counts[value.index()] += count;
    }

    /// Takes over a count that another part keeps.
    pub fn set(&mut self, value: L, count: u64) {
        self.counts[value.index()] = count;
    }

    /// The count so far.
    pub fn get(&self, value: L) -> u64 {
        self.counts[value.index()]
    }

    /// The count over all values.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn total(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }

    /// Every value of the label with its count.
    pub fn iter(&self) -> impl Iterator<Item = (L, u64)> + '_ {
        L::ALL.iter().copied().zip(self.counts.iter().copied())
    }
}

impl<L: Label> Default for ByLabel<L> {
    fn default() -> Self {
        ByLabel {
            counts: vec![0; L::ALL.len()].into(),
            label: PhantomData,
        }
    }
}

impl<L> Merge for ByLabel<L> {
    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }
}
