//! Fills a server that keeps values, and checks it after the event.

use std::time::Instant;

use anyhow::{Result, ensure};
use observer::{Connection, Lost, PATIENCE};

use crate::content::{self, Content};
use crate::facts::{self, Facts};
use crate::http;

/// How many values there are.
const VALUES: u64 = 64;

/// Where what must stay about the server is remembered.
const REMEMBERED: &str = "/remembered";

/// A value that grows in several parts to a length of its own.
struct Value(u64);

impl Value {
    fn all() -> impl Iterator<Item = Value> {
        (0..VALUES).map(Value)
    }

    fn path(&self) -> String {
        format!("/value-{:03}", self.0)
    }

    fn bytes(&self) -> Vec<u8> {
        let length = 1 + usize::try_from(self.0 * self.0 * 5).unwrap_or(usize::MAX);
        Content { seed: 1 + self.0, length }.bytes()
    }
}

/// Writes all values, and what must stay.
pub(crate) fn fill(connection: &mut Connection) -> Result<()> {
    for value in Value::all() {
        let (path, bytes) = (value.path(), value.bytes());
        let mut written = 0;
        for part in bytes.chunks(bytes.len().div_ceil(3)) {
            written += part.len();
            let length = append(connection, &path, part)?;
            ensure!(length == written.to_string(), "POST {path}: length {length}, not {written}");
        }
    }
    let facts = get(connection, "/")?;
    ensure!(!facts::parse(&facts).is_empty(), "GET / tells nothing about the server");
    append(connection, REMEMBERED, &facts)?;
    Ok(())
}

/// Compares everything with what was written, and goes on working.
pub(crate) fn check(connection: &mut Connection) -> Result<Lost> {
    let remembered = facts::parse(&get(connection, REMEMBERED)?);
    ensure!(!remembered.is_empty(), "there is no {REMEMBERED}: the server was never filled");
    let mut lost = Lost::default();
    let now = facts::parse(&get(connection, "/")?);
    facts::compare(&mut lost, &remembered, &now);
    for value in Value::all() {
        let path = value.path();
        let (_, found) = http::ask(connection, "GET", &path, b"")?;
        content::compare(&mut lost, &path[1..], &value.bytes(), &found);
    }
    go_on(connection, &mut lost)?;
    grow(connection, &now, &mut lost)?;
    Ok(lost)
}

/// Values can still be made, appended to, and removed.
fn go_on(connection: &mut Connection, lost: &mut Lost) -> Result<()> {
    let path = "/after";
    for length in ["4", "8"] {
        lost.equal("append", length, append(connection, path, b"more")?.as_str());
    }
    let (_, removed) = http::ask(connection, "DELETE", path, b"")?;
    content::compare(lost, "removed", b"moremore", &removed);
    let (status, _) = http::ask(connection, "GET", path, b"")?;
    lost.equal("status of what was removed", &404, &status);
    Ok(())
}

/// Whatever goes on by itself does so: timers, threads, other processes.
fn grow(connection: &mut Connection, before: &Facts, lost: &mut Lost) -> Result<()> {
    let began = Instant::now();
    loop {
        let now = facts::parse(&get(connection, "/")?);
        let still = facts::stand_still(before, &now);
        if still.is_empty() {
            return Ok(());
        }
        if began.elapsed() > PATIENCE / 2 {
            for name in still {
                let found = now.get(name);
                lost.holds(&facts::named(name), false, "a number that grows", found);
            }
            return Ok(());
        }
    }
}

fn get(connection: &mut Connection, path: &str) -> Result<Vec<u8>> {
    let (status, body) = http::ask(connection, "GET", path, b"")?;
    ensure!(status == 200, "GET {path}: status {status}");
    Ok(body)
}

/// Appends; the length now, as the server tells it.
fn append(connection: &mut Connection, path: &str, bytes: &[u8]) -> Result<String> {
    let (status, body) = http::ask(connection, "POST", path, bytes)?;
    let said = String::from_utf8_lossy(&body).trim_end().to_owned();
    ensure!(status == 200, "POST {path}: status {status}: {said}");
    Ok(said)
}
