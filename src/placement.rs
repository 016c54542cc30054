//! Which shard owns what: FNV-1a (32 bit) of the id, modulo the number of shards.

use std::fmt;
use std::io::Write;
use std::num::NonZeroUsize;

use serde::Serialize;

use crate::ids::{RoomId, SessionId};
use crate::limits;
use crate::rates::BucketKey;

/// FNV-1a, 32 bit (draft-eastlake-fnv).
pub fn fnv1a_32(bytes: &[u8]) -> u32 {
    const OFFSET_BASIS: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    bytes.iter().fold(OFFSET_BASIS, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(PRIME)
    })
}

/// A shard of this process: 0 up to the number of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ShardId(u16);

impl ShardId {
    /// The shard with this number. Whether it exists is for [`Shards::all`] to say.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number as an index into a list of shards.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The shards of this process, fixed for its life: the placement of every id depends on the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shards(NonZeroUsize);

impl Shards {
    /// So many shards; `None` where [`limits::SHARDS`] are fewer.
    pub fn new(count: NonZeroUsize) -> Option<Self> {
        (count.get() <= limits::SHARDS).then_some(Self(count))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.get()
    }

    /// Every shard, in order.
    pub fn all(&self) -> impl ExactSizeIterator<Item = ShardId> + use<> {
        (0..self.count() as u16).map(ShardId)
    }

    /// The owner of the device, or of whatever else is placed by this text.
    pub fn shard_of(&self, id: impl AsRef<str>) -> ShardId {
        self.owner(id.as_ref().as_bytes())
    }

    /// The owner of the session.
    pub fn shard_of_session(&self, id: SessionId) -> ShardId {
        self.owner(id.encode(&mut [0; limits::SESSION_ID_CHARS]).as_bytes())
    }

    /// An id for a session that lives on `shard`, where its device is: UUIDs are drawn until one
    /// hashes to it, one draw per shard on average. So the session's id alone routes to it.
    ///
    /// # Panics
    /// If `shard` is not one of these, or `random` repeats itself.
    pub fn session_id_for(
        &self,
        shard: ShardId,
        random: &mut impl FnMut() -> [u8; 16],
    ) -> SessionId {
        assert!(
            shard.index() < self.count(),
            "shard {shard} of {}",
            self.count()
        );
        (0..self.count() * limits::ID_DRAWS_PER_SHARD)
            .map(|_| SessionId::from_random(random()))
            .find(|&id| self.shard_of_session(id) == shard)
            .expect("random bytes hash to every shard")
    }

    /// The owner of the room.
    pub fn shard_of_room(&self, id: RoomId) -> ShardId {
        // The longest has 16 digits.
        let mut text = [0; 20];
        let mut rest = &mut text[..];
        let _ = write!(rest, "{id}");
        let unused = rest.len();
        self.owner(&text[..text.len() - unused])
    }

    /// An id for a room that lives on `shard` and is none of those that are `taken`.
    ///
    /// # Panics
    /// As [`Shards::session_id_for`].
    pub fn room_id_for(
        &self,
        shard: ShardId,
        random: &mut impl FnMut() -> [u8; 16],
        taken: impl Fn(RoomId) -> bool,
    ) -> RoomId {
        (0..self.count() * limits::ID_DRAWS_PER_SHARD)
            .map(|_| RoomId::from_random(random()))
            .find(|&id| self.shard_of_room(id) == shard && !taken(id))
            .expect("random bytes hash to every shard")
    }

    /// The owner of a token bucket.
    pub fn owner_of_bucket(&self, key: BucketKey) -> ShardId {
        // The remainder is below `limits::SHARDS`, which fits.
        ShardId((key.0 % self.count() as u64) as u16)
    }

    fn owner(&self, id: &[u8]) -> ShardId {
        if self.count() == 1 {
            return ShardId(0);
        }
        // The remainder is below `limits::SHARDS`, which fits.
        ShardId((fnv1a_32(id) as usize % self.count()) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(count: usize) -> Shards {
        Shards::new(NonZeroUsize::new(count).unwrap()).unwrap()
    }

    /// Random bytes with a seed: splitmix64, which passes for random and needs no crate.
    fn seeded(mut state: u64) -> impl FnMut() -> [u8; 16] {
        let mut next = move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        move || {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&next().to_le_bytes());
            bytes[8..].copy_from_slice(&next().to_le_bytes());
            bytes
        }
    }

    /// The vectors of draft-eastlake-fnv, appendix C (strings without their terminating NUL).
    #[test]
    fn fnv1a_gives_the_values_of_its_specification() {
        let vectors: [(&str, u32); 9] = [
            ("", 0x811c_9dc5),
            ("a", 0xe40c_292c),
            ("b", 0xe70c_2de5),
            ("c", 0xe60c_2c52),
            ("foo", 0xa9f3_7ed7),
            ("foob", 0x3f50_76ef),
            ("fooba", 0x39aa_a18a),
            ("foobar", 0xbf9c_f968),
            ("chongo was here!\n", 0xd499_30d5),
        ];
        for (text, hash) in vectors {
            assert_eq!(fnv1a_32(text.as_bytes()), hash, "{text:?}");
        }
    }

    #[test]
    fn a_session_lives_on_its_devices_shard() {
        let mut random = seeded(1);
        for count in [1, 2, 3, 8, 64, limits::SHARDS] {
            let shards = shards(count);
            for shard in shards.all() {
                let id = shards.session_id_for(shard, &mut random);
                assert_eq!(shards.shard_of_session(id), shard);
                assert_eq!(shards.shard_of(id.to_string()), shard);
            }
        }
    }

    #[test]
    fn sessions_of_many_devices_spread_evenly() {
        let namings: [fn(u32) -> String; 4] = [
            |n| format!("device-{n}"),
            |n| format!("cam-{n:05}"),
            |n| format!("emulator-{}", 5554 + 2 * n),
            |n| {
                format!(
                    "10.{}.{}.{}:5555",
                    n / 250 / 250,
                    n / 250 % 250,
                    n % 250 + 1
                )
            },
        ];
        for name in namings {
            for count in [2, 3, 4, 8] {
                let shards = shards(count);
                let mut random = seeded(2);
                let mut sessions = vec![0; count];
                for n in 0..10_000 {
                    let id = shards.session_id_for(shards.shard_of(name(n)), &mut random);
                    sessions[shards.shard_of_session(id).index()] += 1;
                }
                let even = 10_000.0 / count as f64;
                let off = sessions.iter().map(|&s| (f64::from(s) / even - 1.0).abs());
                let worst = off.fold(0.0, f64::max);
                assert!(worst < 0.05, "{}: {sessions:?}", name(0));
            }
        }
    }
}
