//! What a room has said: finished WebSocket frames end to end, and where each of them ends.

use std::collections::VecDeque;

/// Bytes of recent messages that are kept for members that come back, besides `rooms.recent`. A
/// thousand messages of 170 bytes take a sixth of it.
pub(super) const RECENT_BYTES: u64 = 1 << 20;
/// Bytes of recent messages that all rooms of a shard keep together; their buffers may be twice as
/// large. So many rooms have all they may keep: with more of them, each has its share.
pub(super) const RECENT_TOTAL_BYTES: u64 = 256 * RECENT_BYTES;
/// Bytes of a log at most, whoever still needs them; past it messages are refused.
pub(super) const LOG_BYTES: u64 = 16 << 20;
const _: () = assert!(RECENT_BYTES < LOG_BYTES);
/// Frames per recent message that are kept: presence frames between messages must not pile up.
const FRAMES_PER_MESSAGE: usize = 2;

/// Text and close frames that end a message, unmasked (RFC 6455 §5.2).
const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
/// The payload's length follows in two bytes, or in eight.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What is kept for members that come back: the newest of both at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recent {
    pub(super) messages: usize,
    pub(super) bytes: u64,
}

/// The log is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// A log. Positions count its bytes from the room's first one; they never go back.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The bytes held, behind `gone` that are not any more.
    bytes: Vec<u8>,
    gone: usize,
    end: u64,
    frames: VecDeque<Frame>,
    last_seq: u64,
    closed: bool,
}

/// A frame of the log.
#[derive(Debug, Clone, Copy)]
struct Frame {
    end: u64,
    /// The last message's up to here.
    seq: u64,
    /// When it was appended, by the rooms' clock.
    at: u32,
    /// Whether it is a message, with a `seq` of its own.
    message: bool,
}

impl Log {
    /// The log of a room whose last message had this `seq`.
    pub(super) fn new(last_seq: u64) -> Self {
        Self {
            last_seq,
            ..Self::default()
        }
    }

    /// Where the first byte stands that is held.
    pub(super) fn start(&self) -> u64 {
        self.end - self.held()
    }

    /// How many bytes are held.
    pub(super) fn held(&self) -> u64 {
        (self.bytes.len() - self.gone) as u64
    }

    /// Where the next byte will stand.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The last message's; 0: there was none.
    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The first message's that is held, or else the next one's.
    pub(super) fn first_seq(&self) -> u64 {
        match self.frames.front() {
            Some(frame) if frame.message => frame.seq,
            Some(frame) => frame.seq + 1,
            None => self.last_seq + 1,
        }
    }

    /// Whether it ends with a close frame.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Everything from this position on; nothing where that is not held any more.
    pub(super) fn from(&self, position: u64) -> &[u8] {
        match position.checked_sub(self.start()) {
            Some(skip) => self
                .bytes
                .get(self.gone + skip as usize..)
                .unwrap_or_default(),
            None => &[],
        }
    }

    /// Appends the next message, whose text says that its `seq` is [`Log::last_seq`] + 1.
    pub(super) fn push_message(&mut self, at: u32, text: &str) -> Result<(), Full> {
        self.push_text(at, text, true)
    }

    /// Appends a text that is no message.
    pub(super) fn push_notice(&mut self, at: u32, text: &str) -> Result<(), Full> {
        self.push_text(at, text, false)
    }

    /// Appends a text and a close frame (RFC 6455 §5.5.1), also to a full log: nothing comes after.
    pub(super) fn close(&mut self, at: u32, text: &str, code: u16, reason: &str) {
        self.frame(at, TEXT, text.as_bytes(), false);
        let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
        self.frame(at, CLOSE, &payload, false);
        self.closed = true;
    }

    fn push_text(&mut self, at: u32, text: &str, message: bool) -> Result<(), Full> {
        if self.held() + text.len() as u64 > LOG_BYTES {
            return Err(Full);
        }
        self.frame(at, TEXT, text.as_bytes(), message);
        Ok(())
    }

    fn frame(&mut self, at: u32, first: u8, payload: &[u8], message: bool) {
        let before = self.bytes.len();
        self.bytes.push(first);
        match payload.len() {
            n @ 0..126 => self.bytes.push(n as u8),
            n @ 126..=0xffff => {
                self.bytes.push(LENGTH_16);
                self.bytes.extend((n as u16).to_be_bytes());
            }
            n => {
                self.bytes.push(LENGTH_64);
                self.bytes.extend((n as u64).to_be_bytes());
            }
        }
        self.bytes.extend_from_slice(payload);
        self.end += (self.bytes.len() - before) as u64;
        self.last_seq += u64::from(message);
        self.frames.push_back(Frame {
            end: self.end,
            seq: self.last_seq,
            at,
            message,
        });
    }

    /// Where the message after `seq` begins, or the log ends. Nothing where it is not held any more,
    /// or `seq` is yet to come.
    pub(super) fn after(&self, seq: u64) -> Option<u64> {
        if seq > self.last_seq || seq + 1 < self.first_seq() {
            return None;
        }
        let index = self.frames.partition_point(|frame| frame.seq <= seq);
        Some(match index == self.frames.len() {
            true => self.end,
            false => self.start_of(index),
        })
    }

