//! Observing a frozen pod: by what the kernel shows, by its images, or some pages of it.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use anyhow::bail;
use model::message::{CHUNK_BYTES, Event, Reply};

use crate::child::{FromEngine, Order};
use crate::serve::Call;

/// How long a capture may take until something of it comes.
const DEADLINE: Duration = Duration::from_secs(300);

/// Sends what was seen in chunks.
pub(super) fn capture(call: &Call<'_>, order: Order) -> anyhow::Result<Reply> {
    let node = call.node;
    node.await_modules()?;
    let mut operation = node.engines.begin(order, DEADLINE)?;
    operation.finish(|engine, message| match message {
        FromEngine::Event(Event::Looked) => {
            call.send_event(Event::Looked);
            Ok(None)
        }
        FromEngine::Seen => {
            let mut seen = File::from(engine.take_file()?);
            send(call, &mut seen)?;
            Ok(None)
        }
        other => bail!("the engine said {other:?}"),
    })
}

fn send(call: &Call<'_>, seen: &mut File) -> anyhow::Result<()> {
    loop {
        let mut chunk = Vec::new();
        if seen.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)? == 0 {
            return Ok(());
        }
        call.send_chunk(chunk);
    }
}
