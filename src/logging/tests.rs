use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tracing::subscriber::with_default;

use super::*;

/// What the log has written after these events.
fn logged(style: Style, level: &str, events: impl FnOnce()) -> String {
    let (mut reader, pipe) = io::pipe().unwrap();
    let (writer, guard) = queue(pipe);
    with_default(subscriber(level, style, writer).0, events);
    drop(guard);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_level_can_be_changed_while_the_log_runs() {
    for style in [Style::Json, Style::Text { colours: false }] {
        let (mut reader, pipe) = io::pipe().unwrap();
        let (writer, guard) = queue(pipe);
        let (subscriber, level) = subscriber("warn", style, writer);
        with_default(subscriber, || {
            let say = |text: &str| tracing::info!("{text}");
            say("too quiet");
            level.set("info");
            say("heard");
            level.set("error");
            say("too quiet again");
        });
        drop(guard);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(text.contains("heard") && !text.contains("quiet"), "{text}");
    }
}

#[derive(Debug, thiserror::Error)]
#[error("offer refused")]
struct Refused(#[source] fmt::Error);

const PLAIN: Style = Style::Text { colours: false };

#[test]
fn a_json_line_is_flat_and_carries_time_level_target_and_fields() {
    let lines = logged(Style::Json, "info", || {
        let device = "cam-1";
        tracing::info!(session = %"3f0c", device, shard = 1, live = true, "session created");
        tracing::debug!("not at this level");
    });
    assert_eq!(lines.lines().count(), 1, "{lines}");
    let line: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "session created");
    assert_eq!(line["target"], "media_service::logging::tests");
    assert_eq!(line["session"], "3f0c");
    assert_eq!(line["device"], "cam-1");
    assert_eq!(line["shard"], 1);
    assert_eq!(line["live"], true);
    let time = line["timestamp"].as_str().unwrap();
    assert!(time.ends_with('Z'), "{time}");
    time.parse::<jiff::Timestamp>().unwrap();
}

#[test]
fn peers_cannot_fill_the_log_through_libraries_unless_they_are_asked() {
    let warn = || {
        tracing::warn!(target: "is::stun", "STUN got MappedAddress");
        tracing::warn!(target: "dimpl::dtls12::engine", "Receive queue full");
        tracing::warn!(target: "sctp_proto::association", "unable to parse SCTP packet");
    };
    for level in ["info", "warn", "debug,media_service=trace"] {
        assert_eq!(logged(PLAIN, level, warn), "");
    }
    let asked = logged(PLAIN, "info,dimpl=warn", warn);
    assert_eq!(asked.lines().count(), 1, "{asked}");
}

#[test]
fn what_the_ice_agent_traces_is_not_to_be_had() {
    let trace = || tracing::trace!(target: "is::agent", pass = "secret", "credentials");
    for level in [
        "trace",
        "is=trace",
        "info,is::agent=trace",
        "is",
        " is::agent ,info",
    ] {
        assert_eq!(logged(PLAIN, level, trace), "", "{level}");
    }
}

#[test]
fn a_line_of_text_reads_well() {
    let line = logged(PLAIN, "info", || {
        let error: &dyn Error = &Refused(fmt::Error);
        tracing::warn!(session = %"3f0c", device = "cam-1", shard = 1, error, "session closed");
    });
    let (time, rest) = line.split_once(' ').unwrap();
    time.parse::<jiff::Timestamp>().unwrap();
    assert_eq!(
        rest,
        " WARN media_service::logging::tests: session closed session=3f0c device=\"cam-1\" \
         shard=1 error=offer refused: an error occurred when formatting an argument\n"
    );
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let text = |colours| Style::Text { colours };
    assert_eq!(Style::new(LogFormat::Auto, true, false), text(true));
    assert_eq!(Style::new(LogFormat::Auto, true, true), text(false));
    assert_eq!(Style::new(LogFormat::Auto, false, false), Style::Json);
    assert_eq!(Style::new(LogFormat::Text, false, false), text(false));
    assert_eq!(Style::new(LogFormat::Json, true, false), Style::Json);

    let coloured = logged(text(true), "info", || tracing::info!(shard = 1, "ready"));
    assert!(coloured.contains("\x1b[3mshard\x1b[0m=1"), "{coloured:?}");
    let plain = logged(PLAIN, "info", || tracing::info!(shard = 1, "ready"));
    assert!(!plain.contains('\x1b'), "{plain:?}");
}

#[test]
fn no_value_can_begin_a_line_or_drive_a_terminal() {
    let hostile = "x\n2026-01-01T00:00:00Z  INFO forged\r\x1b[2J\u{9b}1m\u{7f}\u{2028}\u{202e}";
    let events = || {
        tracing::info!(display = %hostile, debug = ?hostile, text = hostile, "{hostile}");
        let error: &dyn Error = &io::Error::other(hostile);
        tracing::info!(error);
    };
    for style in [PLAIN, Style::Text { colours: true }] {
        let lines = logged(style, "info", events);
        assert_eq!(lines.lines().count(), 2, "{lines:?}");
        for bad in ["\r", "\x1b[2J", "\u{9b}", "\u{7f}", "\u{2028}", "\u{202e}"] {
            assert!(!lines.contains(bad), "{bad:?} in {lines:?}");
        }
        assert!(
            lines.contains("=x\\n2026-01-01T00:00:00Z  INFO forged\\r\\u{1b}[2J"),
            "{lines:?}"
        );
    }
    let lines = logged(Style::Json, "info", events);
    assert_eq!(lines.lines().count(), 2, "{lines:?}");
    let line: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    for field in ["display", "text", "message"] {
        assert_eq!(line[field], hostile);
    }
}

#[test]
fn the_filter_takes_directives_per_target() {
    let lines = logged(PLAIN, "warn,noisy=debug", || {
        tracing::info!("hidden");
        tracing::debug!(target: "noisy", "shown");
    });
    assert!(
        lines.contains("shown") && !lines.contains("hidden"),
        "{lines}"
    );
}

/// Nobody reads the pipe: whoever logs goes on, and what is lost is counted.
#[test]
fn a_blocked_reader_delays_nobody() {
    const LINES: usize = 2 * LOG_QUEUE_LINES;
    let (mut reader, pipe) = io::pipe().unwrap();
    let (writer, guard) = queue(pipe);
    let dropped = DroppedLines(writer.error_counter());
    let (done, finished) = mpsc::channel();
    let logger = thread::spawn(move || {
        with_default(subscriber("info", Style::Json, writer).0, || {
            for line in 0..LINES {
                tracing::info!(line, "one of many");
            }
        });
        done.send(()).unwrap();
    });
    // Generous: it only ends a test that would hang.
    finished
        .recv_timeout(Duration::from_secs(60))
        .expect("the writer was blocked by the pipe");
    logger.join().unwrap();
    let lost = dropped.count();
    assert!(lost > 0);

    // Once it is read again, exactly the others arrive, in order.
    let read = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    drop(guard);
    let text = read.join().unwrap().unwrap();
    let numbers: Vec<u64> = text
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["line"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(numbers.len() + lost, LINES);
    assert!(numbers.is_sorted());
}

#[test]
fn a_pipe_that_nobody_reads_does_not_hold_up_the_end() {
    let (_reader, pipe) = io::pipe().unwrap();
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        let (mut writer, guard) = queue(pipe);
        // More than any pipe holds.
        writer.write_all(&[b'\n'; 1 << 20]).unwrap();
        drop(guard);
        done.send(()).unwrap();
    });
    finished
        .recv_timeout(Duration::from_secs(60))
        .expect("the guard waits for the pipe");
}

#[test]
fn secrets_are_not_logged() {
    let table = [
        ("deviceId=a&userId=b", "deviceId=a&userId=b"),
        (
            "deviceId=a&token=eyJ0.x-y&userId=b",
            "deviceId=a&token=[redacted]&userId=b",
        ),
        ("TOKEN=x", "TOKEN=[redacted]"),
        ("%74oken=x", "%74oken=[redacted]"),
        (
            "token=a=b&access_token=c",
            "token=[redacted]&access_token=[redacted]",
        ),
        (
            "/api/media/ws?token=x#y",
            "/api/media/ws?token=[redacted]#y",
        ),
        ("tokens=x&my_token=y&token", "tokens=x&my_token=y&token"),
        ("", ""),
    ];
    for (query, redacted) in table {
        assert_eq!(redact_query(query), redacted);
    }
}
