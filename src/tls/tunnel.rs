//! One connection's TLS: sealed bytes come in and go out on one side, plain ones on the other.
//!
//! rustls' unbuffered interface works in the buffers of its caller, so a connection that rests holds
//! none: what a read brings is opened in the driver's own buffer, and only what is left of it (the
//! beginning of a record, or records that nobody wants yet) is kept.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};
use rustls::{HandshakeKind, ServerConfig};
use thiserror::Error;

use crate::metrics::TlsHandshake;

/// Plain bytes of a record at most (RFC 8446 §5.1), and what is sealed at once: so much of what was
/// reported as written may still wait for the socket.
pub const RECORD_BYTES: usize = 16 << 10;

/// What a record has besides: its header, a nonce, a tag, the type within (RFC 8446 §5.2, RFC 5288
/// §3). More is asked for where there is more to say.
const RECORD_EXTRA_BYTES: usize = 64;

/// Bytes that wait for the rest of a record, or of a message of the handshake over several of them. A
/// record has at most 16 KiB and 2 KiB (RFC 5246 §6.2.3), a ClientHello with post-quantum keys 2 KiB.
const PARTIAL_BYTES: usize = 20 << 10;

/// First byte of a record with a handshake in it (RFC 8446 §5.1).
const HANDSHAKE: u8 = 0x16;

/// A connection's TLS.
pub struct Tunnel {
    rustls: UnbufferedServerConnection,
    /// Came, and is not opened: the beginning of a record, or records that nobody wants yet.
    received: Vec<u8>,
    /// Opened on the way to something else, before anybody wanted it.
    opened: Vec<u8>,
    /// To be sent; `sent` bytes of it are.
    sealed: Vec<u8>,
    sent: usize,
    stage: Stage,
    /// `received` may hold whole records, or the end is to be told.
    held: bool,
    /// The peer has said that it sends no more.
    peer_closed: bool,
    /// And that was passed on.
    end_told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has come.
    Fresh,
    Handshake,
    Open,
    /// close_notify is sealed.
    Closed,
    Failed,
}

/// How far [`Tunnel::open`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// All that is there was delivered.
    All,
    /// No more is wanted; what is left waits.
    Held,
    /// The peer sends no more.
    End,
}

/// Why a tunnel fails. The alert that tells the peer is sealed already.
#[derive(Debug, Error)]
pub enum TunnelFault {
    /// The first byte is that of a request.
    #[error("plain HTTP came where TLS is spoken")]
    Plaintext,
    /// A record or a message of the handshake does not end.
    #[error("more than {PARTIAL_BYTES} bytes came without an end of the record or message")]
    TooLong,
    /// A mistake of ours or of the library; the panic hook has printed where.
    #[error("a panic")]
    Panicked,
    /// The peer's fault, or what the peer says is ours.
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
}

