use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use clap::Parser;

use super::response::{Parsed, Response, parse};
use super::*;
use crate::process::{Process, available_cpus};
use crate::report::Outcome;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers requests of one connection after the other; `before` is called with each one's number.
fn server(before: impl Fn(usize) -> &'static [u8] + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let mut number = 0;
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut request) {
                assert!(request[..count].ends_with(b"\r\n\r\n"), "one whole request");
                let answer = before(number);
                number += 1;
                if stream.write_all(answer).is_err() || answer != ANSWER {
                    break;
                }
            }
        }
    });
    address
}

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
}

/// One round against a server of this process.
fn measured(server: SocketAddr, line: &[&str]) -> Outcome {
    let (base, pid) = (server.to_string(), Process::own().0.to_string());
    let cpu = available_cpus()[0].to_string();
    let fixed = ["load", "--base", &base, "--pid", &pid, "--client-cpu", &cpu];
    let more = ["--rounds", "1", "--warm-up", "0"];
    let line = CommandLine::parse_from([&fixed[..], &more, line].concat());
    let mut report = Report::default();
    run(&line.arguments, &mut report).expect("the server is there");
    report.outcomes()[0].clone()
}

/// Of the 500 requests of half a second the first 200 become due while the server stalls.
#[test]
fn a_stall_is_in_the_latency_of_every_request_that_was_due_in_it() {
    const STALL: Duration = Duration::from_millis(200);
    let server = server(|number| {
        if number == 0 {
            thread::sleep(STALL);
        }
        ANSWER
    });
    let line = ["--connections", "1", "--rate", "1000", "--seconds", "0.5"];
    let outcome = measured(server, &line);
    let latency = outcome.latency_us.expect("there were answers");
    assert_eq!(
        latency.count, 500,
        "every request of the schedule is counted"
    );
    assert_eq!(outcome.counted("unanswered"), 0);
    // Request n is due after n ms, and answered after the stall at the earliest: five waited for 195 ms and more.
    assert!(latency.max >= 200_000.0, "{latency:?}");
    assert!(latency.p99 >= 194_000.0, "{latency:?}");
    assert!(outcome.counted("late_sends") >= 198, "{outcome:?}");
}

#[test]
fn a_closed_loop_sends_the_next_request_when_it_has_the_answer() {
    let outcome = measured(
        server(|_| ANSWER),
        &["--connections", "1", "--seconds", "0.5"],
    );
    let latency = outcome.latency_us.expect("there were answers");
    assert!(outcome.units > 0);
    // What was in flight at the end is answered too, and no unit of the span.
    assert!(latency.count - outcome.units <= 1, "{outcome:?}");
    let wrong = ["errors", "closed", "unanswered"].map(|name| outcome.counted(name));
    assert_eq!(wrong, [0; 3]);
    assert_eq!(outcome.counts.get("late_sends"), None);
}

#[test]
fn refusals_and_ends_of_connections_are_counted() {
    const REFUSED: &[u8] = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const CUT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no";
    let server = server(|number| match number {
        1 => REFUSED,
        3 => CUT,
        _ => ANSWER,
    });
    let line = ["--connections", "1", "--rate", "100", "--seconds", "0.1"];
    let outcome = measured(server, &line);
    assert_eq!(
        (outcome.counted("errors"), outcome.counted("closed")),
        (2, 2)
    );
    // The one that was cut off has waited; the one that was refused has not.
    assert_eq!(outcome.latency_us.map(|latency| latency.count), Some(9));
}

#[test]
fn responses_end_where_rfc_9112_says() {
    let whole = |status, length, closes| {
        Parsed::Whole(Response {
            status,
            length,
            closes,
        })
    };
    assert_eq!(parse(ANSWER), whole(200, ANSWER.len(), false));
    for end in 0..ANSWER.len() {
        assert_eq!(parse(&ANSWER[..end]), Parsed::Partial, "{end}");
    }
    let chunked: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    assert_eq!(parse(chunked), whole(200, chunked.len(), false));
    for end in 0..chunked.len() {
        assert_eq!(parse(&chunked[..end]), Parsed::Partial, "{end}");
    }
    let empty: &[u8] = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    assert_eq!(parse(empty), whole(204, empty.len(), true));
    let until_end: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nok";
    assert_eq!(parse(until_end), Parsed::Unreadable);
    assert_eq!(parse(b"SSH-2.0-x\r\n"), Parsed::Unreadable);
    let not_chunked: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay";
    assert_eq!(parse(not_chunked), Parsed::Unreadable);
}

#[test]
fn sessions_of_all_owners_come_in_turn() {
    let ids = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let by_owner: Vec<Vec<String>> = vec![ids(&["a", "b", "c"]), ids(&["x", "y"])];
    assert_eq!(in_turn(&by_owner), ["a", "x", "b", "y"]);
}
