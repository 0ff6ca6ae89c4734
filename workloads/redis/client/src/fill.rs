//! Fills an empty database, and remembers in it what must stay.

use anyhow::{Context, Result, ensure};
use redis::Connection;

use crate::dataset::{Key, REMEMBERED};
use crate::server;

/// Keys that go into one round trip.
const BATCH: usize = 250;

/// Name under which the time of filling is remembered.
pub(crate) const FILLED: &str = "filled_ms";

/// Name under which the number of keys is remembered.
pub(crate) const SIZE: &str = "size";

/// Writes all keys; how many there are now.
pub(crate) fn fill(connection: &mut Connection) -> Result<u64> {
    let before = server::size(connection)?;
    ensure!(before == 0, "the database holds {before} keys already");
    let filled_ms = server::now_ms(connection)?;
    let keys: Vec<Key> = Key::all().collect();
    for batch in keys.chunks(BATCH) {
        write(connection, batch, filled_ms)
            .with_context(|| format!("write the keys from {} on", batch[0].name()))?;
    }
    remember(connection, filled_ms)?;
    server::size(connection)
}

fn write(connection: &mut Connection, keys: &[Key], filled_ms: u64) -> Result<()> {
    let mut pipe = redis::pipe();
    for key in keys {
        for command in key.write() {
            pipe.add_command(command).ignore();
        }
        if let Some(at) = key.expires_ms(filled_ms) {
            pipe.cmd("PEXPIREAT").arg(key.name()).arg(at).ignore();
        }
    }
    Ok(pipe.query(connection)?)
}

fn remember(connection: &mut Connection, filled_ms: u64) -> Result<()> {
    let mut facts = server::same(connection)?;
    facts.insert(FILLED.to_owned(), filled_ms.to_string());
    facts.insert(SIZE.to_owned(), (server::size(connection)? + 1).to_string());
    let processed = server::info(connection)?.remove(server::COMMANDS).unwrap_or_default();
    facts.insert(server::COMMANDS.to_owned(), processed);
    let mut command = redis::cmd("HSET");
    command.arg(REMEMBERED);
    for (name, value) in &facts {
        command.arg(name).arg(value);
    }
    command.query(connection).context("remember what must stay")
}