/// What is to be done where plain bytes can be sealed.
type Write<'a> =
    dyn FnMut(WriteTraffic<'_, ServerConnectionData>, &mut Vec<u8>) -> Result<(), TunnelFault> + 'a;

impl Tunnel {
    pub(super) fn new(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self {
            rustls: UnbufferedServerConnection::new(config)?,
            received: Vec::new(),
            opened: Vec::new(),
            sealed: Vec::new(),
            sent: 0,
            stage: Stage::Fresh,
            held: false,
            peer_closed: false,
            end_told: false,
        })
    }

    /// Opens what is held from before, and then `bytes`, which are changed. `deliver` gets plain bytes
    /// in pieces, and says whether it wants more.
    ///
    /// # Errors
    /// If the peer breaks the protocol. There may still be something to send.
    pub fn open(
        &mut self,
        bytes: &mut [u8],
        deliver: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Opened, TunnelFault> {
        if let (Stage::Fresh, Some(&first)) = (self.stage, bytes.first()) {
            self.stage = Stage::Handshake;
            // A method, or the line end that some put before it. All else is a broken record.
            if first != HANDSHAKE && (first.is_ascii_alphabetic() || first == b'\r') {
                self.stage = Stage::Failed;
                return Err(TunnelFault::Plaintext);
            }
        }
        if self.stage == Stage::Failed {
            return Ok(Opened::End);
        }
        if !self.opened.is_empty() && !deliver(&std::mem::take(&mut self.opened)) {
            self.keep(bytes);
            return Ok(Opened::Held);
        }
        let more = if self.received.is_empty() {
            let (used, more) = self.process(bytes, deliver, &mut |_, _| Ok(()));
            self.received.extend_from_slice(&bytes[used..]);
            more
        } else {
            let mut received = std::mem::take(&mut self.received);
            received.extend_from_slice(bytes);
            let (used, more) = self.process(&mut received, deliver, &mut |_, _| Ok(()));
            self.put_back(received, used);
            more
        };
        let more = more.inspect_err(|_| self.stage = Stage::Failed)?;
        self.held = !more && !self.received.is_empty();
        if !more {
            return Ok(Opened::Held);
        }
        if self.peer_closed {
            self.received = Vec::new();
            self.end_told = true;
            return Ok(Opened::End);
        }
        match self.received.len() > PARTIAL_BYTES {
            true => {
                self.stage = Stage::Failed;
                Err(TunnelFault::TooLong)
            }
            false => Ok(Opened::All),
        }
    }

    /// Whether [`Tunnel::open`] may deliver something although nothing more came.
    pub fn holds(&self) -> bool {
        self.held || !self.opened.is_empty()
    }

    /// Seals plain bytes, at most [`RECORD_BYTES`]: how many. `None`: nobody can be told anything, for
    /// the handshake is not done, or the tunnel is closed.
    ///
    /// # Errors
    /// If what is held breaks the protocol, or the keys are used up (TLS 1.2).
    pub fn seal(&mut self, plain: &[u8]) -> Result<Option<usize>, TunnelFault> {
        if self.stage != Stage::Open {
            return Ok(None);
        }
        let piece = &plain[..plain.len().min(RECORD_BYTES)];
        self.write(&mut |mut traffic, sealed| {
            append(sealed, piece.len() + RECORD_EXTRA_BYTES, |room| {
                traffic.encrypt(piece, room).map_err(Refused::from)
            })
        })?;
        Ok(Some(piece.len()))
    }

    /// Seals the end of what is sent (RFC 8446 §6.1).
    ///
    /// # Errors
    /// As [`Tunnel::seal`].
    pub fn close(&mut self) -> Result<(), TunnelFault> {
        if self.stage != Stage::Open {
            return Ok(());
        }
        self.write(&mut |mut traffic, sealed| {
            append(sealed, RECORD_EXTRA_BYTES, |room| {
                traffic.queue_close_notify(room).map_err(Refused::from)
            })
        })?;
        self.stage = Stage::Closed;
        Ok(())
    }

    /// What is to be sent next.
    pub fn pending(&self) -> &[u8] {
        &self.sealed[self.sent..]
    }

    /// The socket took so many of those.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.sealed.len() {
            self.sent = 0;
            // A connection that rests holds no buffer.
            self.sealed = Vec::new();
        }
    }

    /// Whether the handshake is still to be done.
    pub fn is_handshaking(&self) -> bool {
        matches!(self.stage, Stage::Fresh | Stage::Handshake)
    }

    /// How the handshake ended, if it did well.
    pub fn handshake(&self) -> Option<TlsHandshake> {
        self.rustls.handshake_kind().map(|kind| match kind {
            HandshakeKind::Resumed => TlsHandshake::Resumed,
            HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest => TlsHandshake::Full,
        })
    }

    /// Bytes of its buffers.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.received.capacity() + self.opened.capacity() + self.sealed.capacity()
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        self.held = !self.received.is_empty() || self.owes_end();
    }

    /// The peer's end came, and nobody was told.
    fn owes_end(&self) -> bool {
        self.peer_closed && !self.end_told
    }

    fn put_back(&mut self, mut received: Vec<u8>, used: usize) {
        self.received = match used == received.len() {
            true => Vec::new(),
            false => {
                received.drain(..used);
                received
            }
        };
    }

    /// Gets to where plain bytes can be sealed, past what is held.
    fn write(&mut self, write: &mut Write<'_>) -> Result<(), TunnelFault> {
        let mut received = std::mem::take(&mut self.received);
        let mut opened = std::mem::take(&mut self.opened);
        let mut keep = |plain: &[u8]| {
            opened.extend_from_slice(plain);
            true
        };
        let (used, done) = self.process(&mut received, &mut keep, write);
        self.put_back(received, used);
        self.opened = opened;
        self.held = self.owes_end();
        done.map(drop).inspect_err(|_| self.stage = Stage::Failed)
    }

    /// Takes records from the front of `buffer`: the bytes used, and whether more may be delivered. What
    /// panics in there ends this connection alone.
    fn process(
        &mut self,
        buffer: &mut [u8],
        deliver: &mut dyn FnMut(&[u8]) -> bool,
        write: &mut Write<'_>,
    ) -> (usize, Result<bool, TunnelFault>) {
        let records = AssertUnwindSafe(|| self.take_records(buffer, deliver, write));
        catch_unwind(records).unwrap_or((0, Err(TunnelFault::Panicked)))
    }

    fn take_records(
        &mut self,
        buffer: &mut [u8],
        deliver: &mut dyn FnMut(&[u8]) -> bool,
        write: &mut Write<'_>,
    ) -> (usize, Result<bool, TunnelFault>) {
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.rustls.process_tls_records(&mut buffer[used..]);
            let next = match state {
                Ok(state) => step(
                    state,
                    &mut discard,
                    &mut self.sealed,
                    &mut self.peer_closed,
                    deliver,
                    write,
                ),
                Err(fault) => {
                    used += discard;
                    self.take_alert(&mut buffer[used..]);
                    return (used, Err(fault.into()));
                }
            };
            used += discard;
            if self.stage == Stage::Handshake && !self.rustls.is_handshaking() {
                self.stage = Stage::Open;
            }
            match next {
                Ok(Next::Again) => {}
                Ok(Next::Wait) => return (used, Ok(true)),
                Ok(Next::Stop) => return (used, Ok(false)),
                Err(fault) => return (used, Err(fault)),
            }
        }
    }

    /// Seals what rustls has to say about a fault, an alert, and what it had begun to say before. It is
    /// not asked for more: it would look at the bytes again.
    fn take_alert(&mut self, buffer: &mut [u8]) {
        loop {
            let start = self.sealed.len();
            let status = self.rustls.process_tls_records(buffer);
            let Ok(ConnectionState::EncodeTlsData(mut data)) = status.state else {
                return;
            };
            let encoded = append(&mut self.sealed, RECORD_EXTRA_BYTES, |room| {
                data.encode(room).map_err(Refused::from)
            });
            if encoded.is_err() || is_alert(&self.sealed[start..]) {
                return;
            }
        }
    }
}

