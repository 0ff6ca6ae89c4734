//! `lab exec` and `lab enter`: a program on a node, as if it were here.

use std::io::{IsTerminal as _, stdin};

use anyhow::anyhow;

use super::client::{Client, wait_for};
use super::protocol::Request;
use super::session::{Ends, LEFT, Session, standard_input, standard_output};
use super::terminal::{self, Raw};
use crate::status::Exit;

/// Bash, as a person's root shell, where there is one.
const SHELL: [&str; 3] =
    ["/bin/sh", "-c", "cd; command -v bash >/dev/null && exec bash -l; exec sh -l"];

/// Runs a program; its exit code.
pub(crate) fn exec(node: &str, command: &[String], terminal: bool) -> Result<u8, Exit> {
    wait_for(run(node, command, terminal))
}

/// Gives the user a shell.
pub(crate) fn enter(node: &str) -> Result<u8, Exit> {
    if !stdin().is_terminal() {
        let words = "standard input is not a terminal; `cargo xtask lab exec NODE -- COMMAND` \
                     needs none";
        return Err(Exit::usage(anyhow!(words)));
    }
    exec(node, &SHELL.map(str::to_owned), true)
}

async fn run(node: &str, command: &[String], terminal: bool) -> Result<u8, Exit> {
    let request = Request::Exec {
        node: node.to_owned(),
        command: command.to_vec(),
        env: environment(terminal),
        terminal: terminal.then(terminal::size),
    };
    let client = Client::connect(request).await?;
    let (output, writer) = standard_output();
    let raw = if terminal { Raw::take()? } else { None };
    let ends = Ends { input: standard_input(), output };
    let done = Session::new(client, ends, raw.is_some())?.end().await;
    // All that came is to be seen before the terminal is as it was. A writer that has failed has
    // nothing to write to.
    let _ = writer.join();
    let was_raw = raw.map(drop).is_some();
    if was_raw && matches!(done, Ok(LEFT)) {
        eprintln!("\nleft; the program on {node} is ended");
    }
    Ok(u8::try_from(done?).unwrap_or(u8::MAX))
}

/// What a program must know of the user's terminal.
fn environment(terminal: bool) -> Vec<(String, String)> {
    let of_terminal = ["TERM", "COLORTERM"].into_iter().filter(|_| terminal);
    let set = of_terminal.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    let base = [("HOME".to_owned(), "/root".to_owned())];
    base.into_iter().chain(set).collect()
}
