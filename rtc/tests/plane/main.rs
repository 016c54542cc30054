//! The plane as a viewer sees it: str0m clients over a simulated network, in virtual time. What concerns
//! media is played for viewers without AES-GCM, too: see `through_str0m.rs`.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod attacks;
mod costs;
mod day;
mod fanout;
mod joining;
mod negotiation;
mod neighbours;
mod playback;
mod security;
mod sessions;
mod sync;
