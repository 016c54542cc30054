//! CPU time of one thread.

use std::fs;
use std::time::{Duration, Instant};

use load::Error;
use rustix::time::{ClockId, clock_gettime};

/// CPU time that a thread has used while it was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// In the program; known in ticks of 10 ms only.
    pub(crate) user: Duration,
    /// In the kernel on its behalf.
    pub(crate) system: Duration,
    /// How long it was looked at.
    pub(crate) wall: Duration,
}

/// A reading of the calling thread's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    begin: Instant,
    total: Duration,
    user: Duration,
}

impl Meter {
    /// Where the calling thread stands.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub(crate) fn begin() -> Result<Self, Error> {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let total = Duration::new(
            time.tv_sec.try_into().unwrap_or_default(),
            time.tv_nsec.try_into().unwrap_or_default(),
        );
        Ok(Self {
            begin: Instant::now(),
            total,
            user: user_time()?,
        })
    }

    /// What the same thread has used since.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(crate) fn used(self) -> Result<Used, Error> {
        let now = Self::begin()?;
        let total = now.total.saturating_sub(self.total);
        let user = now.user.saturating_sub(self.user).min(total);
        Ok(Used {
            user,
            system: total - user,
            wall: now.begin - self.begin,
        })
    }
}

/// User time of the calling thread: field 14 of proc_pid_stat(5), 11 behind the name, which may hold blanks.
fn user_time() -> Result<Duration, Error> {
    const PATH: &str = "/proc/thread-self/stat";
    let stat = fs::read_to_string(PATH).map_err(Error::machine(PATH))?;
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_ascii_whitespace().nth(11);
    let ticks: u64 = ticks
        .and_then(|ticks| ticks.parse().ok())
        .unwrap_or_default();
    Ok(Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32)
}
