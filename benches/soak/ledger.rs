//! What must be true at the end: messages that were acknowledged, and answers that no server should give.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::support::rooms::place;
use crate::support::server::Server;

/// A message's room, epoch and number.
type Place = (u64, u64, u64);

/// Faults that are told in words; of more only the number counts.
const FAULTS_KEPT: usize = 50;

/// Shared by all clients.
#[derive(Default)]
pub struct Ledger {
    acknowledged: Mutex<BTreeMap<Place, String>>,
    faults: Mutex<Faults>,
}

#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub count: u64,
    pub first: Vec<String>,
}

/// What the history was compared with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checked {
    pub acknowledged: usize,
    pub stored: usize,
}

impl Ledger {
    /// The server has promised to keep this message.
    pub fn acknowledged(&self, place: Place, content: String) {
        let mut acknowledged = self.acknowledged.lock().expect("writers do not panic");
        if let Some(other) = acknowledged.insert(place, content.clone())
            && other != content
        {
            drop(acknowledged);
            self.fault(format!(
                "{place:?} was given to {other:?} and to {content:?}"
            ));
        }
    }

    /// The server has done what it must not do.
    pub fn fault(&self, what: String) {
        let mut faults = self.faults.lock().expect("writers do not panic");
        faults.count += 1;
        if faults.first.len() < FAULTS_KEPT {
            faults.first.push(what);
        }
    }

    pub fn faults(&self) -> Faults {
        self.faults.lock().expect("writers do not panic").clone()
    }

    /// Compares the rooms' histories with what was acknowledged: all of it is there as it was said, and each epoch counts
    /// without a gap.
    pub fn check(&self, server: &Server, rooms: &[u64]) -> Checked {
        let mut stored = BTreeMap::new();
        for &room in rooms {
            let mut last = (0, 0);
            for message in server.history(room) {
                let (epoch, seq) = place(&message);
                if epoch < last.0 || epoch == last.0 && seq != last.1 + 1 {
                    self.fault(format!(
                        "room {room}: {epoch}.{seq} is stored after {last:?}"
                    ));
                }
                last = (epoch, seq);
                let content = message["content"].as_str().unwrap_or_default().to_owned();
                stored.insert((room, epoch, seq), content);
            }
        }
        let acknowledged = self.acknowledged.lock().expect("writers do not panic");
        // Other rooms have ended, and their messages with them.
        let kept = || {
            acknowledged
                .iter()
                .filter(|((room, ..), _)| rooms.contains(room))
        };
        let lost: Vec<String> = kept()
            .filter(|(place, content)| stored.get(place) != Some(content))
            .map(|(place, content)| {
                format!("{content:?} was acknowledged as {place:?} and is gone")
            })
            .collect();
        let checked = Checked {
            acknowledged: kept().count(),
            stored: stored.len(),
        };
        drop(acknowledged);
        for what in lost {
            self.fault(what);
        }
        checked
    }
}
