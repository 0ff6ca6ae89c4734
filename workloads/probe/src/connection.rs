//! A TCP connection on which numbers go round all the time.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Look, Seen};

/// How long an answer may take: longer than any checkpoint.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two numbers.
const PAUSE: Duration = Duration::from_millis(5);

/// A connection from the probe to itself.
#[derive(Debug)]
pub(crate) struct Connection {
    near: TcpStream,
    far: TcpStream,
    number: u64,
    worst: Duration,
    trouble: Option<String>,
}

impl Connection {
    pub(crate) fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let near = TcpStream::connect(listener.local_addr()?)?;
        let (far, _) = listener.accept()?;
        for end in [&near, &far] {
            end.set_nodelay(true)?;
            end.set_read_timeout(Some(PATIENCE))?;
        }
        Ok(Connection { near, far, number: 0, worst: Duration::ZERO, trouble: None })
    }

    /// Sends a number there and back.
    fn go_round(&mut self) -> io::Result<()> {
        let began = Instant::now();
        let mut bytes = self.number.to_le_bytes();
        self.near.write_all(&bytes)?;
        self.far.read_exact(&mut bytes)?;
        self.far.write_all(&bytes)?;
        self.near.read_exact(&mut bytes)?;
        self.worst = self.worst.max(began.elapsed());
        let back = u64::from_le_bytes(bytes);
        if back != self.number {
            return Err(io::Error::other(format!("sent {}, {back} came back", self.number)));
        }
        self.number += 1;
        Ok(())
    }
}

impl Look for Connection {
    fn look(&mut self) {
        if self.trouble.is_none() {
            self.trouble = self.go_round().err().map(|error| error.to_string());
        }
        thread::park_timeout(PAUSE);
    }

    fn seen(&self) -> Seen {
        let worst = self.worst.as_millis();
        let noticed =
            vec![("connection", format!("{worst} ms at worst for a byte there and back"))];
        let lost = self.trouble.clone().map(|trouble| ("connection", trouble));
        Seen { noticed, lost: lost.into_iter().collect() }
    }
}
