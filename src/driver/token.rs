//! What a token of the epoll set names: the kind in its top byte.

use executor::Token;

use crate::connection::ConnectionId;

const KIND: u32 = 56;
/// The bits of a connection's generation that a token carries.
pub(super) const GENERATION_MASK: u32 = (1 << 24) - 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Listener(usize),
    Port(usize),
    Inbox,
    /// The slot, and the low bits of the generation.
    Connection(u32, u32),
}

pub(super) const fn listener(index: usize) -> Token {
    Token(index as u64)
}

pub(super) const fn port(index: usize) -> Token {
    Token((1 << KIND) | index as u64)
}

pub(super) const fn inbox() -> Token {
    Token(2 << KIND)
}

pub(super) const fn connection(id: ConnectionId) -> Token {
    let generation = (id.generation & GENERATION_MASK) as u64;
    Token((3 << KIND) | (generation << 32) | id.slot as u64)
}

pub(super) const fn named(token: Token) -> Named {
    let index = (token.0 & 0xffff_ffff) as usize;
    match token.0 >> KIND {
        0 => Named::Listener(index),
        1 => Named::Port(index),
        2 => Named::Inbox,
        _ => {
            let generation = (token.0 >> 32) as u32 & GENERATION_MASK;
            Named::Connection(index as u32, generation)
        }
    }
}

#[cfg(test)]
#[test]
fn a_token_names_what_it_was_made_for() {
    assert_eq!(named(listener(3)), Named::Listener(3));
    assert_eq!(named(port(1)), Named::Port(1));
    assert_eq!(named(inbox()), Named::Inbox);
    let id = ConnectionId {
        slot: 7,
        generation: 0x0123_4567,
    };
    assert_eq!(named(connection(id)), Named::Connection(7, 0x23_4567));
}
