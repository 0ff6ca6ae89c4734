//! A raw connection to the service.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::PATIENCE;

/// A connection that can be made again.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    tick: Duration,
}

impl Connection {
    /// Connects; a read waits for `tick` at most.
    pub(crate) fn to(address: &str, tick: Duration) -> Result<Connection> {
        let address = address.parse().with_context(|| format!("`{address}` is no ADDRESS:PORT"))?;
        Ok(Connection { address, stream: connect(address, tick)?, tick })
    }

    /// Connects again.
    pub(crate) fn again(&mut self) -> Result<()> {
        self.stream = connect(self.address, self.tick)?;
        Ok(())
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, words: &[String]) -> io::Result<()> {
        let mut message = format!("*{}\r\n", words.len());
        for word in words {
            message += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.stream.write_all(message.as_bytes())
    }

    /// What has come within a tick; an error when the connection is over.
    pub(crate) fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(bytes[..count].to_vec()),
            Err(error) if is_tick(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Reads a text key and removes it, when no answer to another command is on its way.
    pub(crate) fn take_away(&mut self, key: &str) -> Result<Vec<u8>> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.send(&["GETDEL".to_owned(), key.to_owned()]).context("GETDEL")?;
        let mut answer = Vec::new();
        loop {
            answer.extend(self.receive().with_context(|| format!("the answer to GETDEL {key}"))?);
            if let Some(value) = bulk(&answer)? {
                return Ok(value);
            }
        }
    }
}

fn connect(address: SocketAddr, tick: Duration) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(tick))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn is_tick(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The value of a bulk answer (`$3\r\nabc\r\n`; `$-1\r\n` is nothing), when all of it is there.
fn bulk(answer: &[u8]) -> Result<Option<Vec<u8>>> {
    let Some(end) = answer.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let length = head.strip_prefix('$').and_then(|length| length.parse::<i64>().ok());
    match length {
        None => bail!("`{head}` instead of a value"),
        Some(..0) => Ok(Some(Vec::new())),
        Some(length) => {
            let (from, length) = (end + 2, usize::try_from(length)?);
            let whole = answer.len() >= from + length + 2;
            Ok(whole.then(|| answer[from..from + length].to_vec()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_when_all_of_it_has_come() {
        let whole = b"$4\r\na\r\nb\r\n";
        for cut in 0..whole.len() {
            assert_eq!(bulk(&whole[..cut]).expect("a value"), None, "{cut}");
        }
        assert_eq!(bulk(whole).expect("a value"), Some(b"a\r\nb".to_vec()));
        assert_eq!(bulk(b"$-1\r\n").expect("nothing"), Some(Vec::new()));
        let error = bulk(b"-ERR unknown command\r\n").expect_err("no value").to_string();
        assert!(error.contains("ERR unknown command"), "{error}");
    }
}
