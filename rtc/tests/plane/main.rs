//! The plane as a viewer sees it: str0m clients over a simulated network, in virtual time.

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod costs;
mod fanout;
mod joining;
mod negotiation;
mod playback;
mod security;
mod sessions;
