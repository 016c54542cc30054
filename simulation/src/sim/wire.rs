//! A TCP connection as two queues of bytes.

use std::io::{self, ErrorKind, Read, Write};

/// A client's end and the server's end of one connection.
#[derive(Debug)]
pub struct Wire {
    /// Sent by the client, not yet read by the server.
    pub to_server: Vec<u8>,
    /// The client sends no more.
    pub client_done: bool,
    /// The client has broken the connection.
    pub reset: bool,
    /// Written by the server, not yet read by the client.
    pub to_client: Vec<u8>,
    /// Bytes that fit into `to_client`: less than the server writes makes its socket block.
    pub window: usize,
    /// The server sends no more: it has shut its half down, or closed the connection.
    pub server_done: bool,
    /// The server has closed the connection.
    pub closed: bool,
    /// The server has read the end of the client's bytes.
    pub(crate) end_read: bool,
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self {
            to_server: Vec::new(),
            client_done: false,
            reset: false,
            to_client: Vec::new(),
            window: usize::MAX,
            server_done: false,
            closed: false,
            end_read: false,
        }
    }

    /// Bytes that the server's socket takes.
    pub(crate) fn room(&self) -> usize {
        self.window.saturating_sub(self.to_client.len())
    }
}

/// The client's end, for tungstenite.
impl Read for &mut Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.to_client.len().min(buffer.len()) {
            0 if self.server_done => Ok(0),
            0 => Err(ErrorKind::WouldBlock.into()),
            count => {
                buffer[..count].copy_from_slice(&self.to_client[..count]);
                self.to_client.drain(..count);
                Ok(count)
            }
        }
    }
}

impl Write for &mut Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.to_server.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
