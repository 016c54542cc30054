//! Keys of sessions and sources: a slot, and the generation that makes a stale key harmless.

use std::marker::PhantomData;

use slab::Slab;

/// Names a session of one [`Plane`](crate::Plane). Never reused for another session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey {
    slot: u32,
    generation: u32,
}

/// Names a source of one [`Plane`](crate::Plane). Never reused for another source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    slot: u32,
    generation: u32,
}

/// A key that an [`Arena`] hands out.
pub(crate) trait Key: Copy {
    fn new(slot: u32, generation: u32) -> Self;
    fn slot(self) -> usize;
    fn generation(self) -> u32;
}

macro_rules! key {
    ($name:ident) => {
        impl Key for $name {
            fn new(slot: u32, generation: u32) -> Self {
                Self { slot, generation }
            }
            fn slot(self) -> usize {
                self.slot as usize
            }
            fn generation(self) -> u32 {
                self.generation
            }
        }

        impl $name {
            /// Dense index, for tables beside the plane. Reused after the key's end.
            pub fn index(self) -> usize {
                self.slot()
            }
        }
    };
}

key!(SessionKey);
key!(SourceKey);

/// A slab whose keys die with their value.
pub(crate) struct Arena<K, T> {
    slots: Slab<(u32, T)>,
    /// Of the next value; one count for all slots, so that no pair repeats before 2³² insertions.
    generation: u32,
    keys: PhantomData<K>,
}

impl<K: Key, T> Arena<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Slab::new(),
            generation: 0,
            keys: PhantomData,
        }
    }

    /// The key that the next [`insert`](Self::insert) returns.
    pub(crate) fn next_key(&self) -> K {
        K::new(self.slots.vacant_key() as u32, self.generation)
    }

    pub(crate) fn insert(&mut self, value: T) -> K {
        let key = self.next_key();
        self.slots.insert((self.generation, value));
        self.generation = self.generation.wrapping_add(1);
        key
    }

    pub(crate) fn get(&self, key: K) -> Option<&T> {
        let (generation, value) = self.slots.get(key.slot())?;
        (*generation == key.generation()).then_some(value)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let (generation, value) = self.slots.get_mut(key.slot())?;
        (*generation == key.generation()).then_some(value)
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        self.get(key)?;
        Some(self.slots.remove(key.slot()).1)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> + '_ {
        self.slots
            .iter()
            .map(|(slot, (generation, _))| K::new(slot as u32, *generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_reaches_nothing() {
        let mut arena: Arena<SessionKey, &str> = Arena::new();
        let first = arena.insert("first");
        assert_eq!(arena.remove(first), Some("first"));
        let second = arena.insert("second");
        assert_eq!(second.index(), first.index(), "the slot is reused");
        assert_eq!(arena.get(first), None);
        assert_eq!(arena.remove(first), None);
        assert_eq!(arena.get(second), Some(&"second"));
        assert_eq!(arena.keys().collect::<Vec<_>>(), [second]);
    }
}
