//! A connection's socket, and its TLS where that is spoken.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use crate::metrics::TlsHandshake;
use crate::tls::{Acceptor, Opened, Tunnel, TunnelFault};

/// A TCP connection, with or without TLS. It moves between shards with all that it holds: bytes of the
/// peer that nobody wanted yet, and sealed ones that the socket has not taken.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    tls: Option<Box<Tls>>,
}

#[derive(Debug)]
struct Tls {
    tunnel: Tunnel,
    /// How the handshake ended, once it has and until that is counted.
    handshake: Option<TlsHandshake>,
    counted: bool,
    /// The sending half is shut down as soon as everything is with the socket.
    shut_down: bool,
}

/// What came of [`Stream::read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// There may be more.
    More,
    /// The read was short: it has emptied the socket, unless the end stands behind the bytes.
    Short,
    /// Nothing was there.
    Empty,
    /// No more is wanted.
    Held,
    /// The peer sends no more.
    End,
    /// The peer speaks HTTP where TLS is spoken, and so does this stream now.
    Plaintext,
}

/// Why a stream is broken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TunnelFault),
}

impl Stream {
    pub(super) fn plain(socket: TcpStream) -> Self {
        Self { socket, tls: None }
    }

    /// The server's side of TLS.
    pub(super) fn accept(socket: TcpStream, acceptor: &Acceptor) -> Result<Self, rustls::Error> {
        let tls = Tls {
            tunnel: acceptor.accept()?,
            handshake: None,
            counted: false,
            shut_down: false,
        };
        Ok(Self {
            socket,
            tls: Some(Box::new(tls)),
        })
    }

    /// Reads once, into `buffer`, and delivers what that brings: one piece, or with TLS one for each
    /// record until `deliver` says that it wants no more.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        deliver: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Input, Broken> {
        let Some(tls) = &mut self.tls else {
            return Ok(match read_some(&mut self.socket, buffer)? {
                None => Input::Empty,
                Some(0) => Input::End,
                Some(count) => match (deliver(&buffer[..count]), count < buffer.len()) {
                    (_, true) => Input::Short,
                    (true, false) => Input::More,
                    (false, false) => Input::Held,
                },
            });
        };
        if tls.tunnel.holds() {
            return Ok(match tls.tunnel.open(&mut [], deliver)? {
                Opened::All => Input::More,
                Opened::Held => Input::Held,
                Opened::End => Input::End,
            });
        }
        let count = match read_some(&mut self.socket, buffer)? {
            None => return Ok(Input::Empty),
            Some(0) => return Ok(Input::End),
            Some(count) => count,
        };
        let was_handshaking = tls.tunnel.is_handshaking();
        let opened = tls.tunnel.open(&mut buffer[..count], deliver);
        if was_handshaking && !tls.counted {
            tls.note(&opened);
        }
        if let Err(TunnelFault::Plaintext) = opened {
            self.tls = None;
            return Ok(Input::Plaintext);
        }
        // The handshake's next part, or the alert that says what was wrong.
        let flushed = self.flush();
        let input = match opened? {
            Opened::All if count < buffer.len() => Input::Short,
            Opened::All => Input::More,
            Opened::Held => Input::Held,
            Opened::End => Input::End,
        };
        flushed?;
        Ok(input)
    }

    /// Writes what the socket takes: so many of the bytes are with it, or with TLS sealed for it. As long
    /// as sealed ones wait, no others are taken. One that takes a part has no room for more and raises an
    /// edge when it has (tcp(7)): asking it again would only cost a call.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        if self.tls.is_none() {
            return match bytes.is_empty() {
                true => Ok(0),
                false => Ok(write_some(&mut self.socket, bytes)?),
            };
        }
        let mut taken = 0;
        while self.flush()? && taken < bytes.len() {
            let Some(tls) = &mut self.tls else { break };
            match tls.tunnel.seal(&bytes[taken..])? {
                Some(count) => taken += count,
                // Nobody can be told any more, or yet: then it is the end of a connection that has
                // never come to be.
                None => return Ok(bytes.len()),
            }
        }
        Ok(taken)
    }

    /// Writes what is sealed. True: nothing of it is left.
    pub(super) fn flush(&mut self) -> Result<bool, Broken> {
        let Some(tls) = &mut self.tls else {
            return Ok(true);
        };
        while !tls.tunnel.pending().is_empty() {
            match write_some(&mut self.socket, tls.tunnel.pending())? {
                0 => return Ok(false),
                count => tls.tunnel.sent(count),
            }
        }
        if std::mem::take(&mut tls.shut_down) {
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(true)
    }

    /// Says that nothing more is sent, and shuts the sending half down behind it.
    pub(super) fn shut_down(&mut self) -> Result<(), Broken> {
        match &mut self.tls {
            None => self.socket.shutdown(Shutdown::Write)?,
            Some(tls) => {
                tls.tunnel.close()?;
                tls.shut_down = true;
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Says that nothing more is sent. True: that is with the socket, which can be closed.
    pub(super) fn close(&mut self) -> bool {
        let Some(tls) = &mut self.tls else {
            return true;
        };
        let closed = tls.tunnel.close().map_err(Broken::from);
        // What is broken has nobody to wait for.
        closed.and_then(|()| self.flush()).unwrap_or(true)
    }

    /// Whether a read brings something although the socket is empty.
    pub(super) fn holds(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.tunnel.holds())
    }

    pub(super) fn is_handshaking(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.tunnel.is_handshaking())
    }

    /// How the handshake ended, once; `None` before that, and without TLS.
    pub(super) fn take_handshake(&mut self) -> Option<TlsHandshake> {
        self.tls.as_mut()?.handshake.take()
    }

    /// Whether it ends before its handshake did.
    pub(super) fn is_unfinished(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.counted)
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Tls {
    fn note(&mut self, opened: &Result<Opened, TunnelFault>) {
        self.handshake = match opened {
            // The stream is told apart by its owner, which counts it.
            Err(TunnelFault::Plaintext) => None,
            Err(_) => Some(TlsHandshake::Failed),
            Ok(_) if self.tunnel.is_handshaking() => return,
            Ok(_) => self.tunnel.handshake(),
        };
        self.counted = true;
    }
}

/// `None`: there is nothing.
fn read_some(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match socket.read(buffer) {
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            result => return result.map(Some),
        }
    }
}

/// What the socket takes of the bytes.
fn write_some(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match socket.write(bytes) {
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) if fault.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            result => return result,
        }
    }
}
