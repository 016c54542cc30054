//! The `Date` header.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// The current second as IMF-fixdate (RFC 9110 §5.6.7), formatted once a second.
#[derive(Debug, Default)]
pub struct HttpDate {
    second: Option<u64>,
    text: String,
}

impl HttpDate {
    /// Nothing formatted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `unix_seconds` as `Sun, 06 Nov 1994 08:49:37 GMT`. A time past the year 9999, which the form
    /// cannot hold, is written as the end of that year.
    pub fn at(&mut self, unix_seconds: u64) -> &str {
        if self.second != Some(unix_seconds) {
            self.second = Some(unix_seconds);
            self.text.clear();
            let timestamp = i64::try_from(unix_seconds)
                .ok()
                .and_then(|seconds| Timestamp::from_second(seconds).ok())
                .unwrap_or(Timestamp::MAX);
            // Fails for negative years alone, and the time is unsigned.
            let printed =
                DateTimePrinter::new().print_timestamp_rfc9110(&timestamp, &mut self.text);
            debug_assert!(printed.is_ok());
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::HttpDate;

    #[test]
    fn the_example_of_the_specification() {
        let mut date = HttpDate::new();
        assert_eq!(date.at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(date.at(784_111_778), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(date.at(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert!(
            date.at(u64::MAX).ends_with(" 9999 22:00:00 GMT"),
            "{}",
            date.at(u64::MAX)
        );
    }
}
