//! A table whose places keep their numbers, grow without a long pause and are given back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Places of a block. A block moves while it fills and never again: the millionth member moves a
/// thousand others at most, and the first ten take no more than they need.
const BLOCK: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 10;

/// Values by small numbers. The lowest free number is given out first: what is left stays dense, and
/// the blocks at the end are given back.
#[derive(Debug)]
pub(super) struct Slots<T> {
    /// All full but the last.
    blocks: Vec<Vec<Option<T>>>,
    /// Numbers that were free when they were put here.
    free: BinaryHeap<Reverse<u32>>,
    len: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            free: BinaryHeap::new(),
            len: 0,
        }
    }
}

impl<T> Slots<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One more than the highest number in use.
    pub(super) fn end(&self) -> u32 {
        let full = self.blocks.len().saturating_sub(1) << BLOCK_BITS;
        (full + self.blocks.last().map_or(0, Vec::len)) as u32
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.blocks
            .get(slot as usize >> BLOCK_BITS)?
            .get(slot as usize % BLOCK)?
            .as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.place(slot)?.as_mut()
    }

    /// # Panics
    /// At 2³² values, for which no memory suffices.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        while let Some(Reverse(slot)) = self.free.pop() {
            // It may have been given back since, or given out again.
            if let Some(place @ None) = self.place(slot) {
                *place = Some(value);
                return slot;
            }
        }
        let slot = self.end();
        assert_ne!(slot, u32::MAX, "fewer than 2^32 places");
        match self.blocks.last_mut().filter(|block| block.len() < BLOCK) {
            Some(block) => block.push(Some(value)),
            None => self.blocks.push(vec![Some(value)]),
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.place(slot)?.take()?;
        self.len -= 1;
        self.free.push(Reverse(slot));
        if slot + 1 == self.end() {
            self.give_back();
        }
        Some(value)
    }

    fn place(&mut self, slot: u32) -> Option<&mut Option<T>> {
        self.blocks
            .get_mut(slot as usize >> BLOCK_BITS)?
            .get_mut(slot as usize % BLOCK)
    }

    /// Takes the free places at the end away.
    fn give_back(&mut self) {
        if self.len == 0 {
            *self = Self::default();
        }
        while let Some(block) = self.blocks.last_mut() {
            while let Some(None) = block.last() {
                block.pop();
            }
            if !block.is_empty() {
                return;
            }
            self.blocks.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_and_the_lowest_free_one_is_next() {
        let mut slots = Slots::default();
        let all: Vec<u32> = (0..3000).map(|n| slots.insert(n)).collect();
        assert!(all.iter().copied().eq(0..3000));
        for slot in [7, 2500, 3] {
            assert_eq!(slots.remove(slot), Some(slot as i32));
            assert_eq!(slots.remove(slot), None);
        }
        assert_eq!(slots.get(8), Some(&8));
        assert_eq!(slots.insert(-1), 3);
        assert_eq!(slots.insert(-2), 7);
        assert_eq!(slots.insert(-3), 2500);
        assert_eq!(slots.insert(-4), 3000);
        assert_eq!((slots.len, slots.end()), (3001, 3001));
    }

    #[test]
    fn the_end_is_given_back() {
        let mut slots = Slots::default();
        for n in 0..3000 {
            slots.insert(n);
        }
        for slot in (10..3000).rev() {
            slots.remove(slot);
        }
        assert_eq!((slots.len, slots.end()), (10, 10));
        assert_eq!(slots.blocks.len(), 1);
        assert_eq!(slots.insert(5), 10, "stale free numbers are passed over");
        for slot in 0..11 {
            slots.remove(slot);
        }
        assert_eq!((slots.end(), slots.free.len()), (0, 0));
        assert_eq!(slots.insert(1), 0);
        assert_eq!(slots.get(0), Some(&1));
    }
}
