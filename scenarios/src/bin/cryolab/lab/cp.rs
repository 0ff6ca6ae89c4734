//! `lab cp`: files and folders to and from a node, as a tar stream through a program on the node.

mod fetch;
mod guard;
mod send;
mod stream;

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use model::message::Stream;
use tokio::sync::mpsc;

use super::client::{Client, wait_for};
use super::protocol::Request;
use super::session::{Ends, Session, Written};
use crate::status::Exit;

/// Pieces of a stream that may wait.
const WAITING: usize = 4;

/// Most bytes that are kept of what the program on the node complains about.
const COMPLAINT_BYTES: usize = 4096;

/// The exit code of a program that was interrupted: 128 + SIGINT.
const INTERRUPTED: i32 = 130;

/// Copies; one of the two is on a node.
pub(crate) fn copy(from: &str, to: &str) -> Result<u8, Exit> {
    wait_for(async {
        match (Place::parse(from), Place::parse(to)) {
            (Place::Here(from), Place::Node { node, path }) => {
                send::send(&from, &node, &path).await
            }
            (Place::Node { node, path }, Place::Here(to)) => fetch::fetch(&node, &path, &to).await,
            (Place::Here(_), Place::Here(_)) => Err(Exit::usage(anyhow!(
                "neither `{from}` nor `{to}` is on a node; write NODE:PATH for what is"
            ))),
            (Place::Node { .. }, Place::Node { .. }) => Err(Exit::usage(anyhow!(
                "`{from}` and `{to}` are both on nodes; copy to here first"
            ))),
        }
    })
    .map(|()| 0)
}

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// On this host.
    Here(PathBuf),
    /// On a node.
    Node { node: String, path: String },
}

impl Place {
    /// What has a colon before any slash is on a node, as scp(1) has it.
    fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some((node, path)) if !node.is_empty() && !node.contains(['/', '.']) => {
                // A relative path is below the folder in which a shell begins.
                let path = if path.is_empty() { "." } else { path };
                Place::Node { node: node.to_owned(), path: path.to_owned() }
            }
            _ => Place::Here(PathBuf::from(text)),
        }
    }
}

/// A program on a node, and this end of its streams.
struct Program {
    session: Session,
    input: mpsc::Sender<Vec<u8>>,
    output: mpsc::Receiver<Written>,
}

/// Starts `script` on a node, by its shell, with arguments.
async fn program(node: &str, script: &str, arguments: &[&str]) -> Result<Program, Exit> {
    let begin = ["/bin/sh", "-c", script, "lab-cp"];
    let request = Request::Exec {
        node: node.to_owned(),
        command: begin.iter().chain(arguments).map(|&word| word.to_owned()).collect(),
        env: vec![("HOME".to_owned(), "/root".to_owned())],
        terminal: None,
    };
    let client = Client::connect(request).await?;
    let (input, their_input) = mpsc::channel(WAITING);
    let (their_output, output) = mpsc::channel(WAITING);
    let ends = Ends { input: their_input, output: their_output };
    Ok(Program { session: Session::new(client, ends, false)?, input, output })
}

/// Runs a program that neither reads nor says much; its exit code and what it said.
async fn ask(node: &str, script: &str, arguments: &[&str]) -> Result<(i32, String), Exit> {
    let Program { session, input, mut output } = program(node, script, arguments).await?;
    drop(input);
    let listen = async {
        let mut complaint = Complaint::default();
        while let Some((_, bytes)) = output.recv().await {
            complaint.take(&bytes);
        }
        complaint.said()
    };
    let (code, said) = tokio::join!(session.end(), listen);
    Ok((code?, said))
}

/// What a program complains about.
#[derive(Debug, Default)]
struct Complaint(Vec<u8>);

impl Complaint {
    fn take(&mut self, bytes: &[u8]) {
        let room = COMPLAINT_BYTES.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.0).trim().replace('\n', "; ")
    }
}

/// The last part of a path, by which a copy of it is called.
fn last_name(path: &str) -> Option<&str> {
    Path::new(path).file_name()?.to_str()
}

/// What the end of a program on a node means.
fn check(node: &str, path: &str, code: i32, said: &str) -> Result<(), Exit> {
    match code {
        0 => Ok(()),
        // By tar's word: something has changed while it was read.
        1 => {
            eprintln!("  {node}:{path}: {said}");
            Ok(())
        }
        _ => Err(failed(node, path, code, said)),
    }
}

fn failed(node: &str, path: &str, code: i32, said: &str) -> Exit {
    let why = if said.is_empty() { format!("exit code {code}") } else { said.to_owned() };
    let error = anyhow!("{node}:{path}: {why}");
    if code == INTERRUPTED { Exit { code: 130, error } } else { Exit::lab(error) }
}

/// Whether this piece of output belongs to what is copied.
fn is_data(stream: Stream) -> bool {
    stream == Stream::Stdout
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_on_a_node_has_a_colon_before_any_slash() {
        let node = |path: &str| Place::Node { node: "a".to_owned(), path: path.to_owned() };
        assert_eq!(Place::parse("a:/etc/hosts"), node("/etc/hosts"));
        assert_eq!(Place::parse("a:"), node("."));
        for here in ["./a:b", "/x:y", "file", ":x", "../a:b"] {
            assert_eq!(Place::parse(here), Place::Here(PathBuf::from(here)));
        }
    }
}
