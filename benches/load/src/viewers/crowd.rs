//! Drives any number of viewers on the calling thread: one epoll set, one look at their deadlines each few ms.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, IndexMut};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use crate::Error;
use crate::viewers::receive::Batch;
use crate::viewers::viewer::Viewer;

/// Events taken per turn.
const EVENTS_PER_TURN: usize = 256;
/// Conditions are looked at at least this often.
const TURN: Duration = Duration::from_millis(2);
/// Deadlines are looked at this often: STUN, DTLS and NACK know no finer ones.
const DEADLINES: Duration = Duration::from_millis(5);

/// A set of viewers; an index names one.
pub struct Crowd {
    epoll: OwnedFd,
    viewers: Vec<Viewer>,
    /// Theirs, dense: a look at thousands of them must not touch the viewers.
    deadlines: Vec<Instant>,
    look: Instant,
    batch: Batch,
    events: Vec<epoll::Event>,
}

impl Crowd {
    /// Nobody yet. All of them are with or without GRO.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub fn new(gro: bool) -> Result<Self, Error> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC);
        Ok(Self {
            epoll: epoll.map_err(Error::machine("an epoll descriptor"))?,
            viewers: Vec::new(),
            deadlines: Vec::new(),
            look: Instant::now(),
            batch: Batch::new(gro),
            events: Vec::with_capacity(EVENTS_PER_TURN),
        })
    }

    /// Takes a viewer into the set.
    ///
    /// # Errors
    /// When the kernel refuses to watch its socket.
    pub fn add(&mut self, viewer: Viewer) -> Result<usize, Error> {
        let index = self.viewers.len();
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, viewer.socket(), data, epoll::EventFlags::IN)
            .map_err(Error::machine("a viewer's socket"))?;
        self.deadlines.push(viewer.deadline());
        self.viewers.push(viewer);
        Ok(index)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Viewer> {
        self.viewers.iter()
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Viewer> {
        self.viewers.iter_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.viewers.len()
    }

    /// Whether there is nobody yet.
    pub fn is_empty(&self) -> bool {
        self.viewers.is_empty()
    }

    /// UDP ports of their sockets.
    pub fn ports(&self) -> BTreeSet<u16> {
        self.viewers
            .iter()
            .map(|viewer| viewer.local().port())
            .collect()
    }

    /// Drives them until the condition holds.
    ///
    /// # Errors
    /// With `what` when it does not hold within `limit`.
    pub fn run_until(
        &mut self,
        limit: Duration,
        what: &str,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while !condition(self) {
            if Instant::now() > deadline {
                let what = format!("{what}, of {}", self.describe());
                return Err(Error::TooSlow { what, limit });
            }
            self.turn();
        }
        Ok(())
    }

    /// Drives them for a time.
    pub fn run_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn();
        }
    }

    /// Waits a moment for the network or the clock, and handles what came.
    pub fn turn(&mut self) {
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: TURN.as_nanos() as _,
        };
        self.events.clear();
        // Interrupted by a signal is as good as nothing to do.
        let _ = epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&wait),
        );
        for event in &self.events {
            let epoll::Event { data, .. } = *event;
            let index = data.u64() as usize;
            self.viewers[index].readable(&mut self.batch);
            self.deadlines[index] = self.viewers[index].deadline();
        }
        let now = Instant::now();
        if now < self.look {
            return;
        }
        self.look = now + DEADLINES;
        for (viewer, deadline) in self.viewers.iter_mut().zip(&mut self.deadlines) {
            if *deadline <= now {
                viewer.timeout(now);
                *deadline = viewer.deadline();
            }
        }
    }

    /// How they stand, for whoever reads why nothing was measured.
    fn describe(&self) -> String {
        let count =
            |holds: fn(&Viewer) -> bool| self.viewers.iter().filter(|viewer| holds(viewer)).count();
        let mut over: BTreeMap<&str, usize> = BTreeMap::new();
        for why in self
            .viewers
            .iter()
            .filter_map(|viewer| viewer.closed.as_deref())
        {
            *over.entry(why).or_default() += 1;
        }
        format!(
            "{} viewers: {} connected, {} have seen a picture, over {over:?}",
            self.len(),
            count(Viewer::is_connected),
            count(|viewer| viewer.first_picture.is_some()),
        )
    }
}

impl Index<usize> for Crowd {
    type Output = Viewer;

    fn index(&self, index: usize) -> &Viewer {
        &self.viewers[index]
    }
}

impl IndexMut<usize> for Crowd {
    fn index_mut(&mut self, index: usize) -> &mut Viewer {
        &mut self.viewers[index]
    }
}
