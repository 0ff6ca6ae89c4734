//! Watches a server that keeps values: the tokens go into one of its own.

use observer::tokens::{Answer, Appending, Service};
use observer::{Error, observe};

use crate::http;

/// The value that tokens are appended to.
const PATH: &str = "/watched";

/// Watches until the end of input; says what came of it.
pub(crate) fn watch(address: &str) -> Result<(), Error> {
    observe(Appending::to(address, Http)?)
}

struct Http;

impl Service for Http {
    fn append(&self, _: u64, token: &str) -> Vec<u8> {
        http::request("POST", PATH, token.as_bytes())
    }

    fn appended(&self, came: &[u8]) -> Result<Option<Answer>, Error> {
        let Some(http::Answer { status, body, bytes }) = http::answer(came)? else {
            return Ok(None);
        };
        let length = std::str::from_utf8(body).ok().and_then(|text| text.trim_end().parse().ok());
        match (status, length) {
            (200, Some(length)) => Ok(Some(Answer { length, bytes })),
            _ => Err(Error::answer("a length", &came[..bytes])),
        }
    }

    fn take_away(&self) -> Vec<u8> {
        http::request("DELETE", PATH, b"")
    }

    fn taken_away(&self, came: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match http::answer(came)? {
            None => Ok(None),
            Some(answer) if answer.status == 200 => Ok(Some(answer.body.to_vec())),
            Some(http::Answer { bytes, .. }) => Err(Error::answer("a value", &came[..bytes])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_an_answer_and_an_error_is_none() {
        let good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n27";
        let answer = Answer { length: 27, bytes: good.len() };
        assert_eq!(Http.appended(good).expect("an answer"), Some(answer));
        let bad = b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n27";
        assert!(Http.appended(bad).is_err());
        assert!(Http.taken_away(bad).is_err());
    }
}
