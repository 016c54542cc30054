//! The CPU time of a thread: clock_gettime(2).

use std::time::Duration;

/// User and system time that the calling thread has used. Costs a system call.
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a writable timespec.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    debug_assert_eq!(rc, 0, "every thread has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_counts_and_sleep_does_not() {
        let work = Duration::from_millis(20);
        thread::spawn(move || {
            let before = thread_cpu_time();
            thread::sleep(work);
            assert!(thread_cpu_time() - before < work);
            let deadline = Instant::now() + Duration::from_secs(30);
            while thread_cpu_time() - before < work {
                assert!(Instant::now() < deadline, "work is not counted");
            }
        })
        .join()
        .unwrap();
    }
}
