//! What no live thing accounts for is noticed (M12), by the descriptors and threads of this very process: nothing else in
//! it may open any, so this is its only test.

use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use media_service::metrics::HeldWatch;
use media_service::placement::{ShardId, Shards};
use media_service::totals::{Total, Totals};

const INTERVAL: Duration = Duration::from_secs(10);
/// More than three times the least baseline.
const MANY: usize = 310;

/// A server's accounts, its clock, and what watches both.
struct Process {
    totals: Totals,
    shard: ShardId,
    watch: HeldWatch,
    now: Instant,
}

impl Process {
    /// One that has its baseline.
    fn new() -> Self {
        let totals = Totals::new(1);
        let shards = NonZeroUsize::new(1).and_then(Shards::new).expect("one");
        let mut process = Self {
            watch: HeldWatch::new(INTERVAL, &totals),
            shard: shards.all().next().expect("one"),
            totals,
            now: Instant::now(),
        };
        for _ in 0..30 {
            assert!(!process.leaks());
        }
        process
    }

    /// Takes the next sample.
    fn leaks(&mut self) -> bool {
        self.now += INTERVAL;
        self.watch.sample(self.now, &self.totals);
        self.watch.held().potential_leak()
    }

    fn account(&self, total: Total, count: usize) {
        self.totals.set(self.shard, total, count);
    }
}

fn files(count: usize) -> Vec<File> {
    let open = |_| File::open("/dev/null").expect("descriptors");
    (0..count).map(open).collect()
}

#[test]
fn what_belongs_to_nobody_is_a_leak_until_it_is_gone() {
    let mut process = Process::new();
    let tasks = |process: &Process| process.watch.held().tasks();
    assert!(tasks(&process) < 10, "{}", tasks(&process));

    let leaked = files(MANY);
    assert!(process.leaks());
    assert!(tasks(&process) >= MANY as u64);
    process.account(Total::Connections, MANY);
    assert!(!process.leaks(), "they are connections");
    process.account(Total::Connections, 0);
    assert!(process.leaks());
    process.account(Total::Parting, MANY);
    assert!(!process.leaks(), "they take the last bytes of connections");
    process.account(Total::Parting, 0);
    assert!(process.leaks());
    drop(leaked);
    assert!(!process.leaks());

    let end = Arc::new(Barrier::new(MANY + 1));
    let threads: Vec<_> = (0..MANY)
        .map(|_| {
            let end = end.clone();
            thread::spawn(move || _ = end.wait())
        })
        .collect();
    assert!(process.leaks());
    end.wait();
    for thread in threads {
        thread.join().expect("it only waits");
    }
    assert!(!process.leaks());

    process.account(Total::Sessions, MANY);
    assert!(!process.leaks());
    process.account(Total::Orphans, MANY);
    assert!(process.leaks(), "nobody can close them");
}
