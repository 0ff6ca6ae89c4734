//! Puts files onto a server of files, and compares them after the event.

use anyhow::{Context, Result, ensure};
use observer::{Connection, Lost};

use crate::content::{self, Content};
use crate::http;

/// The large file: so long that a slow download lasts for longer than any event.
pub(crate) const LARGE: File = File { number: 0, length: 8 << 20 };

/// How many small files there are.
pub(crate) const SMALL: usize = 16;

/// Where the server tells how many requests it has had, as its module `stub_status` does.
const STATUS: &str = "/status";

/// Where that number is remembered.
const REMEMBERED: &str = "/files/remembered";

/// A file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File {
    number: usize,
    length: usize,
}

impl File {
    /// A small one, of those from 1 to [`SMALL`].
    pub(crate) fn small(number: usize) -> File {
        File { number, length: 100 * number * number }
    }

    fn all() -> impl Iterator<Item = File> {
        (1..=SMALL).map(File::small).chain([LARGE])
    }

    /// Where the server has it.
    pub(crate) fn path(self) -> String {
        format!("/files/{:03}", self.number)
    }

    /// What is in it.
    pub(crate) fn content(self) -> Content {
        Content { seed: 1000 + self.number as u64, length: self.length }
    }
}

/// Puts all files there.
pub(crate) fn put(connection: &mut Connection) -> Result<()> {
    for file in File::all() {
        put_one(connection, &file.path(), &file.content().bytes())?;
    }
    let requests = requests(connection)?;
    put_one(connection, REMEMBERED, requests.to_string().as_bytes())
}

/// Compares all files with what was put there; the server that answers is still the same.
pub(crate) fn compare(connection: &mut Connection) -> Result<Lost> {
    let mut lost = Lost::default();
    let (status, remembered) = http::ask(connection, "GET", REMEMBERED, b"")?;
    ensure!(status == 200, "there is no {REMEMBERED}: the server was never filled");
    let remembered: u64 = String::from_utf8_lossy(&remembered).parse().context(REMEMBERED)?;
    let requests = requests(connection)?;
    let expected = format!("more than {remembered}");
    lost.holds("server.requests", requests > remembered, &expected, requests);
    for file in File::all() {
        let path = file.path();
        let (status, found) = http::ask(connection, "GET", &path, b"")?;
        lost.equal(&format!("{path}.status"), &200, &status);
        content::compare(&mut lost, &path, &file.content().bytes(), &found);
    }
    let path = "/files/after";
    put_one(connection, path, b"more")?;
    let (_, found) = http::ask(connection, "GET", path, b"")?;
    content::compare(&mut lost, path, b"more", &found);
    Ok(lost)
}

fn put_one(connection: &mut Connection, path: &str, bytes: &[u8]) -> Result<()> {
    let (status, _) = http::ask(connection, "PUT", path, bytes)?;
    ensure!(matches!(status, 201 | 204), "PUT {path}: status {status}");
    Ok(())
}

/// How many requests the server has had since it was started.
fn requests(connection: &mut Connection) -> Result<u64> {
    let (_, text) = http::ask(connection, "GET", STATUS, b"")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    // The third line: connections accepted and handled, and requests.
    let number = text.lines().nth(2).and_then(|line| line.split_whitespace().nth(2)?.parse().ok());
    number.with_context(|| format!("{STATUS} tells no requests: `{text}`"))
}
