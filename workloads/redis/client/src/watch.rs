//! Watches the service from outside: the tokens go into a key of their own, and the language is
//! Redis' own.

use observer::tokens::{Answer, Appending, Service};
use observer::{Error, observe};

/// The key that tokens are appended to.
const KEY: &str = "cryolab:watched";

/// Watches until the end of input; says what came of it.
pub(crate) fn watch(address: &str) -> Result<(), Error> {
    observe(Appending::to(address, Redis)?)
}

struct Redis;

impl Service for Redis {
    fn append(&self, _: u64, token: &str) -> Vec<u8> {
        command(&["APPEND", KEY, token])
    }

    /// The length of the key: `:27\r\n`.
    fn appended(&self, came: &[u8]) -> Result<Option<Answer>, Error> {
        let Some(end) = line(came) else { return Ok(None) };
        let length = came[..end].strip_prefix(b":").and_then(number);
        let length = length.ok_or_else(|| Error::answer("a length", &came[..end]))?;
        Ok(Some(Answer { length, bytes: end + 2 }))
    }

    fn take_away(&self) -> Vec<u8> {
        command(&["GETDEL", KEY])
    }

    /// A value in bulk: `$3\r\nabc\r\n`; `$-1\r\n` is nothing.
    fn taken_away(&self, came: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(end) = line(came) else { return Ok(None) };
        if &came[..end] == b"$-1" {
            return Ok(Some(Vec::new()));
        }
        let length: Option<usize> = came[..end].strip_prefix(b"$").and_then(number);
        let length = length.ok_or_else(|| Error::answer("a value", &came[..end]))?;
        let (from, to) = (end + 2, end.saturating_add(length).saturating_add(2));
        let is_whole = came.len() >= to.saturating_add(2);
        Ok(is_whole.then(|| came[from..to].to_vec()))
    }
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut message = format!("*{}\r\n", words.len());
    for word in words {
        message += &format!("${}\r\n{word}\r\n", word.len());
    }
    message.into_bytes()
}

/// Where the first line ends, if it does.
fn line(came: &[u8]) -> Option<usize> {
    came.windows(2).position(|pair| pair == b"\r\n")
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_taken_when_all_of_it_has_come() {
        let whole = b":27\r\n:36\r\n";
        for cut in 0..5 {
            assert_eq!(Redis.appended(&whole[..cut]).expect("a length"), None, "{cut}");
        }
        let answer = Some(Answer { length: 27, bytes: 5 });
        assert_eq!(Redis.appended(whole).expect("a length"), answer);
    }

    #[test]
    fn a_value_is_taken_when_all_of_it_has_come() {
        let whole = b"$4\r\na\r\nb\r\n";
        for cut in 0..whole.len() {
            assert_eq!(Redis.taken_away(&whole[..cut]).expect("a value"), None, "{cut}");
        }
        assert_eq!(Redis.taken_away(whole).expect("a value"), Some(b"a\r\nb".to_vec()));
        assert_eq!(Redis.taken_away(b"$-1\r\n").expect("nothing"), Some(Vec::new()));
    }

    #[test]
    fn an_error_of_the_service_is_told() {
        let error = Redis.appended(b"-OOM no memory\r\n").expect_err("an error");
        assert_eq!(error.to_string(), "`-OOM no memory` instead of a length");
    }
}
