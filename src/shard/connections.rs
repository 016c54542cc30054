//! The table of connections.

use crate::connection::{Connection, ConnectionId};

/// Connections by slot. One that is being handled is taken out, so that its handler may use the
/// whole shard; its slot waits for it.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    connection: Option<Box<Connection>>,
}

impl Connections {
    /// A slot for a new connection, which [`Connections::put`] fills.
    pub(crate) fn reserve(&mut self) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                connection: None,
            });
            // The cap on connections is far below 2³².
            self.slots.len() as u32 - 1
        });
        ConnectionId {
            slot,
            generation: self.slots[slot as usize].generation,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The id of what is in the slot.
    pub(crate) fn id(&self, slot: u32) -> Option<ConnectionId> {
        Some(self.slots.get(slot as usize)?.connection.as_ref()?.id)
    }

    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.slot(id)?.connection.as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.slots
            .get_mut(id.slot as usize)
            .filter(|slot| slot.generation == id.generation)?
            .connection
            .as_deref_mut()
    }

    /// Whether its slot is held for it although it is out.
    pub(crate) fn is_out(&self, id: ConnectionId) -> bool {
        self.slot(id).is_some_and(|slot| slot.connection.is_none())
    }

    /// Takes it out to be handled; [`Connections::put`] or [`Connections::remove`] follows.
    pub(crate) fn take(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        self.slot(id)?;
        self.slots[id.slot as usize].connection.take()
    }

    pub(crate) fn put(&mut self, connection: Box<Connection>) {
        let id = connection.id;
        debug_assert!(self.slot(id).is_some_and(|slot| slot.connection.is_none()));
        self.slots[id.slot as usize].connection = Some(connection);
    }

    /// Frees the slot; the id names nothing any more.
    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        self.slot(id)?;
        let slot = &mut self.slots[id.slot as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        slot.connection.take()
    }

    /// All that are not being handled.
    #[cfg(feature = "fault-injection")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Connection> {
        self.slots
            .iter()
            .filter_map(|slot| slot.connection.as_deref())
    }

    /// Those in so many slots from this one on. `None`: there are no such slots.
    pub(crate) fn in_slots(&self, from: u32, count: usize) -> Option<Vec<&Connection>> {
        let rest = self
            .slots
            .get(from as usize..)
            .filter(|it| !it.is_empty())?;
        let slots = rest.iter().take(count);
        Some(
            slots
                .filter_map(|slot| slot.connection.as_deref())
                .collect(),
        )
    }

    fn slot(&self, id: ConnectionId) -> Option<&Slot> {
        self.slots
            .get(id.slot as usize)
            .filter(|slot| slot.generation == id.generation)
    }
}
