//! Adding up what several shards have counted.

use std::time::Duration;

/// Something of which every shard has its own and the process has the sum.
pub(super) trait Merge {
    /// Adds what another shard has.
    fn merge(&mut self, other: &Self);
}

impl Merge for u64 {
    fn merge(&mut self, other: &Self) {
        *self += other;
    }
}

impl Merge for Duration {
    fn merge(&mut self, other: &Self) {
        *self += *other;
    }
}

/// Defines a struct of cells, all zero by default, that is merged field by field: no new cell can
/// be forgotten.
macro_rules! cells {
    (
        $(#[$doc:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_doc:meta])* $field_vis:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        $vis struct $name {
            $($(#[$field_doc])* $field_vis $field: $type,)*
        }

        impl $crate::metrics::merge::Merge for $name {
            fn merge(&mut self, other: &Self) {
                $(self.$field.merge(&other.$field);)*
            }
        }
    };
}
pub(super) use cells;

/// Counts by a name that is written in the source. There are few of them, so a list is searched
/// without a hash.
#[derive(Clone, Debug, Default)]
pub(super) struct ByName {
    counts: Vec<(&'static str, u64)>,
}

impl ByName {
    pub(super) fn add(&mut self, name: &'static str, count: u64) {
        match self.counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, counted)) => *counted += count,
            None => self.counts.push((name, count)),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.counts.iter().copied()
    }
}

impl Merge for ByName {
    fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(name, count)| self.add(name, count));
    }
}
