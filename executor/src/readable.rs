//! Awaits that a descriptor that is no socket becomes readable, through glommio.
//!
//! glommio 0.9.0 has no public way to poll a descriptor. Its `TcpStream` arms an io_uring
//! `POLL_ADD` for the descriptor when it is made, and tries to receive when the poll completes,
//! which for an epoll set fails with `ENOTSOCK` and consumes nothing. So: make a stream of a
//! duplicate of the descriptor, and read it until it fails. This rests on the internals of that
//! version, which the workspace therefore pins; it is all in this file, and its tests say when it
//! no longer holds.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::AsyncRead;
use glommio::net::TcpStream;

/// Readability of a descriptor, to be awaited again and again on one executor.
#[derive(Debug)]
pub(crate) struct Readable {
    state: State,
}

#[derive(Debug)]
enum State {
    /// A duplicate of the descriptor, with no poll in the kernel.
    Idle(OwnedFd),
    /// The same duplicate inside a stream whose poll is pending or has completed.
    Armed(TcpStream),
    /// Only while the duplicate moves from one to the other.
    Moving,
}

impl Readable {
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        // `try_clone_to_owned` is F_DUPFD_CLOEXEC.
        Ok(Self {
            state: State::Idle(fd.try_clone_to_owned()?),
        })
    }

    /// Ready when the descriptor has been readable since the last time that it was ready (or since
    /// the beginning). It may be no longer so: look, and come back. Else the task is woken when it
    /// becomes readable. Must be called on a glommio executor, always the same.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stream = match std::mem::replace(&mut self.state, State::Moving) {
            State::Armed(stream) => stream,
            State::Idle(fd) => {
                // SAFETY: we own the descriptor and give it up to the stream.
                unsafe { TcpStream::from_raw_fd(fd.into_raw_fd()) }
            }
            State::Moving => unreachable!("only inside this function"),
        };
        match Pin::new(&mut stream).poll_read(cx, &mut [0]) {
            Poll::Pending => {
                self.state = State::Armed(stream);
                Poll::Pending
            }
            Poll::Ready(_not_a_socket) => {
                self.state = State::Idle(release(stream));
                Poll::Ready(())
            }
        }
    }
}

/// Takes the descriptor out of a stream whose poll has completed, without a system call, so that
/// going to sleep neither costs one nor fails when descriptors have run out.
fn release(stream: TcpStream) -> OwnedFd {
    let fd = stream.as_raw_fd();
    // Forgetting the stream keeps its descriptor open. A stream without a pending poll owns nothing
    // else on the heap; what is never given back is one weak count of the executor's reactor.
    std::mem::forget(stream);
    // SAFETY: the stream that owned the descriptor is gone without having closed it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
