//! Authentication over the wire: tokens asked for, taken and refused, users who sign up and log in, sockets that end
//! with their token, and `media-service token`.

#[path = "../support/mod.rs"]
mod support;

mod doors;
mod roles;
mod tokens;
mod users;

use support::ws::{Refused, Socket};

#[track_caller]
fn refused(result: Result<Socket, Refused>, status: u16, code: &str) {
    match result {
        Ok(_) => panic!("upgraded"),
        Err(refused) => {
            assert_eq!(refused.status, status, "{refused:?}");
            assert_eq!(refused.body["code"], code, "{refused:?}");
        }
    }
}
