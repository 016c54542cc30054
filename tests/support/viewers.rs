//! Drives any number of viewers on the calling thread: one epoll set, one scan for deadlines a turn.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::SOON;
use super::viewer::{READ_BYTES, Viewer, ViewerOptions};

/// Events taken per turn.
const EVENTS_PER_TURN: usize = 256;

/// Conditions are looked at at least this often, deadlines of hundreds of viewers at most this often.
const TURN: Duration = Duration::from_millis(2);

/// A set of viewers; an index names one.
pub struct Viewers {
    epoll: OwnedFd,
    viewers: Vec<Viewer>,
    buffer: Vec<u8>,
    timeouts_due: Instant,
}

impl Default for Viewers {
    fn default() -> Self {
        Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll descriptor"),
            viewers: Vec::new(),
            buffer: vec![0; READ_BYTES],
            timeouts_due: Instant::now(),
        }
    }
}

impl Viewers {
    /// A viewer of `device` that has answered; see [`Viewer::join`].
    #[track_caller]
    pub fn join(&mut self, http: SocketAddr, device: &str, options: ViewerOptions) -> usize {
        self.add(Viewer::join(http, device, options))
    }

    /// Joins and waits for the connection.
    #[track_caller]
    pub fn join_connected(
        &mut self,
        http: SocketAddr,
        device: &str,
        options: ViewerOptions,
    ) -> usize {
        let index = self.join(http, device, options);
        self.run_until(SOON, "the viewer is connected", |viewers| {
            viewers[index].is_connected()
        });
        index
    }

    /// Takes a viewer into the set.
    pub fn add(&mut self, viewer: Viewer) -> usize {
        let index = self.viewers.len();
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, viewer.socket(), data, epoll::EventFlags::IN)
            .expect("a socket can be polled");
        self.viewers.push(viewer);
        index
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Viewer> {
        self.viewers.iter()
    }

    pub fn len(&self) -> usize {
        self.viewers.len()
    }

    /// Drives the viewers until the condition holds.
    ///
    /// # Panics
    /// With `what` when it does not hold within `limit`.
    #[track_caller]
    pub fn run_until(
        &mut self,
        limit: Duration,
        what: &str,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) {
        let deadline = Instant::now() + limit;
        while !condition(self) {
            assert!(
                Instant::now() < deadline,
                "not within {limit:?}: {what}\n{}",
                self.describe()
            );
            self.turn();
        }
    }

    /// How the viewers stand, for whoever reads why a test failed.
    fn describe(&self) -> String {
        let count =
            |holds: fn(&Viewer) -> bool| self.viewers.iter().filter(|viewer| holds(viewer)).count();
        let closed: BTreeSet<&str> = self
            .viewers
            .iter()
            .filter_map(|viewer| viewer.closed.as_deref())
            .collect();
        format!(
            "{} viewers: {} connected, {} have seen a picture, {} over {closed:?}",
            self.viewers.len(),
            count(Viewer::is_connected),
            count(|viewer| viewer.first_picture.is_some()),
            count(|viewer| viewer.closed.is_some()),
        )
    }

    /// Drives the viewers for a time, to see that something goes on, or does not happen.
    pub fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
        }
    }

    /// Waits a moment for the network or the clock, and handles what came.
    pub fn turn(&mut self) {
        let mut events = Vec::with_capacity(EVENTS_PER_TURN);
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: TURN.as_nanos() as _,
        };
        // Interrupted by a signal is as good as nothing to do.
        let _ = epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&wait),
        );
        for event in events {
            let epoll::Event { data, .. } = event;
            self.viewers[data.u64() as usize].readable(&mut self.buffer);
        }
        let now = Instant::now();
        if now >= self.timeouts_due {
            self.timeouts_due = now + TURN;
            for viewer in self
                .viewers
                .iter_mut()
                .filter(|viewer| viewer.deadline() <= now)
            {
                viewer.timeout(now);
            }
        }
    }
}

impl Index<usize> for Viewers {
    type Output = Viewer;

    fn index(&self, index: usize) -> &Viewer {
        &self.viewers[index]
    }
}

impl IndexMut<usize> for Viewers {
    fn index_mut(&mut self, index: usize) -> &mut Viewer {
        &mut self.viewers[index]
    }
}
