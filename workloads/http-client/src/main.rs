//! A client of HTTP servers that stands outside the container.
//!
//! Of a server that keeps values, `http-client fill ADDRESS:PORT` writes some and what must stay as
//! it is about the server; `check` looks at all of it; `watch` keeps one connection, over which it
//! appends tokens. Such a server answers with `Content-Length`, keeps connections open, and knows
//!
//! | | |
//! |---|---|
//! | `POST /NAME` | appends the body to the value; the answer is its length now, in decimal |
//! | `GET /NAME` | the value; 404 when there is none |
//! | `DELETE /NAME` | the value, which is then gone |
//! | `GET /` | what the server says about itself, a line `same.WORD=...` or `grows.WORD=NUMBER` each: what must be the same after the event, and what must not be less and must go on growing |
//!
//! Of a server of files that can be put there, `put`, `compare` and `download` do the same; what
//! goes on over the one connection is the download of a large file, slowly.
//!
//! Like all witnesses it prints one line `lost: NAME: expected X, found Y` for each thing that is
//! not as it was, and as its last line `verdict: intact` or `verdict: N lost`; it ends with 0 or 1,
//! or with 2 when the server cannot be reached or was never filled.

mod content;
mod download;
mod facts;
mod files;
mod http;
mod values;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use observer::{Connection, Lost};

/// How long a read waits for bytes before it is known that there are none yet.
const TICK: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    observer::finish("http-client", run(&arguments))
}

/// Does what the arguments say; what was lost, if that was looked at.
fn run(arguments: &[String]) -> Result<Option<Lost>> {
    let [verb, address] = arguments else {
        bail!("usage: http-client fill|check|watch|put|compare|download ADDRESS:PORT");
    };
    match verb.as_str() {
        "fill" => values::fill(&mut Connection::to(address, TICK)?).map(|()| None),
        "check" => values::check(&mut Connection::to(address, TICK)?).map(Some),
        "watch" => Ok(watch::watch(address).map(|()| None)?),
        "put" => files::put(&mut Connection::to(address, TICK)?).map(|()| None),
        "compare" => files::compare(&mut Connection::to(address, TICK)?).map(Some),
        "download" => Ok(download::download(address).map(|()| None)?),
        other => {
            bail!("unknown command `{other}`: use fill, check, watch, put, compare or download")
        }
    }
}
