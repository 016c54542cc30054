//! Delays and loses datagrams.

#![allow(unreachable_pub)] // the simulation has it too

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// To, from, contents.
type Arrival = (SocketAddr, SocketAddr, Vec<u8>);

/// When it lands, the order of sending, to, from, contents.
type Flight = (Instant, u64, SocketAddr, SocketAddr, Vec<u8>);

/// What befalls one datagram.
#[derive(Debug, Clone, Copy)]
pub enum Mishap {
    Lost,
    Late(Duration),
    Twice,
}

/// RTP, and not RTCP (RFC 5761 §4).
pub fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, ..] if !(64..96).contains(&(second & 0x7f)))
}

/// RTCP.
fn is_report(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, ..]) && !is_media(datagram)
}

/// A network between any addresses.
pub struct Network {
    /// One way.
    pub delay: Duration,
    /// Up to so much more, drawn for each datagram: they overtake each other.
    pub jitter: Duration,
    /// Share of datagrams that arrive twice, 0 to 1.
    pub duplicates: f64,
    /// Share of datagrams lost, 0 to 1, once media flows through it.
    pub loss: f64,
    /// Addresses that are cut off.
    pub cut: Vec<SocketAddr>,
    pub lost: u64,
    /// Who hears only one of so many datagrams.
    pub deaf: Option<(SocketAddr, u64)>,
    unheard: u64,
    /// RTCP gets lost after they were recorded.
    pub reports_lost: bool,
    /// What befalls the datagram that is sent as this one, counted from 0.
    pub mishap: Option<(u64, Mishap)>,
    /// What is sent, from when on somebody listens.
    pub record: Option<Vec<Arrival>>,
    flying: BinaryHeap<Reverse<Flight>>,
    sent: u64,
    /// Datagrams by destination.
    sent_to: HashMap<SocketAddr, u64>,
    /// RTP packets by destination.
    media_to: HashMap<SocketAddr, u64>,
    /// The last STUN message by destination.
    stun_to: HashMap<SocketAddr, Vec<u8>>,
    random: u64,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        Self {
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            duplicates: 0.0,
            loss: 0.0,
            cut: Vec::new(),
            lost: 0,
            deaf: None,
            unheard: 0,
            reports_lost: false,
            mishap: None,
            record: None,
            flying: BinaryHeap::new(),
            sent: 0,
            sent_to: HashMap::new(),
            media_to: HashMap::new(),
            stun_to: HashMap::new(),
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    pub fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if self.cut.contains(&from) || self.cut.contains(&to) || self.draw() < self.loss {
            self.lost += 1;
            return;
        }
        if let Some((deaf, every)) = self.deaf
            && to == deaf
        {
            self.unheard += 1;
            if !self.unheard.is_multiple_of(every) {
                return;
            }
        }
        let mishap = self.mishap.filter(|(number, _)| *number == self.sent);
        let mishap = mishap.map(|(_, mishap)| mishap);
        self.sent += 1;
        if let Some(record) = &mut self.record {
            record.push((to, from, bytes.to_vec()));
        }
        if self.reports_lost && is_report(bytes) {
            self.lost += 1;
            return;
        }
        *self.sent_to.entry(to).or_default() += 1;
        *self.media_to.entry(to).or_default() += u64::from(is_media(bytes));
        if bytes.first().is_some_and(|first| *first < 4) {
            self.stun_to.insert(to, bytes.to_vec());
        }
        match mishap {
            None => self.fly(now, from, to, bytes),
            Some(Mishap::Late(by)) => self.fly(now + by, from, to, bytes),
            Some(Mishap::Twice) => {
                self.fly(now, from, to, bytes);
                self.fly(now + Duration::from_millis(1), from, to, bytes);
            }
            Some(Mishap::Lost) => self.lost += 1,
        }
        if self.duplicates > 0.0 && self.draw() < self.duplicates {
            self.sent += 1;
            self.fly(now, from, to, bytes);
        }
    }

    fn fly(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let mut at = now + self.delay;
        if !self.jitter.is_zero() {
            at += self.jitter.mul_f64(self.draw());
        }
        let flight = (at, self.sent, to, from, bytes.to_vec());
        self.flying.push(Reverse(flight));
    }

    /// Datagrams sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Datagrams sent to an address so far.
    pub fn sent_to(&self, to: SocketAddr) -> u64 {
        self.sent_to.get(&to).copied().unwrap_or(0)
    }

    /// RTP packets sent to an address so far.
    pub fn media_to(&self, to: SocketAddr) -> u64 {
        self.media_to.get(&to).copied().unwrap_or(0)
    }

    /// The last STUN message sent to an address.
    pub fn last_stun_to(&self, to: SocketAddr) -> Option<Vec<u8>> {
        self.stun_to.get(&to).cloned()
    }

    /// When the next datagram arrives.
    pub fn next(&self) -> Option<Instant> {
        Some(self.flying.peek()?.0.0)
    }

    pub fn arrived(&mut self, now: Instant) -> Option<Arrival> {
        if self.flying.peek()?.0.0 > now {
            return None;
        }
        let Reverse((_, _, to, from, bytes)) = self.flying.pop()?;
        Some((to, from, bytes))
    }

    /// xorshift64*, uniform in 0 to 1.
    fn draw(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1u64 << 53) as f64
    }
}
