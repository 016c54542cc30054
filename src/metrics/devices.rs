//! Sessions by device, for as many devices as have series of their own.

use std::collections::HashMap;

use super::histogram::{Histogram, Lifetime};
use super::merge::{Merge, cells};

/// The `device_id` of all devices that have no series of their own. Ids may begin with `_`, so a
/// device can take this name; it is then counted with the others.
const OTHER_DEVICES: &str = "_other";

cells! {
    /// What is counted of a device's sessions.
    pub(super) struct DeviceCell {
        pub(super) created: u64,
        pub(super) lifetimes: Histogram<Lifetime>,
    }
}

/// The cells of all devices of a shard.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceCells {
    cap: usize,
    named: HashMap<Box<str>, DeviceCell>,
    others: DeviceCell,
}

impl DeviceCells {
    /// Room for the series of `cap` devices.
    pub(super) fn new(cap: usize) -> Self {
        DeviceCells {
            cap,
            ..DeviceCells::default()
        }
    }

    /// Room for the series of `cap` devices from now on; those past it join the others.
    pub(super) fn set_cap(&mut self, cap: usize) {
        self.cap = cap;
        while self.named.len() > cap {
            let Some(device_id) = self.named.keys().next().cloned() else {
                return;
            };
            if let Some(cell) = self.named.remove(&device_id) {
                self.others.merge(&cell);
            }
        }
    }

    /// The cell of a device: its own, or that of all others once the cap is reached.
    pub(super) fn of(&mut self, device_id: &str) -> &mut DeviceCell {
        let full = self.named.len() >= self.cap && !self.named.contains_key(device_id);
        if full || device_id == OTHER_DEVICES {
            return &mut self.others;
        }
        self.named.entry(device_id.into()).or_default()
    }

    /// The cell of a device that may have gone: nothing brings its series back but a new session.
    pub(super) fn of_former(&mut self, device_id: &str) -> &mut DeviceCell {
        self.named.get_mut(device_id).unwrap_or(&mut self.others)
    }

    pub(super) fn forget(&mut self, device_id: &str) {
        self.named.remove(device_id);
    }

    /// Takes the named ones out, and leaves the rest to be copied at little cost.
    pub(super) fn take_named(&mut self) -> HashMap<Box<str>, DeviceCell> {
        std::mem::take(&mut self.named)
    }

    /// Puts back what was taken out.
    pub(super) fn put_named(&mut self, named: HashMap<Box<str>, DeviceCell>) {
        self.named = named;
    }

    /// Room for so many named ones.
    pub(super) fn reserve(&mut self, count: usize) {
        self.named.reserve(count);
    }

    /// Copies the cell of a device that has one.
    pub(super) fn copy(&mut self, from: &Self, device_id: &str) {
        if let Some((id, cell)) = from.named.get_key_value(device_id) {
            self.named.insert(id.clone(), cell.clone());
        }
    }

    /// `(device_id, cell)`, sorted; those without a series of their own last, if there are any.
    pub(super) fn series(&self) -> Vec<(&str, &DeviceCell)> {
        let mut series: Vec<_> = self.named.iter().map(|(id, cell)| (&**id, cell)).collect();
        series.sort_unstable_by_key(|(device_id, _)| *device_id);
        let others = &self.others;
        if others.created > 0 || others.lifetimes.count() > 0 {
            series.push((OTHER_DEVICES, others));
        }
        series
    }
}

impl Merge for DeviceCells {
    /// A device is on one shard alone, so only the others are really added.
    fn merge(&mut self, other: &Self) {
        for (device_id, cell) in &other.named {
            self.named.entry(device_id.clone()).or_default().merge(cell);
        }
        self.others.merge(&other.others);
    }
}
