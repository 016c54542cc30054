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

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::os::fd::AsFd;
    use std::rc::Rc;
    use std::task::Waker;
    use std::time::{Duration, Instant};

    use glommio::LocalExecutor;
    use glommio::timer::sleep;

    use super::*;
    use crate::epoll::{Epoll, Readiness, Token, Trigger};
    use crate::eventfd::EventFd;

    const TOKEN: Token = Token(7);

    fn watched_eventfd() -> (Epoll, Rc<EventFd>) {
        let epoll = Epoll::new().unwrap();
        let eventfd = Rc::new(EventFd::new().unwrap());
        epoll.add(eventfd.as_fd(), TOKEN, Trigger::Level).unwrap();
        (epoll, eventfd)
    }

    fn ready(epoll: &Epoll) -> Vec<Token> {
        let mut buffer = [libc::epoll_event { events: 0, u64: 0 }; 4];
        let mut tokens = Vec::new();
        epoll.poll(&mut buffer, |Readiness { token, .. }| tokens.push(token));
        tokens
    }

    fn wait(readable: &mut Readable) -> impl Future<Output = ()> + '_ {
        poll_fn(|cx| readable.poll_readable(cx))
    }

    fn open_descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[test]
    fn wakes_each_time_and_consumes_nothing() {
        LocalExecutor::default().run(async {
            let (epoll, eventfd) = watched_eventfd();
            let mut readable = Readable::new(epoll.as_fd()).unwrap();
            for _ in 0..5_000 {
                let sender = eventfd.clone();
                // Spawned tasks run at once, so the signal sometimes comes before the poll is armed
                // and, with the sleep of no length, sometimes after.
                let signal = glommio::spawn_local(async move {
                    sleep(Duration::ZERO).await;
                    sender.signal();
                });
                wait(&mut readable).await;
                signal.await;
                assert_eq!(
                    ready(&epoll),
                    [TOKEN],
                    "the event is still there to be taken"
                );
                eventfd.clear();
                assert_eq!(ready(&epoll), []);
            }
        });
    }

    #[test]
    fn stays_pending_while_nothing_is_readable() {
        LocalExecutor::default().run(async {
            let (epoll, eventfd) = watched_eventfd();
            let mut readable = Readable::new(epoll.as_fd()).unwrap();
            let began = Instant::now();
            let sender = eventfd.clone();
            let pause = Duration::from_millis(50);
            let signal = glommio::spawn_local(async move {
                sleep(pause).await;
                sender.signal();
            });
            wait(&mut readable).await;
            assert!(began.elapsed() >= pause, "woken by nothing");
            signal.await;
        });
    }

    #[test]
    fn is_ready_at_once_when_something_already_is() {
        LocalExecutor::default().run(async {
            let (epoll, eventfd) = watched_eventfd();
            eventfd.signal();
            let mut readable = Readable::new(epoll.as_fd()).unwrap();
            wait(&mut readable).await;
            assert_eq!(ready(&epoll), [TOKEN]);
        });
    }

    #[test]
    fn waiting_takes_no_descriptors() {
        LocalExecutor::default().run(async {
            let (epoll, eventfd) = watched_eventfd();
            let mut readable = Readable::new(epoll.as_fd()).unwrap();
            eventfd.signal();
            let before = open_descriptors();
            let mut seen = 0;
            for _ in 0..100 {
                wait(&mut readable).await;
                // Other tests of this process open and close some, too.
                seen = seen.max(open_descriptors().saturating_sub(before));
            }
            assert!(seen < 50, "{seen} descriptors more than before");
        });
    }

    #[test]
    fn can_be_dropped_while_it_waits() {
        LocalExecutor::default().run(async {
            let (epoll, eventfd) = watched_eventfd();
            let mut readable = Readable::new(epoll.as_fd()).unwrap();
            let mut cx = Context::from_waker(Waker::noop());
            assert!(readable.poll_readable(&mut cx).is_pending());
            sleep(Duration::from_millis(1)).await; // the poll is in the kernel now
            drop(readable);

            let mut again = Readable::new(epoll.as_fd()).unwrap();
            eventfd.signal();
            wait(&mut again).await;
            assert_eq!(ready(&epoll), [TOKEN]);
        });
    }
}
