//! A client of Redis that stands outside the container.
//!
//! `redis-client fill ADDRESS:PORT` writes keys of every type into an empty database, and what
//! must stay as it is about the server. `redis-client check ADDRESS:PORT` looks at every key and at
//! the server, then goes on working with them. `redis-client watch ADDRESS:PORT` keeps one
//! connection and tells what befell it, see [`watch`]. Like all witnesses it prints one line
//! `lost: NAME: expected X, found Y` for each thing that is not as it was, and as its last line
//! `verdict: intact` or `verdict: N lost`; it ends with 0 or 1, or with 2 when the server cannot be
//! reached or was never filled.

mod check;
mod dataset;
mod fill;
mod server;
mod watch;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use observer::{Lost, PATIENCE};
use redis::Connection;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    observer::finish("redis-client", run(&arguments))
}

/// Does what the arguments say; what was lost, if that was looked at.
fn run(arguments: &[String]) -> Result<Option<Lost>> {
    let [verb, address] = arguments else {
        bail!("usage: redis-client fill|check|watch ADDRESS:PORT");
    };
    match verb.as_str() {
        "fill" => {
            let keys = fill::fill(&mut connect(address)?)?;
            writeln!(io::stdout().lock(), "filled: {keys} keys")?;
            Ok(None)
        }
        "check" => check::check(&mut connect(address)?).map(Some),
        "watch" => Ok(watch::watch(address).map(|()| None)?),
        other => bail!("unknown command `{other}`: use fill, check or watch"),
    }
}

fn connect(address: &str) -> Result<Connection> {
    let address: SocketAddr =
        address.parse().with_context(|| format!("`{address}` is no ADDRESS:PORT"))?;
    let connection = redis::Client::open(format!("redis://{address}/"))
        .and_then(|client| client.get_connection_with_timeout(PATIENCE))
        .with_context(|| format!("connect to {address}"))?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    Ok(connection)
}
