//! As many bytes as a wire takes: both ends of a TCP connection, for the bench of wires.
//!
//! The far end counts what has arrived and says so before the near end stops the clock, so that
//! nothing is measured that is only on its way.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::clock::monotonic_ns;

/// Bytes that are written, or read, at once.
const PIECE_BYTES: usize = 256 << 10;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    end: End,
}

#[derive(Debug, Subcommand)]
enum End {
    /// Listen in the background from now on, and take in all that comes.
    Listen {
        /// The TCP port.
        port: u16,
    },
    /// Take in what comes to the socket that is the standard input.
    #[command(hide = true)]
    Drain,
    /// Send for so long, and print how many bytes arrived within how many nanoseconds.
    Send {
        /// Where somebody listens.
        address: SocketAddr,
        /// For how long.
        milliseconds: u64,
    },
}

/// Plays one end.
pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.end {
        End::Listen { port } => listen(port),
        End::Drain => drain(),
        End::Send { address, milliseconds } => send(address, milliseconds),
    }
}

/// Returns once the port is open: whoever waits for that may connect.
fn listen(port: u16) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let listener = TcpListener::bind(address).with_context(|| format!("listen on {address}"))?;
    let mut drain = Command::new("/proc/self/exe");
    drain.args(["pump", "drain"]).stdin(OwnedFd::from(listener));
    drain.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    drain.spawn().context("start the background")?;
    Ok(())
}

/// Takes in one connection after the other, for as long as the node lives.
fn drain() -> anyhow::Result<()> {
    let socket = std::io::stdin().as_fd().try_clone_to_owned().context("the standard input")?;
    let listener = TcpListener::from(socket);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let (mut stream, _) = listener.accept().context("wait for a connection")?;
        // A peer that breaks off has nothing to be told.
        let _ = take_in(&mut stream, &mut piece);
    }
}

fn take_in(stream: &mut TcpStream, piece: &mut [u8]) -> std::io::Result<()> {
    let mut bytes = 0_u64;
    loop {
        match stream.read(piece) {
            Ok(0) => return stream.write_all(&bytes.to_le_bytes()),
            Ok(count) => bytes += count as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn send(address: SocketAddr, milliseconds: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connect {address}"))?;
    let piece = vec![0; PIECE_BYTES];
    let began = monotonic_ns();
    let end = began + milliseconds * 1_000_000;
    while monotonic_ns() < end {
        stream.write_all(&piece).with_context(|| format!("send to {address}"))?;
    }
    stream.shutdown(Shutdown::Write).context("end the stream")?;
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).with_context(|| format!("hear from {address}"))?;
    let took = monotonic_ns() - began;
    let said = format!("{} {took}\n", u64::from_le_bytes(bytes));
    std::io::stdout().write_all(said.as_bytes()).context("standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_end_says_how_much_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let far = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            take_in(&mut stream, &mut [0; 1000])
        });
        let mut near = TcpStream::connect(address).expect("it listens");
        near.write_all(&[7; 12_345]).expect("it takes them");
        near.shutdown(Shutdown::Write).expect("an end");
        let mut said = [0; 8];
        near.read_exact(&mut said).expect("an answer");
        far.join().expect("no panic").expect("it came to the end");
        assert_eq!(u64::from_le_bytes(said), 12_345);
    }
}
