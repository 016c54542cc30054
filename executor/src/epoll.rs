//! The set of descriptors that a shard watches: epoll(7).

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// What a descriptor was registered under; its owner chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// When a registered descriptor is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// In every turn in which it is readable. For listeners and inboxes.
    Level,
    /// When it becomes readable, writable or is hung up, once per change: its owner reads or writes
    /// until the kernel has no more, and need never change the registration. For connections and
    /// UDP ports.
    Edge,
}

/// A descriptor about which there is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// What the descriptor was registered under.
    pub token: Token,
    /// There are bytes, datagrams or connections to take, or the end of the stream.
    pub readable: bool,
    /// There is room to write. Never set with [`Trigger::Level`].
    pub writable: bool,
    /// The peer will send no more, or the connection is broken (`RDHUP`, `HUP` or `ERR`). There
    /// may be bytes to read nevertheless.
    pub hangup: bool,
}

#[derive(Debug)]
pub(crate) struct Epoll {
    set: OwnedFd,
    /// epoll_pwait2(2) is there. Before Linux 5.11, and under a seccomp profile that does not know it,
    /// waiting is to the millisecond.
    precise: Cell<bool>,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor and nobody else knows it.
        let set = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            set,
            precise: Cell::new(true),
        })
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: Token, trigger: Trigger) -> io::Result<()> {
        let events = match trigger {
            Trigger::Level => libc::EPOLLIN,
            Trigger::Edge => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET,
        };
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token.0,
        };
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &raw mut event)
    }

    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut())
    }

    fn control(&self, op: i32, fd: RawFd, event: *mut libc::epoll_event) -> io::Result<()> {
        // SAFETY: `event` is valid or, for EPOLL_CTL_DEL, null, which is allowed since Linux 2.6.9.
        match unsafe { libc::epoll_ctl(self.set.as_raw_fd(), op, fd, event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits until something is ready, at most for `timeout` (to the kernel's timer slack of 50 µs), and
    /// passes what is to `each`, at most as many as fit into `buffer`. It may return early, and with
    /// nothing.
    pub(crate) fn wait(
        &self,
        buffer: &mut [libc::epoll_event],
        timeout: Duration,
        mut each: impl FnMut(Readiness),
    ) {
        // EINTR is an early return; every other error would be a descriptor that is not an epoll set,
        // which the type excludes.
        let count = self.take(buffer, timeout).unwrap_or(0);
        for event in &buffer[..count] {
            let events = event.events as i32;
            let hangup = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
            each(Readiness {
                token: Token(event.u64),
                readable: events & libc::EPOLLIN != 0,
                writable: events & libc::EPOLLOUT != 0,
                hangup: events & hangup != 0,
            });
        }
    }

    fn take(&self, buffer: &mut [libc::epoll_event], timeout: Duration) -> io::Result<usize> {
        if self.precise.get() {
            match self.take_precisely(buffer, timeout) {
                Err(fault) if matches!(fault.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.precise.set(false);
                }
                result => return result,
            }
        }
        let room = i32::try_from(buffer.len()).unwrap_or(i32::MAX);
        let timeout = i32::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
        // SAFETY: `buffer` has room for that many events.
        let count =
            unsafe { libc::epoll_wait(self.set.as_raw_fd(), buffer.as_mut_ptr(), room, timeout) };
        usize::try_from(count).map_err(|_negative| io::Error::last_os_error())
    }

    fn take_precisely(
        &self,
        buffer: &mut [libc::epoll_event],
        timeout: Duration,
    ) -> io::Result<usize> {
        let room = i32::try_from(buffer.len()).unwrap_or(i32::MAX);
        let timeout = libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(timeout.subsec_nanos() as i32),
        };
        // The system call itself, for glibc has had it since 2.35 only. A null signal mask leaves the
        // thread's own.
        // SAFETY: `buffer` has room for that many events, `timeout` is readable.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.set.as_raw_fd(),
                buffer.as_mut_ptr(),
                room,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        usize::try_from(count).map_err(|_negative| io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Instant;

    use super::*;
    use crate::eventfd::EventFd;

    const TOKEN: Token = Token(7);

    fn wait(epoll: &Epoll, timeout: Duration) -> Vec<Token> {
        let mut buffer = [libc::epoll_event { events: 0, u64: 0 }; 4];
        let mut tokens = Vec::new();
        epoll.wait(&mut buffer, timeout, |Readiness { token, .. }| {
            tokens.push(token);
        });
        tokens
    }

    #[test]
    fn waits_as_long_as_it_should_with_and_without_the_newer_call() {
        for precise in [true, false] {
            let epoll = Epoll::new().unwrap();
            epoll.precise.set(precise);
            let eventfd = EventFd::new().unwrap();
            epoll.add(eventfd.as_fd(), TOKEN, Trigger::Level).unwrap();
            let (began, pause) = (Instant::now(), Duration::from_micros(2_300));
            // A signal would be an early return.
            while began.elapsed() < pause {
                let left = pause.saturating_sub(began.elapsed());
                assert_eq!(wait(&epoll, left), []);
            }
            eventfd.signal();
            assert_eq!(wait(&epoll, Duration::from_secs(60)), [TOKEN]);
            assert_eq!(wait(&epoll, Duration::ZERO), [TOKEN], "it is still there");
            eventfd.clear();
            assert_eq!(wait(&epoll, Duration::ZERO), []);
            assert_eq!(epoll.precise.get(), precise);
        }
    }
}
