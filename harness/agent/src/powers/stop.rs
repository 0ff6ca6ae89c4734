//! Stopping a container.

use std::time::Duration;

use anyhow::{Context, bail};
use model::message::Reply;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::exited;
use crate::pods::Container;
use crate::serve::Call;

/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(30);

/// Sends a signal to a container's pid 1 and waits for its end.
pub(super) fn stop(
    call: &Call<'_>,
    container: &Container,
    signal: i32,
    deadline: Duration,
) -> anyhow::Result<Reply> {
    let signal = Signal::try_from(signal).with_context(|| format!("signal {signal}"))?;
    send(container, signal)?;
    let await_end = |limit| call.node.bell.until(limit, limit, || container.exit.code());
    let mut code = await_end(deadline);
    if code.is_none() {
        send(container, Signal::SIGKILL)?;
        code = await_end(DEATH);
    }
    let Some(code) = code else {
        bail!("process {} still runs {DEATH:?} after SIGKILL", container.exit.pid())
    };
    let output = container.streams.as_ref().map(|streams| &*streams.output);
    output.into_iter().for_each(crate::output::Output::drain);
    Ok(exited(code, output))
}

fn send(container: &Container, signal: Signal) -> anyhow::Result<()> {
    let pid = container.exit.pid();
    if container.exit.code().is_some() {
        return Ok(());
    }
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot send {signal} to {pid}")),
    }
}
