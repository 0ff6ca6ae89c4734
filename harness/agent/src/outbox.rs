//! What goes to the host: one thread writes, frame after frame.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use model::frame;
use model::message::{Failure, ToHost};

use crate::kmsg;

/// So many messages may wait; who has more to say waits with them.
const WAITING: usize = 16;

enum Item {
    Message(ToHost),
    Flush(std::sync::mpsc::Sender<()>),
}

/// Takes messages for the host from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    sender: SyncSender<Item>,
}

impl Outbox {
    /// Starts writing to the port.
    pub(crate) fn open(port: File) -> std::io::Result<Outbox> {
        let (sender, receiver) = sync_channel(WAITING);
        std::thread::Builder::new().name("outbox".into()).spawn(|| write_all(port, receiver))?;
        Ok(Outbox { sender })
    }

    /// Sends a message, in its turn.
    pub(crate) fn send(&self, message: ToHost) {
        // The writer ends only with the process.
        let _ = self.sender.send(Item::Message(message));
    }

    /// Returns when all that was sent before has been written.
    pub(crate) fn flush(&self) {
        let (done, flushed) = channel();
        let _ = self.sender.send(Item::Flush(done));
        let _ = flushed.recv();
    }
}

fn write_all(mut port: File, items: Receiver<Item>) {
    for item in items {
        match item {
            Item::Message(message) => {
                if let Err(error) = port.write_all(&encode(&message)) {
                    kmsg::error(&format!("a message to the host is lost: {error}"));
                }
            }
            Item::Flush(done) => drop(done.send(())),
        }
    }
}

/// A frame of the message; an answer that is too long for one becomes a failure that says so.
/// A zero byte before a greeting ends whatever half frame an earlier host was left with.
fn encode(message: &ToHost) -> Vec<u8> {
    let greeting = matches!(message, ToHost::Hello(_));
    let frame = frame::encode(message).unwrap_or_else(|error| {
        kmsg::error(&format!("a message to the host cannot be sent: {error}"));
        let ToHost::Done { id, .. } = message else { return Vec::new() };
        let outcome = Err(Failure::broken(format!("the answer cannot be sent: {error}")));
        frame::encode(&ToHost::Done { id: *id, outcome }).unwrap_or_default()
    });
    if greeting { [vec![0], frame].concat() } else { frame }
}

#[cfg(test)]
mod tests {
    use model::frame::Decoder;
    use model::message::Reply;

    use super::*;

    #[test]
    fn an_answer_too_long_for_a_frame_becomes_a_failure() {
        let names = vec!["x".repeat(1000); frame::MAX_FRAME_BYTES / 1000];
        let frame = encode(&ToHost::Done { id: 7, outcome: Ok(Reply::Names(names)) });
        match Decoder::default().push(&frame).as_slice() {
            [Ok(ToHost::Done { id: 7, outcome: Err(failure) })] => {
                assert!(failure.message.contains("frame longer than"), "{failure}");
            }
            other => panic!("{other:?}"),
        }
    }
}