/// An alert in the clear, or one of TLS 1.3 that is sealed as if it were data: two bytes, their type, a
/// tag (RFC 8446 §5.2). No message of a handshake is as short.
fn is_alert(record: &[u8]) -> bool {
    const ALERT: u8 = 0x15;
    const DATA: u8 = 0x17;
    const SEALED_ALERT_BYTES: usize = 5 + 2 + 1 + 16;
    match record.first() {
        Some(&ALERT) => true,
        Some(&DATA) => record.len() == SEALED_ALERT_BYTES,
        Some(_) | None => false,
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("stage", &self.stage)
            .field("received", &self.received.len())
            .field("pending", &self.pending().len())
            .finish_non_exhaustive()
    }
}

enum Next {
    Again,
    /// For bytes of the peer.
    Wait,
    /// Nothing more is wanted.
    Stop,
}

/// Does what a state of rustls asks for.
fn step(
    state: ConnectionState<'_, '_, ServerConnectionData>,
    discard: &mut usize,
    sealed: &mut Vec<u8>,
    peer_closed: &mut bool,
    deliver: &mut dyn FnMut(&[u8]) -> bool,
    write: &mut Write<'_>,
) -> Result<Next, TunnelFault> {
    match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            let mut wanted = true;
            while let Some(record) = traffic.next_record() {
                let record = record?;
                *discard += record.discard;
                wanted = deliver(record.payload);
            }
            Ok(match wanted {
                true => Next::Again,
                false => Next::Stop,
            })
        }
        ConnectionState::EncodeTlsData(mut data) => {
            append(sealed, RECORD_EXTRA_BYTES, |room| {
                data.encode(room).map_err(Refused::from)
            })?;
            Ok(Next::Again)
        }
        ConnectionState::TransmitTlsData(data) => {
            // It stands in `sealed`, in order.
            data.done();
            Ok(Next::Again)
        }
        ConnectionState::WriteTraffic(traffic) => write(traffic, sealed).map(|()| Next::Wait),
        ConnectionState::PeerClosed => {
            *peer_closed = true;
            Ok(Next::Again)
        }
        ConnectionState::BlockedHandshake | ConnectionState::Closed => Ok(Next::Wait),
        // Early data is off, and there is no other state.
        _ => Err(rustls::Error::HandshakeNotComplete.into()),
    }
}

/// Why rustls wrote nothing.
enum Refused {
    /// It needs so many bytes of room.
    Room(usize),
    Fault(rustls::Error),
}

impl From<EncodeError> for Refused {
    fn from(fault: EncodeError) -> Self {
        match fault {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => {
                Refused::Room(required_size)
            }
            EncodeError::AlreadyEncoded => Refused::Fault(rustls::Error::EncryptError),
        }
    }
}

impl From<EncryptError> for Refused {
    fn from(fault: EncryptError) -> Self {
        match fault {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => {
                Refused::Room(required_size)
            }
            EncryptError::EncryptExhausted => Refused::Fault(rustls::Error::EncryptError),
        }
    }
}

/// Lets `write` append to `sealed`, with more room if it wants it.
fn append(
    sealed: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Refused>,
) -> Result<(), TunnelFault> {
    let start = sealed.len();
    loop {
        sealed.resize(start + room, 0);
        match write(&mut sealed[start..]) {
            Ok(count) => {
                sealed.truncate(start + count);
                return Ok(());
            }
            Err(Refused::Room(needed)) if needed > room => room = needed,
            Err(Refused::Room(_)) => {
                sealed.truncate(start);
                return Err(rustls::Error::EncryptError.into());
            }
            Err(Refused::Fault(fault)) => {
                sealed.truncate(start);
                return Err(fault.into());
            }
        }
    }
}
