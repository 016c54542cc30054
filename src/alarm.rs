//! A deadline that moves often, over a timer wheel that cannot cancel.

use std::time::Instant;

/// One owner's deadline. Moving it later costs nothing: the entry in the wheel fires early, and
/// [`Alarm::fired`] says when to come back. Moving it earlier than what is in the wheel asks for
/// one more entry.
#[derive(Debug, Default, Clone, Copy)]
pub struct Alarm {
    deadline: Option<Instant>,
    armed: Option<Instant>,
}

/// What an entry of the wheel means to its alarm.
#[derive(Debug, PartialEq, Eq)]
pub enum Fired {
    /// The deadline has passed; the alarm is off now.
    Due,
    /// Not yet: put another entry into the wheel.
    Again(Instant),
    /// Nothing to do: the alarm is off, or another entry of it is in the wheel.
    Nothing,
}

impl Alarm {
    /// Sets the deadline. `Some`: put an entry into the wheel for then.
    #[must_use]
    pub fn set(&mut self, at: Instant) -> Option<Instant> {
        self.deadline = Some(at);
        if self.armed.is_some_and(|armed| armed <= at) {
            return None;
        }
        self.armed = Some(at);
        Some(at)
    }

    /// What is set.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// An entry of the wheel came back.
    pub fn fired(&mut self, now: Instant) -> Fired {
        if self.armed.is_none_or(|armed| armed > now) {
            return Fired::Nothing;
        }
        self.armed = None;
        match self.deadline {
            None => Fired::Nothing,
            Some(at) if at <= now => {
                self.deadline = None;
                Fired::Due
            }
            Some(at) => {
                self.armed = Some(at);
                Fired::Again(at)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moving_later_needs_no_entry_and_moving_earlier_needs_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut alarm = Alarm::default();
        assert_eq!(alarm.set(at(10)), Some(at(10)));
        assert_eq!(alarm.set(at(20)), None);
        assert_eq!(alarm.fired(at(10)), Fired::Again(at(20)));
        assert_eq!(alarm.set(at(15)), Some(at(15)));
        assert_eq!(alarm.fired(at(15)), Fired::Due);
        assert_eq!(
            alarm.fired(at(20)),
            Fired::Nothing,
            "the entry of the moved deadline is stale"
        );
    }
}
