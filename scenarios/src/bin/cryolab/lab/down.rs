//! `lab down`: the end of a lab, or of what is left of one.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use nix::sys::signal::Signal;
use tokio::time::{interval, timeout};

use super::client::{Client, missing, unexpected, wait_for};
use super::home::{Found, Home};
use super::protocol::{Remains, Reply, Request};
use crate::print;
use crate::status::Exit;

/// How long a supervisor may take to take its lab down.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// Takes the lab down and says what it leaves.
pub(super) fn down(json: bool) -> Result<u8, Exit> {
    let home = Home::here();
    let remains = match home.find()? {
        Found::Lab(stream) => wait_for(ask(&home, stream))?,
        Found::Ruin(state) => {
            eprintln!("  the supervisor had died; what it left is cleared");
            home.clear(&state)?
        }
        none => return Err(missing(&none)),
    };
    if json {
        print(&(serde_json::to_string(&remains).context("remains as JSON")? + "\n"))?;
    } else {
        for file in &remains.pcap {
            print(&format!("{}\n", file.display()))?;
        }
        eprintln!("  {} taken down", remains.nodes.join(", "));
    }
    Ok(0)
}

async fn ask(home: &Home, stream: std::os::unix::net::UnixStream) -> Result<Remains, Exit> {
    let asked = async { Client::over(stream, Request::Down).await?.answer().await };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(Reply::Down(remains))) => Ok(remains),
        Ok(Ok(other)) => Err(unexpected(&other)),
        // Of another build, or in trouble: it knows this, whatever it understands.
        Ok(Err(_)) | Err(_) => order(home).await,
    }
}

/// Ends a supervisor by a signal, by force if it must be.
async fn order(home: &Home) -> Result<Remains, Exit> {
    let state = home.state()?;
    // Somebody else may have taken it down meanwhile.
    let supervisor = state.supervisor.ok_or_else(|| missing(&Found::Nothing))?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        supervisor.tell(signal);
        let mut look = interval(LOOK);
        let gone = async {
            while supervisor.lives() {
                look.tick().await;
            }
        };
        if timeout(PATIENCE, gone).await.is_ok() {
            return home.clear(&state);
        }
    }
    Err(Exit::lab(anyhow!("the supervisor does not end")))
}
