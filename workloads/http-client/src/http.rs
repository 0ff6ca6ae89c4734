//! HTTP/1.1 over a raw connection, as much of it as is needed: every body has its length.

use observer::{Connection, Error};

/// Most headers of an answer.
const HEADERS: usize = 32;

/// The beginning of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Bytes of the body that follows.
    pub(crate) length: usize,
    /// Bytes of the head itself.
    pub(crate) bytes: usize,
}

/// An answer that has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
    /// Bytes of head and body.
    pub(crate) bytes: usize,
}

/// A request with a body, which may be empty.
pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: pod\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The head of the answer that has begun to come, when all of it is there.
///
/// # Errors
/// When it is none, or does not say how long its body is.
pub(crate) fn head(came: &[u8]) -> Result<Option<Head>, Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let wrong = || Error::answer("an answer of HTTP with its length", came);
    let httparse::Status::Complete(bytes) = response.parse(came).map_err(|_| wrong())? else {
        return Ok(None);
    };
    let status = response.code.ok_or_else(wrong)?;
    let length = response.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
    let length = match (length, status) {
        (Some(length), _) => std::str::from_utf8(length.value).ok().and_then(|it| it.parse().ok()),
        (None, 204) => Some(0),
        (None, _) => None,
    };
    Ok(Some(Head { status, length: length.ok_or_else(wrong)?, bytes }))
}

/// The answer that has begun to come, when all of it is there.
///
/// # Errors
/// As of [`head`].
pub(crate) fn answer(came: &[u8]) -> Result<Option<Answer<'_>>, Error> {
    let Some(Head { status, length, bytes: from }) = head(came)? else { return Ok(None) };
    let bytes = from.saturating_add(length);
    Ok(came.get(from..bytes).map(|body| Answer { status, body, bytes }))
}

/// Asks and waits for the answer: its status and body.
///
/// # Errors
/// When the connection ends, or what comes is no answer.
pub(crate) fn ask(
    connection: &mut Connection,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<(u16, Vec<u8>), Error> {
    connection.ask(&request(method, path, body), |came| {
        Ok(answer(came)?.map(|answer| (answer.status, answer.body.to_vec())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_all_of_it_has_come() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 ";
        let end = whole.len() - "HTTP/1.1 ".len();
        for cut in 0..end {
            assert_eq!(answer(&whole[..cut]).expect("an answer"), None, "{cut}");
        }
        let expected = Answer { status: 200, body: b"abc", bytes: end };
        assert_eq!(answer(whole).expect("an answer"), Some(expected));
        let empty = b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n";
        let expected = Answer { status: 204, body: b"", bytes: empty.len() };
        assert_eq!(answer(empty).expect("an answer"), Some(expected));
    }

    #[test]
    fn what_is_no_answer_or_has_no_length_is_an_error() {
        for wrong in ["-ERR\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
            let error = answer(wrong.as_bytes()).expect_err(wrong).to_string();
            assert!(error.contains("an answer of HTTP with its length"), "{error}");
        }
    }
}
