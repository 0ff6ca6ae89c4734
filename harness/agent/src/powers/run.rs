//! Running a program to its end.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use model::message::{Place, Reply};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::exited;
use crate::child::Order;
use crate::command::command;
use crate::node::Node;
use crate::output::{Output, Stream};
use crate::reaper::Exit;
use crate::serve::Call;

/// What the engine needs beside the time that the program itself has.
const ENGINE_MARGIN: Duration = Duration::from_secs(15);

/// Bytes of output that an error quotes.
const QUOTED_BYTES: usize = 1000;

/// Runs a program on the node or in a container.
pub(super) fn run(
    call: &Call<'_>,
    place: Place,
    program: Vec<String>,
    env: BTreeMap<String, String>,
    deadline: Duration,
) -> anyhow::Result<Reply> {
    match place {
        Place::Node => on_node(call.node, &program, env, deadline),
        Place::Container { pod, container } => {
            let deadline_ms = deadline.as_millis().try_into().unwrap_or(u64::MAX);
            let order = Order::Exec { pod, container, command: program, env, deadline_ms };
            in_container(call.node, order, deadline + ENGINE_MARGIN)
        }
    }
}

fn on_node(
    node: &Node,
    program: &[String],
    env: BTreeMap<String, String>,
    deadline: Duration,
) -> anyhow::Result<Reply> {
    let [name, arguments @ ..] = program else { bail!("the command is empty") };
    let mut command = command(name);
    command.args(arguments).envs(env);
    let (exit, output) = start(node, &mut command).with_context(|| format!("cannot run {name}"))?;
    let code = node.bell.until(deadline, deadline, || exit.code());
    if code.is_none() {
        kill_group(&exit);
    }
    output.drain();
    output.abandon();
    let Some(code) = code else {
        let words = quote(&output);
        bail!("{} took longer than {deadline:?} and was killed{words}", program.join(" "))
    };
    Ok(exited(code, Some(&output)))
}

fn start(node: &Node, command: &mut Command) -> anyhow::Result<(Arc<Exit>, Arc<Output>)> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (mut child, exit) = node.reaper.spawn(command)?;
    let (stdout, stderr) = child.stdout.take().zip(child.stderr.take()).context("no pipes")?;
    let bell = Arc::clone(&node.bell);
    Ok((exit, Output::collect(stdout.into(), stderr.into(), false, bell)?))
}

fn kill_group(exit: &Exit) {
    // The group may have ended at this moment: then there is nothing to kill.
    let _ = killpg(Pid::from_raw(exit.pid()), Signal::SIGKILL);
}

/// The last words of a program, for an error about it.
pub(super) fn quote(output: &Output) -> String {
    let text = [Stream::Stdout, Stream::Stderr].map(|stream| output.text(stream, QUOTED_BYTES));
    match text.join("\n").trim() {
        "" => "; it wrote nothing".to_owned(),
        words => format!("; its last words: {words}"),
    }
}

fn in_container(node: &Node, order: Order, silence: Duration) -> anyhow::Result<Reply> {
    let mut operation = node.engines.begin(order, silence)?;
    operation.finish(|_, message| bail!("the engine said {message:?}"))
}
