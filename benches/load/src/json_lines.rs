//! The server's log: JSON lines on its standard error, kept for assertions.

use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// Lines read so far; grows while the process runs.
#[derive(Clone, Default)]
pub struct JsonLines {
    lines: Arc<Mutex<Vec<String>>>,
    complete: Arc<AtomicBool>,
}

impl JsonLines {
    /// Reads `source` to its end on a thread of its own, so that a full pipe never blocks the process.
    pub fn follow(source: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let (lines, complete) = (Arc::clone(&log.lines), Arc::clone(&log.complete));
        thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                lines.lock().expect("readers do not panic").push(line);
            }
            complete.store(true, Ordering::Release);
        });
        log
    }

    /// Whether its last line is here: the process has ended, or has closed its standard error.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Every line that is JSON. Panics of the process and the like are not, see [`Self::text`].
    pub fn entries(&self) -> Vec<Value> {
        let lines = self.lines.lock().expect("the reader does not panic");
        lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Entries with exactly this message.
    pub fn with_message(&self, message: &str) -> Vec<Value> {
        self.entries()
            .into_iter()
            .filter(|entry| entry["message"] == message)
            .collect()
    }

    /// Everything, as it was written.
    pub fn text(&self) -> String {
        self.lines
            .lock()
            .expect("the reader does not panic")
            .join("\n")
    }
}