    /// The text of the message with this number, if it is held.
    pub(super) fn message(&self, seq: u64) -> Option<&str> {
        let start = self.after(seq.checked_sub(1)?)?;
        let frame = self.rest_of_frame(start + 1)?;
        let header = match *frame.first()? {
            LENGTH_16 => 3,
            LENGTH_64 => 9,
            _ => 1,
        };
        std::str::from_utf8(&frame[header..]).ok()
    }

    /// Frames that end after the position: what somebody who stands there is behind.
    pub(super) fn behind(&self, position: u64) -> usize {
        // Whoever asks stands near the end: the search begins there, in steps that double.
        let (mut low, mut step) = (self.frames.len(), 1);
        let mut high = low;
        while low > 0 && self.frames[low - 1].end > position {
            high = low - 1;
            low = low.saturating_sub(step);
            step *= 2;
        }
        while low < high {
            let middle = low.midpoint(high);
            match self.frames[middle].end > position {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        self.frames.len() - high
    }

    /// Whether the position stands between two frames.
    pub(super) fn is_boundary(&self, position: u64) -> bool {
        position == self.end || {
            let index = self.frames.len() - self.behind(position);
            self.start_of(index) == position
        }
    }

    /// The bytes from the position to the end of the frame that it stands in, none between two
    /// frames. `None`: they are not held any more.
    pub(super) fn rest_of_frame(&self, position: u64) -> Option<&[u8]> {
        if position < self.start() {
            return None;
        }
        let index = self.frames.len() - self.behind(position);
        let length = match self.frames.get(index) {
            Some(frame) if self.start_of(index) < position => frame.end - position,
            Some(_) | None => 0,
        };
        self.from(position).get(..length as usize)
    }

    /// When the frame was appended that is `count` frames past the one that the position stands in:
    /// since then somebody there is more than `count` frames behind.
    pub(super) fn appended_past(&self, position: u64, count: usize) -> Option<u32> {
        let index = self.frames.len() - self.behind(position) + count;
        Some(self.frames.get(index)?.at)
    }

    /// Lets go of what stands before `floor`, but for what is recent. Whether anything went.
    pub(super) fn trim(&mut self, floor: u64, recent: Recent) -> bool {
        let before = self.gone;
        while let Some(frame) = self.frames.front() {
            if frame.end > floor || self.keeps(frame, recent) {
                break;
            }
            self.gone += (frame.end - self.start()) as usize;
            self.frames.pop_front();
        }
        let went = self.gone > before;
        if went {
            self.compact();
        }
        went
    }

    /// Whether the first frame is kept for members that come back. Presence before the first message
    /// tells them nothing.
    fn keeps(&self, first: &Frame, recent: Recent) -> bool {
        first.message
            && first.seq + recent.messages as u64 > self.last_seq
            && self.frames.len() <= recent.messages.saturating_mul(FRAMES_PER_MESSAGE)
            && self.held() <= recent.bytes
    }

    /// Moves what is held to the front, once it is no more than what is not: each byte is moved once
    /// for each that was appended. What a burst took is given back.
    fn compact(&mut self) {
        if self.gone * 2 < self.bytes.len() {
            return;
        }
        self.bytes.drain(..self.gone);
        self.gone = 0;
        if self.bytes.capacity() > 4 * self.bytes.len() {
            self.bytes.shrink_to(2 * self.bytes.len());
        }
        if self.frames.capacity() > 4 * self.frames.len() {
            self.frames.shrink_to(2 * self.frames.len());
        }
    }

    fn start_of(&self, index: usize) -> u64 {
        match index.checked_sub(1) {
            Some(previous) => self.frames[previous].end,
            None => self.start(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The texts of the frames in `bytes`, which are read as RFC 6455 §5.2 has them.
    fn texts(mut bytes: &[u8]) -> Vec<String> {
        let mut texts = Vec::new();
        while let [TEXT, length, rest @ ..] = bytes {
            let (length, rest) = match *length {
                LENGTH_16 => (u16::from_be_bytes([rest[0], rest[1]]).into(), &rest[2..]),
                LENGTH_64 => {
                    let length = u64::from_be_bytes(rest[..8].try_into().unwrap());
                    (length as usize, &rest[8..])
                }
                n => (usize::from(n), rest),
            };
            texts.push(String::from_utf8(rest[..length].to_vec()).unwrap());
            bytes = &rest[length..];
        }
        assert!(bytes.is_empty());
        texts
    }

    fn recent(messages: usize) -> Recent {
        let bytes = RECENT_BYTES;
        Recent { messages, bytes }
    }

    #[test]
    fn every_length_has_its_form() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let mut log = Log::new(0);
            let text = "x".repeat(length);
            log.push_message(0, &text).unwrap();
            assert_eq!(texts(log.from(0)), [text]);
            assert_eq!(log.end(), log.from(0).len() as u64);
        }
    }

    #[test]
    fn a_message_is_found_by_its_number_as_long_as_it_is_held() {
        let mut log = Log::new(4);
        let text = |seq: u64| format!("{seq} {}", "x".repeat(seq as usize * 20_000));
        for seq in 5..9 {
            log.push_notice(0, "presence").unwrap();
            log.push_message(0, &text(seq)).unwrap();
        }
        log.trim(log.end(), recent(3));
        let held = (0..12).filter(|&seq| log.message(seq).is_some());
        assert!(held.eq(6..9));
        for seq in 6..9 {
            assert_eq!(log.message(seq), Some(&*text(seq)));
        }
        log.close(0, "bye", 1000, "");
        assert_eq!(log.message(9), None, "the end is no message");
        let mut short = Log::new(0);
        short.push_message(0, "short").unwrap();
        assert_eq!(short.message(1), Some("short"));
    }

    #[test]
    fn a_log_closes_with_a_close_frame() {
        let mut log = Log::new(0);
        log.close(0, "bye", 1001, "going");
        assert!(log.is_closed());
        assert_eq!(log.from(0), b"\x81\x03bye\x88\x07\x03\xe9going");
    }

    #[test]
    fn a_full_log_refuses_and_an_emptied_one_gives_its_memory_back() {
        let mut log = Log::new(0);
        let text = "x".repeat(10_000);
        while log.push_message(0, &text).is_ok() {}
        assert!(log.end() > LOG_BYTES - 11_000 && log.end() <= LOG_BYTES);
        log.trim(log.end(), recent(50));
        assert_eq!(texts(log.from(log.start())).len(), 50);
        assert!(log.bytes.capacity() < 2_000_000, "{}", log.bytes.capacity());
        log.push_message(0, &text).unwrap();
        log.trim(log.end(), recent(0));
        assert_eq!(log.bytes.capacity() + log.frames.capacity(), 0);
    }

    #[test]
    fn presence_alone_is_not_kept() {
        let mut log = Log::new(0);
        for _ in 0..10 {
            log.push_notice(0, "presence").unwrap();
        }
        log.trim(log.end(), recent(100));
        assert_eq!(log.start(), log.end());
        log.push_message(0, "one").unwrap();
        for _ in 0..1000 {
            log.push_notice(0, "presence").unwrap();
            log.trim(log.end(), recent(100));
        }
        assert!(log.frames.len() <= 200, "{}", log.frames.len());
    }

    proptest! {
        /// Whatever is appended and let go of, the log gives what a list of texts would give.
        #[test]
        fn a_log_is_a_list_of_texts(
            steps in proptest::collection::vec((0..400usize, any::<bool>(), any::<bool>()), 1..60),
            count in 0..20usize,
        ) {
            let mut log = Log::new(7);
            // The frame's end, its text, the seq up to it.
            let mut all: Vec<(u64, String, u64)> = Vec::new();
            let mut seq = 7;
            for (i, (length, message, trim)) in steps.into_iter().enumerate() {
                let text = format!("{i} {}", "x".repeat(length));
                match message {
                    true => log.push_message(i as u32, &text).unwrap(),
                    false => log.push_notice(i as u32, &text).unwrap(),
                }
                seq += u64::from(message);
                all.push((log.end(), text, seq));
                if trim {
                    log.trim(all[all.len() / 2].0, recent(count));
                }
                let floor = log.start();
                prop_assert!(floor <= all[all.len() / 2].0, "the floor holds");
                prop_assert_eq!(log.last_seq(), seq);
                let ends = all.iter().map(|frame| frame.0).filter(|&end| end >= floor);
                for position in ends.flat_map(|end| [end - 1, end, end + 1]).chain([floor]) {
                    if !(floor..=log.end()).contains(&position) {
                        continue;
                    }
                    let behind = all.iter().filter(|frame| frame.0 > position).count();
                    prop_assert_eq!(log.behind(position), behind);
                    let boundary = position == floor || all.iter().any(|frame| frame.0 == position);
                    prop_assert_eq!(log.is_boundary(position), boundary);
                    let rest = log.rest_of_frame(position).map(|rest| position + rest.len() as u64);
                    let end = all.iter().map(|frame| frame.0).find(|&end| end > position);
                    prop_assert_eq!(rest, if boundary { Some(position) } else { end });
                    if boundary {
                        let held: Vec<_> = all[all.len() - behind..].iter().map(|f| f.1.clone()).collect();
                        prop_assert_eq!(texts(log.from(position)), held);
                    }
                }
                let first = log.first_seq();
                for after in 0..seq + 3 {
                    let start = log.after(after);
                    prop_assert_eq!(start.is_some(), after + 1 >= first && after <= seq);
                    if let Some(start) = start {
                        let next = all.iter().find(|frame| frame.2 > after).map(|frame| &frame.1);
                        let held = texts(log.from(start));
                        prop_assert_eq!(held.first(), next);
                    }
                }
            }
        }
    }
}
