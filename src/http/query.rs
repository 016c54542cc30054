//! Parameters of a query, and segments of a path.

use std::borrow::Cow;

use percent_encoding::{percent_decode, percent_decode_str};

/// The first parameter of that name, decoded as the URL Standard §5.1 decodes forms: `+` is a
/// blank, a `%` without two digits stays as it is, and what is not UTF-8 becomes U+FFFD. So a
/// malformed value reaches the check of the parameter, which names it, instead of looking absent.
/// `Some("")` for a name without a value.
pub fn param<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name || decode(key) == name).then(|| decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        let text = text.replace('+', " ");
        Cow::Owned(percent_decode_str(&text).decode_utf8_lossy().into_owned())
    } else {
        percent_decode_str(text).decode_utf8_lossy()
    }
}

/// One segment of a path, percent-decoded. `None` when it is malformed or not UTF-8, or when it
/// contains, encoded or not, a slash or a control character: no id has one, and a segment that
/// means two to someone else is not one.
pub fn decode_segment(segment: &str) -> Option<Cow<'_, str>> {
    let bytes = segment.as_bytes();
    let well_formed = bytes
        .iter()
        .enumerate()
        .filter(|&(_, &b)| b == b'%')
        .all(|(at, _)| {
            bytes
                .get(at + 1..at + 3)
                .is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
        });
    if !well_formed {
        return None;
    }
    let decoded = percent_decode(bytes).decode_utf8().ok()?;
    (!decoded.contains(|c: char| c == '/' || c.is_control())).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_parameter_of_a_name_is_decoded() {
        let query = Some("deviceId=cam%2D1&user=J%C3%B6+B&flag&deviceId=other&%6Cimit=5&x=a=b");
        assert_eq!(param(query, "deviceId").as_deref(), Some("cam-1"));
        assert_eq!(param(query, "user").as_deref(), Some("Jö B"));
        assert_eq!(param(query, "flag").as_deref(), Some(""));
        assert_eq!(param(query, "limit").as_deref(), Some("5"));
        assert_eq!(param(query, "x").as_deref(), Some("a=b"));
        assert_eq!(param(query, "missing"), None);
        assert_eq!(param(None, "deviceId"), None);
    }

    #[test]
    fn a_malformed_parameter_is_seen_and_not_absent() {
        assert_eq!(param(Some("limit=%zz"), "limit").as_deref(), Some("%zz"));
        assert_eq!(param(Some("limit=%4"), "limit").as_deref(), Some("%4"));
        assert_eq!(
            param(Some("limit=%ff"), "limit").as_deref(),
            Some("\u{fffd}")
        );
    }

    #[test]
    fn plain_values_are_not_copied() {
        assert!(matches!(
            param(Some("a=plain"), "a"),
            Some(Cow::Borrowed("plain"))
        ));
        assert!(matches!(
            decode_segment("cam-1"),
            Some(Cow::Borrowed("cam-1"))
        ));
    }

    #[test]
    fn segments_are_decoded_or_refused() {
        assert_eq!(
            decode_segment("cam%3A1%40home").as_deref(),
            Some("cam:1@home")
        );
        assert_eq!(decode_segment("a+b").as_deref(), Some("a+b"));
        assert_eq!(decode_segment("%E6%97%A5").as_deref(), Some("日"));
        for bad in [
            "a/b", "a%2Fb", "a%2fb", "%00", "a%0Ab", "%7f", "%C2%85", "%", "%4", "%4g", "%ff",
        ] {
            assert_eq!(decode_segment(bad), None, "{bad}");
        }
    }
}
