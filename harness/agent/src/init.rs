//! The agent as PID 1.

use std::convert::Infallible;
use std::process::ExitCode;
use std::sync::Arc;

use model::message::ToHost;

use crate::boot;
use crate::child::Engines;
use crate::node::{self, Node};
use crate::outbox::Outbox;
use crate::reaper::Reaper;
use crate::serve::serve;
use crate::sync::Bell;
use crate::{kmsg, port};

/// Boots and serves.
///
/// It returns only when the node is of no use: the kernel panics then, and the host finds the
/// reason as the last line before it on the console.
pub(crate) fn main() -> ExitCode {
    let Err(error) = run();
    kmsg::error(&format!("fatal: {error:#}"));
    ExitCode::FAILURE
}

fn run() -> anyhow::Result<Infallible> {
    boot::boot()?;
    let bell = Arc::new(Bell::default());
    let reaper = Reaper::start(Arc::clone(&bell))?;
    let engines = Engines::new(Arc::clone(&reaper), Arc::clone(&bell));
    let hello = node::hello(&engines)?;
    let port = port::open()?;
    let outbox = Outbox::open(port.try_clone()?)?;
    boot::step("serving");
    outbox.send(ToHost::Hello(hello.clone()));
    let node = Node::new(reaper, bell, engines, outbox, hello);
    serve(&node, port)
}
