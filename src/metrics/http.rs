//! Requests by method, route and status; durations by method and route.

use std::time::Duration;

use super::histogram::{Histogram, Latency};
use super::merge::Merge;
use crate::http::routes::Route;

/// Methods counted by name; any other is counted as [`OTHER`].
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

/// The statuses that the server answers with, ascending; any other is counted as [`OTHER`].
const STATUSES: [u16; 26] = [
    101, 200, 201, 204, 206, 304, 400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 415, 417, 421,
    426, 429, 431, 500, 501, 503, 505,
];
const _: () = {
    let mut index = 1;
    while index < STATUSES.len() {
        assert!(
            STATUSES[index - 1] < STATUSES[index],
            "a binary search wants them ascending"
        );
        index += 1;
    }
};

/// The label of whatever has none of its own. The last row and column of the tables.
const OTHER: &str = "other";

const METHOD_ROWS: usize = METHODS.len() + 1;
const STATUS_COLUMNS: usize = STATUSES.len() + 1;

/// Dense tables, so that counting a request is a few comparisons and an index (about 65 kB a
/// shard).
#[derive(Clone, Debug)]
pub(super) struct HttpCells {
    requests: Box<[u64]>,
    durations: Box<[Histogram<Latency>]>,
}

impl Default for HttpCells {
    fn default() -> Self {
        let series = METHOD_ROWS * Route::COUNT;
        HttpCells {
            requests: vec![0; series * STATUS_COLUMNS].into(),
            durations: vec![Histogram::default(); series].into(),
        }
    }
}

impl HttpCells {
    pub(super) fn count(&mut self, method: &str, route: Route, status: u16, took: Duration) {
        let method = METHODS
            .iter()
            .position(|&known| known == method)
            .unwrap_or(METHODS.len());
        let column = STATUSES.binary_search(&status).unwrap_or(STATUSES.len());
        let row = method * Route::COUNT + route.index();
        self.requests[row * STATUS_COLUMNS + column] += 1;
        self.durations[row].observe(took);
    }

    /// Method, path and status of everything that was answered at least once, and how often.
    pub(super) fn requests(&self) -> impl Iterator<Item = ([String; 3], u64)> + '_ {
        let answered = self
            .requests
            .iter()
            .enumerate()
            .filter(|&(_, &count)| count > 0);
        answered.map(|(cell, &count)| {
            let [method, path] = row_labels(cell / STATUS_COLUMNS);
            let status = STATUSES.get(cell % STATUS_COLUMNS);
            let status = status.map_or_else(|| OTHER.to_owned(), u16::to_string);
            ([method.to_owned(), path.to_owned(), status], count)
        })
    }

    /// Method and path of everything that was answered at least once, and how long it took.
    pub(super) fn durations(
        &self,
    ) -> impl Iterator<Item = ([&'static str; 2], &Histogram<Latency>)> {
        let rows = self.durations.iter().enumerate();
        rows.filter(|(_, durations)| durations.count() > 0)
            .map(|(row, durations)| (row_labels(row), durations))
    }
}

impl Merge for HttpCells {
    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.requests.iter_mut().zip(&other.requests) {
            *mine += theirs;
        }
        for (mine, theirs) in self.durations.iter_mut().zip(&other.durations) {
            mine.merge(theirs);
        }
    }
}

/// Method and path of a row.
fn row_labels(row: usize) -> [&'static str; 2] {
    let method = METHODS.get(row / Route::COUNT).copied().unwrap_or(OTHER);
    [method, Route::ALL[row % Route::COUNT].template()]
}
