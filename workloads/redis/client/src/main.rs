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
mod lost;
mod server;
mod watch;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use redis::Connection;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("redis-client: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Does what the arguments say, and returns how many things were lost.
fn run(arguments: &[String]) -> Result<usize> {
    let [verb, address] = arguments else {
        bail!("usage: redis-client fill|check|watch ADDRESS:PORT");
    };
    if verb == "watch" {
        return watch::watch(address).map(|()| 0);
    }
    let mut connection = connect(address)?;
    match verb.as_str() {
        "fill" => {
            let keys = fill::fill(&mut connection)?;
            say(&format!("filled: {keys} keys"))?;
            Ok(0)
        }
        "check" => {
            let lost = check::check(&mut connection)?;
            for line in lost.lines() {
                say(&line)?;
            }
            Ok(lost.count())
        }
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

fn say(line: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{line}")
}
