//! Watches the server over one connection: the tokens are rows of a table.
//!
//! A transaction is open all along: each ends with some tokens, and its end begins the next one in
//! the same breath (`COMMIT AND CHAIN`). With every answer the server says that one is open. The
//! language is the server's own, version 3 of its protocol, with simple queries.

use observer::tokens::{Answer, Appending, Service};
use observer::{Connection, Error, observe};

/// Tokens in a transaction.
const TOGETHER: u64 = 25;

/// Version 3.0 of the protocol.
const PROTOCOL: i32 = 3 << 16;

/// Watches until the end of input; says what came of it.
pub(crate) fn watch(address: &str) -> Result<(), Error> {
    observe(Appending::to(address, Postgres)?)
}

struct Postgres;

impl Service for Postgres {
    fn greet(&self, connection: &mut Connection) -> Result<(), Error> {
        let mut startup = PROTOCOL.to_be_bytes().to_vec();
        startup.extend(b"user\0postgres\0database\0postgres\0application_name\0watch\0\0");
        connection.ask(&framed(&startup), said)?;
        connection.ask(&query("BEGIN"), said)?;
        Ok(())
    }

    fn append(&self, number: u64, token: &str) -> Vec<u8> {
        let insert = format!(
            "INSERT INTO watched SELECT coalesce(max(length), 0) + {}, '{token}' FROM watched \
             RETURNING length",
            token.len()
        );
        let is_last = number.is_multiple_of(TOGETHER);
        query(&if is_last { insert + "; COMMIT AND CHAIN" } else { insert })
    }

    fn appended(&self, came: &[u8]) -> Result<Option<Answer>, Error> {
        let Some(said) = said(came)? else { return Ok(None) };
        let length = std::str::from_utf8(&said.value).ok().and_then(|text| text.parse().ok());
        match length {
            Some(length) if said.is_open => Ok(Some(Answer { length, bytes: said.bytes })),
            _ => Err(Error::answer("a length in an open transaction", &came[..said.bytes])),
        }
    }

    fn take_away(&self) -> Vec<u8> {
        query(
            "SELECT string_agg(token, '' ORDER BY length) FROM watched; DELETE FROM watched; COMMIT",
        )
    }

    fn taken_away(&self, came: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(said(came)?.map(|said| said.value))
    }
}

/// All that the server says until it is ready for the next query.
struct Said {
    /// The first column of the last row.
    value: Vec<u8>,
    /// Whether a transaction is open, and has not failed.
    is_open: bool,
    /// Length of all of it.
    bytes: usize,
}

/// What has come, when it is whole: messages of a byte, a length and as much, the last one `Z`.
fn said(came: &[u8]) -> Result<Option<Said>, Error> {
    let (mut value, mut at) = (Vec::new(), 0);
    while let Some((kind, body)) = message(&came[at..]) {
        at += 5 + body.len();
        match kind {
            b'D' => value = column(body).to_vec(),
            b'E' => return Err(Error::answer("success", body)),
            b'Z' => return Ok(Some(Said { value, is_open: body == b"T", bytes: at })),
            _ => {}
        }
    }
    Ok(None)
}

/// The first message, if it is whole: its kind and what is in it.
fn message(came: &[u8]) -> Option<(u8, &[u8])> {
    let (kind, rest) = came.split_first()?;
    let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
    Some((*kind, rest.get(4..length.max(4))?))
}

/// The first column of a row; empty where it is null.
fn column(row: &[u8]) -> &[u8] {
    let length = row.get(2..).and_then(|rest| rest.first_chunk()).map(|it| i32::from_be_bytes(*it));
    let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    row.get(6..).and_then(|rest| rest.get(..length)).unwrap_or_default()
}

fn query(sql: &str) -> Vec<u8> {
    [b"Q", &framed(&[sql.as_bytes(), b"\0"].concat())[..]].concat()
}

/// A length, which counts itself, and as much.
fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: &str) -> Vec<u8> {
        let length = u32::try_from(value.len()).expect("short").to_be_bytes();
        [b"D", &framed(&[&[0, 1], &length[..], value.as_bytes()].concat())[..]].concat()
    }

    fn ready(state: &[u8]) -> Vec<u8> {
        [b"Z", &framed(state)[..]].concat()
    }

    #[test]
    fn a_length_is_an_answer_as_long_as_a_transaction_is_open() {
        let whole = [row("27"), ready(b"T")].concat();
        for cut in 0..whole.len() {
            assert_eq!(Postgres.appended(&whole[..cut]).expect("an answer"), None, "{cut}");
        }
        let answer = Answer { length: 27, bytes: whole.len() };
        let more = [whole, row("36")].concat();
        assert_eq!(Postgres.appended(&more).expect("an answer"), Some(answer));
        for state in [b"I", b"E"] {
            assert!(Postgres.appended(&[row("27"), ready(state)].concat()).is_err());
        }
    }

    #[test]
    fn an_error_of_the_server_is_told() {
        let refused = [b"E", &framed(b"SFATAL\0Mtoo many clients\0\0")[..]].concat();
        let error = Postgres.appended(&refused).expect_err("an error").to_string();
        assert!(error.contains("too many clients"), "{error}");
    }

    #[test]
    fn every_so_often_a_transaction_ends_and_begins_in_one_query() {
        let asked = |number| String::from_utf8(Postgres.append(number, "x")).expect("text");
        assert!(asked(TOGETHER).contains("COMMIT AND CHAIN"));
        assert!(!asked(TOGETHER + 1).contains("COMMIT"));
    }
}
