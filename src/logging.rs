//! The log: text for people on a terminal, JSON lines for machines otherwise, on standard error.
//!
//! A shard formats its line and hands it over to a thread of its own; when that one cannot keep up
//! (a full pipe, a stopped terminal) lines are lost and counted, and no shard waits.

pub(crate) mod paced;

use std::backtrace::Backtrace;
use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

use crate::config::{Log, LogFormat};
use crate::limits::LOG_QUEUE_LINES;

/// Writes what is still queued when it is dropped, for a second at most: keep it until the end.
#[must_use = "the log ends when it is dropped"]
pub struct LogGuard {
    _worker: WorkerGuard,
    dropped: DroppedLines,
    level: LogLevel,
}

impl LogGuard {
    /// Sets the level while the log runs.
    pub fn level(&self) -> LogLevel {
        self.level.clone()
    }

    /// The count of lost lines, for the metrics.
    pub fn dropped_lines(&self) -> DroppedLines {
        self.dropped.clone()
    }
}

/// Counts the lines that were lost because the log's reader did not keep up.
#[derive(Debug, Clone)]
pub struct DroppedLines(ErrorCounter);

impl DroppedLines {
    /// Lines lost since the start.
    pub fn count(&self) -> usize {
        self.0.dropped_lines()
    }
}

/// The level of a log that runs.
#[derive(Clone)]
pub struct LogLevel(Arc<dyn Fn(EnvFilter) + Send + Sync>);

impl LogLevel {
    /// From now on what these directives let through is logged: see [`Log::level`].
    pub fn set(&self, level: &str) {
        (self.0)(filter(level));
    }
}

/// Starts the log of this process on standard error.
pub fn init(log: &Log) -> LogGuard {
    let stderr = io::stderr();
    let terminal = stderr.is_terminal();
    // A descriptor of its own: whoever else writes to standard error (a panic) must not wait for
    // the lock that a blocked write holds.
    let (writer, worker) = match stderr.as_fd().try_clone_to_owned() {
        Ok(descriptor) => queue(BufWriter::new(File::from(descriptor))),
        Err(_) => queue(BufWriter::new(stderr)),
    };
    let style = Style::new(log.format, terminal, std::env::var_os("NO_COLOR").is_some());
    let dropped = DroppedLines(writer.error_counter());
    let (subscriber, level) = subscriber(&log.level, style, writer);
    // A log that was started before (by a test, by a host of this library) stays in place.
    let _ = subscriber.try_init();
    // The default hook writes to standard error itself, and would wait for whoever reads it.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let backtrace = Backtrace::capture();
        tracing::error!(place, %backtrace, "panic: {}", panic.payload_as_str().unwrap_or("?"));
    }));
    LogGuard {
        _worker: worker,
        dropped,
        level,
    }
}

/// The bounded queue to the thread that writes.
fn queue(writer: impl io::Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    NonBlockingBuilder::default()
        .buffered_lines_limit(LOG_QUEUE_LINES)
        .lossy(true)
        .thread_name("log")
        .finish(writer)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Text { colours: bool },
    Json,
}

impl Style {
    /// `no_color`: whether the variable of that name is set (<https://no-color.org>).
    fn new(format: LogFormat, terminal: bool, no_color: bool) -> Self {
        match (format, terminal) {
            (LogFormat::Json, _) | (LogFormat::Auto, false) => Self::Json,
            (LogFormat::Text, _) | (LogFormat::Auto, true) => Self::Text {
                colours: terminal && !no_color,
            },
        }
    }
}

/// What the libraries of the media plane say of a peer's bytes, and peers say what they like: a
/// datagram can be worth a line each. Their warnings are logged where a directive asks for them.
const QUIET: &str = "is=error,str0m=error,dimpl=error,sctp_proto=error";
/// The ICE agent, which traces passwords. No directive for it is taken.
const ICE_AGENT: &str = "is";

/// The configuration has parsed it before.
fn filter(level: &str) -> EnvFilter {
    let target = |directive: &str| {
        let end = directive.find(['=', ':', '[']).unwrap_or(directive.len());
        directive[..end].trim().to_owned()
    };
    let asked = level.split(',').filter(|asked| target(asked) != ICE_AGENT);
    let directives: Vec<&str> = std::iter::once(QUIET).chain(asked).collect();
    EnvFilter::builder().parse_lossy(directives.join(","))
}

