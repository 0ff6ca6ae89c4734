//! A raw connection to a service.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::{Error, PATIENCE};

/// A connection that can be made again.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    tick: Duration,
}

impl Connection {
    /// Connects; a read waits for `tick` at most.
    ///
    /// # Errors
    /// When nobody takes it.
    pub fn to(address: &str, tick: Duration) -> Result<Connection, Error> {
        let address = address.parse().map_err(|_| Error::Address(address.to_owned()))?;
        Ok(Connection { address, stream: connect(address, tick)?, tick })
    }

    /// Connects again: what is counted as a reset.
    ///
    /// # Errors
    /// When nobody takes it.
    pub fn again(&mut self) -> Result<(), Error> {
        self.stream = connect(self.address, self.tick)?;
        Ok(())
    }

    /// Sends all of it.
    ///
    /// # Errors
    /// When the connection is over, or nothing is taken for as long as a service may be silent.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// What has come within a tick, at most so many bytes.
    ///
    /// # Errors
    /// When the connection is over.
    pub fn receive(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes.truncate(count);
                Ok(bytes)
            }
            Err(error) if is_tick(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Sends a request, and takes what comes until `whole` makes an answer of it.
    ///
    /// # Errors
    /// When the connection is over, nothing comes for as long as a service may be silent, or
    /// `whole` refuses what came.
    pub fn ask<T>(
        &mut self,
        request: &[u8],
        mut whole: impl FnMut(&[u8]) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        self.send(request)?;
        let mut came = Vec::new();
        let mut silent = 0;
        loop {
            if let Some(answer) = whole(&came)? {
                return Ok(answer);
            }
            let more = self.receive(CHUNK)?;
            silent = if more.is_empty() { silent + 1 } else { 0 };
            if self.tick * silent > PATIENCE {
                return Err(io::Error::from(io::ErrorKind::TimedOut).into());
            }
            came.extend(more);
        }
    }
}

/// Bytes that are taken at once where it does not matter how many.
pub(crate) const CHUNK: usize = 64 << 10;

fn connect(address: SocketAddr, tick: Duration) -> Result<TcpStream, Error> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .map_err(|source| Error::Connect { address, source })?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(tick))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn is_tick(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
