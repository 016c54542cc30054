//! A member says something.

use super::log::Full;
use super::members::MemberKey;
use super::message::{Inbound, Kind, outbound};
use super::{RoomError, Rooms, Time};
use crate::faults::Place;

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Published<'a> {
    /// It is the room's next one.
    New {
        /// Its number.
        seq: u64,
        /// The room's epoch.
        epoch: u32,
        /// The JSON object that all members get.
        text: &'a str,
    },
    /// Its sender had sent it before: this one.
    Repeated {
        /// Its number.
        seq: u64,
        /// The room's epoch.
        epoch: u32,
        /// What all members got, as long as the room holds it: it may not be stored.
        text: Option<&'a str>,
    },
}

impl Rooms {
    /// Appends a member's message to its room's log: encoded once, for all members, the sender too.
    /// A message with an `id` that its sender has used for one of the room's last 1,024 with an id
    /// is that one, sent again. `privileged`: the sender may send [`Kind::System`].
    ///
    /// # Errors
    /// [`RoomError::Ended`], [`RoomError::Draining`], [`RoomError::Forbidden`],
    /// [`RoomError::IdReused`], [`RoomError::RateLimited`] for the user, whatever the number of its
    /// sockets, [`RoomError::RoomBusy`] for all members together.
    pub fn publish(
        &mut self,
        time: Time,
        key: MemberKey,
        message: &Inbound<'_>,
        privileged: bool,
        trace: [u8; 16],
    ) -> Result<Published<'_>, RoomError> {
        let at = self.clock.see(time.now);
        if self.draining {
            return Err(RoomError::Draining);
        }
        let room = self.rooms.get_mut(key.room()).ok_or(RoomError::Unknown)?;
        room.is_open()?;
        let epoch = room.record.epoch;
        let live = room.live.as_deref_mut().ok_or(RoomError::NotLive)?;
        let member = live.members.get(key.member());
        let speaker = member.and_then(|member| live.people.speaker(member.person()));
        let (user, bucket) = speaker.ok_or(RoomError::Unknown)?;
        if message.kind == Kind::System && !privileged {
            return Err(RoomError::Forbidden);
        }
        if !bucket.has(at, self.member_rate) {
            return Err(RoomError::RateLimited);
        }
        let earlier = message
            .id
            .and_then(|id| live.repeats.find(user, id, message));
        if let Some(earlier) = earlier {
            bucket.take();
            let seq = earlier?;
            self.counters.repeated += 1;
            let held = live.log.message(seq);
            self.text.clear();
            self.text.push_str(held.unwrap_or_default());
            return Ok(Published::Repeated {
                seq,
                epoch,
                text: held.is_some().then_some(&self.text),
            });
        }
        let seq = live.log.last_seq() + 1;
        self.text = outbound(&room.record, user, message, time.unix_ms, trace, seq);
        let admitted = live.intake.has(at, self.room_rate);
        if !admitted || live.log.push_message(at, &self.text) == Err(Full) {
            return Err(RoomError::RoomBusy);
        }
        self.faults.pass(Place::RoomMessage);
        bucket.take();
        live.intake.take();
        if let Some(id) = message.id {
            live.repeats.insert(user, id, message, seq);
        }
        live.moved = true;
        live.heat
            .add(time.unix_ms, self.config.heat_half_life, message.points);
        *self.counters.of(message.kind) += 1;
        self.sweeps.said(time.now, key.room(), live);
        Ok(Published::New {
            seq,
            epoch,
            text: &self.text,
        })
    }
}
