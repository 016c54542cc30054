//! `Forwarded` (RFC 7239) and `X-Forwarded-For`: for whom a proxy speaks.
//!
//! Every proxy adds to the right. What a trusted one added is true; what stands to the left of it is the
//! word of whoever it heard it from. So the list is read from the right, past trusted hops, up to the first
//! that is not trusted, which is the client. Where that cannot be read (a name in disguise, a fault of
//! syntax) the last trusted hop stands for it, and never what is further left, which anybody may have
//! written.

use std::net::{IpAddr, SocketAddr};

use super::Network;
use crate::http::Headers;

/// Hops that are looked at, from the right. A chain of more proxies that are all trusted is a loop.
pub const FORWARDED_HOPS: usize = 32;

/// By which a proxy says for whom it speaks.
const HEADERS: [&str; 2] = ["forwarded", "x-forwarded-for"];

/// Whom a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its address, never an IPv4 address in the form of IPv6.
    pub address: IpAddr,
    /// The other end of the connection speaks for somebody, and is not trusted to.
    pub ignored: bool,
}

impl Client {
    /// The other end itself.
    pub fn direct(peer: IpAddr) -> Self {
        Self {
            address: peer.to_canonical(),
            ignored: false,
        }
    }

    /// The client at the other end, or behind it if that is a proxy of the networks `trusted`.
    ///
    /// With both headers they must say the same: a proxy that writes one of them passes the other one on as
    /// its client sent it. If they do not, the client is the proxy itself.
    pub fn of(peer: IpAddr, headers: &Headers, trusted: &[Network]) -> Self {
        let direct = Self::direct(peer);
        let speaks =
            |(name, _): (&str, &str)| HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own));
        if !headers.iter().any(speaks) {
            return direct;
        }
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        let lists = HEADERS.map(|name| hops(headers, name));
        let mut said = lists.into_iter().flatten().peekable();
        if said.peek().is_some() && !is_trusted(direct.address) {
            return Self {
                ignored: true,
                ..direct
            };
        }
        let mut said = said.map(|hops| behind(direct.address, &hops, is_trusted));
        let address = match (said.next(), said.next()) {
            (Some(one), None) => one,
            (Some(one), Some(other)) if one == other => one,
            (Some(_), Some(_)) | (None, _) => direct.address,
        };
        Self { address, ..direct }
    }
}

/// A hop as a list has it; `None`: it cannot be read.
type Hop = Option<IpAddr>;

fn behind(peer: IpAddr, hops: &[Hop], is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut last = peer;
    for hop in hops.iter().rev().take(FORWARDED_HOPS) {
        match *hop {
            None => return last,
            Some(address) if is_trusted(address) => last = address,
            Some(address) => return address,
        }
    }
    last
}

/// The hops of all lines of that name; `None`: there is no such line. A quoted string does not go on in the
/// next line, so that each is read for itself: what a client sent cannot hide what a proxy put behind it.
fn hops(headers: &Headers, name: &str) -> Option<Vec<Hop>> {
    let mut hops = None;
    for (own, value) in headers.iter() {
        if own.eq_ignore_ascii_case(name) {
            let hops = hops.get_or_insert_with(Vec::new);
            match name {
                "forwarded" => match elements(value) {
                    Some(elements) => hops.extend(elements),
                    // It is not known where its elements begin.
                    None => hops.push(None),
                },
                _ => hops.extend(
                    value
                        .split(',')
                        .map(|hop| address(hop.trim_matches(BLANKS))),
                ),
            }
        }
    }
    hops
}

const BLANKS: [char; 2] = [' ', '\t'];

/// The elements of a `Forwarded` (RFC 7239 §4); `None` for a fault of syntax.
fn elements(line: &str) -> Option<Vec<Hop>> {
    let mut rest = line;
    let mut elements = Vec::new();
    loop {
        let mut node = None;
        loop {
            rest = rest.trim_start_matches(BLANKS);
            if !rest.is_empty() && !rest.starts_with([',', ';']) {
                let (name, value) = rest.split_once('=')?;
                if name.is_empty() || !name.bytes().all(is_token) {
                    return None;
                }
                let (value, behind) = split_value(value)?;
                // Twice in one element it would say two things.
                if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
                    return None;
                }
                rest = behind.trim_start_matches(BLANKS);
            }
            match rest.strip_prefix(';') {
                Some(next) => rest = next,
                None => break,
            }
        }
        elements.push(node.and_then(|node| address(&node)));
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.is_empty() => return Some(elements),
            None => return None,
        }
    }
}

/// A value and what follows it. Some proxies leave out the quotes that an IPv6 address needs.
fn split_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let plain = |c: char| c.is_ascii() && (is_token(c as u8) || "[]:".contains(c));
        let end = text.find(|c: char| !plain(c)).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (!value.is_empty()).then(|| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A node (RFC 7239 §6): an address, IPv6 in brackets or without them, perhaps with a port. Names in disguise
/// and `unknown` are none.
fn address(node: &str) -> Hop {
    let plain = |text: &str| text.parse::<IpAddr>().ok();
    let in_brackets = || plain(node.strip_prefix('[')?.strip_suffix(']')?);
    let with_port = || Some(node.parse::<SocketAddr>().ok()?.ip());
    let found = plain(node).or_else(in_brackets).or_else(with_port)?;
    Some(found.to_canonical())
}

#[cfg(test)]
mod tests;
