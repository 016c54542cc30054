//! Where a response ends, and whether it is a good one: as little as a load generator needs.

/// Headers of a response, far more than servers send.
const MAX_HEADERS: usize = 64;

/// A whole response at the front of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// Of the status line.
    pub(super) status: u16,
    /// Bytes, its body included.
    pub(super) length: usize,
    /// Whether the server closes the connection behind it.
    pub(super) closes: bool,
}

/// What the bytes are the beginning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A response that is not there yet as a whole.
    Partial,
    /// A response.
    Whole(Response),
    /// Nothing that can be told from what follows it: not HTTP, or a body that only the connection's end ends.
    Unreadable,
}

/// Reads the response to a GET (RFC 9112 §6.3).
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Response::new(&mut headers);
    let head_length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Unreadable,
    };
    let Some(status) = head.code else {
        return Parsed::Unreadable;
    };
    let mut closes = false;
    let mut body = None;
    let mut chunked = false;
    for header in head.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value).ok();
            body = length.and_then(|length| length.parse::<usize>().ok());
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = header.value.eq_ignore_ascii_case(b"chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            closes = header.value.eq_ignore_ascii_case(b"close");
        }
    }
    let length = match (status, chunked, body) {
        (204 | 304, ..) => Some(head_length),
        (_, true, _) => match chunks(&bytes[head_length..]) {
            Ok(None) => return Parsed::Partial,
            Ok(Some(length)) => head_length.checked_add(length),
            Err(NotChunked) => None,
        },
        (_, false, Some(length)) => head_length.checked_add(length),
        (_, false, None) => None,
    };
    match length {
        None => Parsed::Unreadable,
        Some(length) if bytes.len() < length => Parsed::Partial,
        Some(length) => Parsed::Whole(Response {
            status,
            length,
            closes,
        }),
    }
}

/// A body that is not of chunks.
struct NotChunked;

/// Bytes of a chunked body without trailers (RFC 9112 §7.1); none while it is not complete.
fn chunks(bytes: &[u8]) -> Result<Option<usize>, NotChunked> {
    let mut at = 0;
    loop {
        match httparse::parse_chunk_size(&bytes[at..]) {
            Err(_) => return Err(NotChunked),
            Ok(httparse::Status::Partial) => return Ok(None),
            Ok(httparse::Status::Complete((line, size))) => {
                let size = usize::try_from(size).map_err(|_| NotChunked)?;
                let end = at
                    .checked_add(line)
                    .and_then(|at| at.checked_add(size)?.checked_add(2))
                    .ok_or(NotChunked)?;
                match bytes.get(end - 2..end) {
                    None => return Ok(None),
                    Some(b"\r\n") if size == 0 => return Ok(Some(end)),
                    Some(b"\r\n") => at = end,
                    Some(_) => return Err(NotChunked),
                }
            }
        }
    }
}
