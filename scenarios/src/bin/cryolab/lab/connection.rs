//! Messages over the lab's socket, on both of its ends.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::marker::PhantomData;

use anyhow::Context as _;
use model::frame::{Decoder, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Most bytes of a stream in one message.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

/// What comes in.
#[derive(Debug)]
pub(crate) struct Incoming<M> {
    reader: OwnedReadHalf,
    decoder: Decoder,
    complete: VecDeque<M>,
    buffer: Vec<u8>,
}

/// What goes out.
#[derive(Debug)]
pub(crate) struct Outgoing<M> {
    writer: OwnedWriteHalf,
    of: PhantomData<fn(M)>,
}

/// The two directions of a connection.
pub(crate) fn split<I, O>(stream: UnixStream) -> (Incoming<I>, Outgoing<O>) {
    let (reader, writer) = stream.into_split();
    let (decoder, complete) = (Decoder::default(), VecDeque::new());
    let incoming = Incoming { reader, decoder, complete, buffer: vec![0; READ_BYTES] };
    (incoming, Outgoing { writer, of: PhantomData })
}

impl<M: DeserializeOwned> Incoming<M> {
    /// The next message, or nothing when the other end is gone. May be dropped and asked again.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<M>> {
        loop {
            if let Some(message) = self.complete.pop_front() {
                return Ok(Some(message));
            }
            let count = match self.reader.read(&mut self.buffer).await {
                // It was killed before it had read what was sent to it.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
                read => read.context("read from the lab")?,
            };
            if count == 0 {
                return Ok(None);
            }
            for message in self.decoder.push(&self.buffer[..count]) {
                self.complete.push_back(message.context("the other end talks rubbish")?);
            }
        }
    }
}

impl<M: Serialize> Outgoing<M> {
    /// Sends a message; waits for as long as the other end does not read.
    pub(crate) async fn send(&mut self, message: &M) -> anyhow::Result<()> {
        let frame = encode(message)?;
        self.writer.write_all(&frame).await.context("write to the lab")
    }
}
