//! The set of descriptors that a shard watches: epoll(7).

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
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just given us this descriptor and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
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
        match unsafe { libc::epoll_ctl(self.0.as_raw_fd(), op, fd, event) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Whether the kernel and what confines the process let it wait here, at all.
    pub(crate) fn probe(&self) -> io::Result<()> {
        let mut buffer = [libc::epoll_event { events: 0, u64: 0 }];
        self.take(&mut buffer, Duration::ZERO).map(|_| ())
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
        // EINTR is an early return. Every other error would be a descriptor that is not an epoll set,
        // which the type excludes, or a kernel without the call, which the preflight check refuses.
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
                self.0.as_raw_fd(),
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