/// Both formats begin with the time in UTC (RFC 3339, microseconds) and the level.
fn subscriber(
    level: &str,
    style: Style,
    writer: NonBlocking,
) -> (Box<dyn Subscriber + Send + Sync>, LogLevel) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        // What cannot be formatted must not be reported on standard error, which may block.
        .log_internal_errors(false)
        .with_writer(writer);
    match style {
        Style::Text { colours } => {
            let builder = builder.with_ansi(colours).fmt_fields(TextFields);
            let builder = builder.with_filter_reloading();
            let level = changed_through(builder.reload_handle());
            (Box::new(builder.finish()), level)
        }
        Style::Json => {
            let builder = builder.json().flatten_event(true).with_span_list(false);
            let builder = builder.with_filter_reloading();
            let level = changed_through(builder.reload_handle());
            (Box::new(builder.finish()), level)
        }
    }
}

fn changed_through<S: 'static>(handle: reload::Handle<EnvFilter, S>) -> LogLevel {
    // It fails when the log has ended: nobody reads it then.
    LogLevel(Arc::new(move |filter| _ = handle.reload(filter)))
}

/// Fields of a line of text: the message as it is, then `name=value`, all on one line whatever the
/// values hold. (The crate's own formatter lets line breaks through.)
struct TextFields;

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = TextVisitor {
            writer,
            first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct TextVisitor<'w> {
    writer: Writer<'w>,
    first: bool,
    result: fmt::Result,
}

impl TextVisitor<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if !self.first {
            self.writer.write_char(' ')?;
        }
        self.first = false;
        if field.name() != "message" {
            let (italic, upright) = if self.writer.has_ansi_escapes() {
                ("\x1b[3m", "\x1b[0m")
            } else {
                ("", "")
            };
            write!(self.writer, "{italic}{}{upright}=", field.name())?;
        }
        OneLine(&mut self.writer).write_fmt(value)
    }
}

impl Visit for TextVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Of a line that came through the `log` crate these are in its head already.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = self.write(field, format_args!("{value:?}"));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            text += &format!(": {cause}");
            source = cause.source();
        }
        self.record_debug(field, &format_args!("{text}"));
    }
}

/// Escapes what could begin another line, drive the terminal, or reorder what is read.
pub(crate) struct OneLine<'a, W>(pub(crate) &'a mut W);

impl<W: fmt::Write> fmt::Write for OneLine<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let unsafe_in_a_line = |c: char| {
            c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
        };
        let mut rest = text;
        while let Some(at) = rest.find(unsafe_in_a_line) {
            let (safe, from) = rest.split_at(at);
            self.0.write_str(safe)?;
            let mut chars = from.chars();
            for escaped in chars.next().into_iter().flat_map(char::escape_default) {
                self.0.write_char(escaped)?;
            }
            rest = chars.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Parameters of a query that carry a secret.
const SECRET_PARAMETERS: [&str; 5] = ["token", "access_token", "jwt", "credential", "password"];

/// A query, or a whole request target, with the values of secrets replaced: what may be logged.
pub fn redact_query(query: &str) -> Cow<'_, str> {
    let is_secret = |parameter: &str| {
        let name = parameter.split('=').next().unwrap_or_default();
        let name = percent_decode_str(name).decode_utf8_lossy();
        SECRET_PARAMETERS
            .iter()
            .any(|secret| name.eq_ignore_ascii_case(secret))
    };
    const SEPARATORS: [char; 4] = ['?', '&', ';', '#'];
    if !query.split(SEPARATORS).any(is_secret) {
        return Cow::Borrowed(query);
    }
    let mut redacted = String::with_capacity(query.len());
    for piece in query.split_inclusive(SEPARATORS) {
        let parameter = piece.trim_end_matches(SEPARATORS);
        match parameter.split_once('=') {
            Some((name, _)) if is_secret(parameter) => {
                redacted.extend([name, "=[redacted]", &piece[parameter.len()..]]);
            }
            _ => redacted.push_str(piece),
        }
    }
    Cow::Owned(redacted)
}

#[cfg(test)]
mod tests;
