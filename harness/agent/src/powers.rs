//! What the host may ask for: one file a power.

mod capture;
mod checkpoint;
mod exec;
mod get;
mod handover;
mod identity;
mod list;
mod panic;
mod policy;
mod prepare;
mod put;
mod ready;
mod recover;
mod remove;
mod restore;
mod run;
pub(crate) mod shutdown;
mod start;
mod stop;

use std::time::Duration;

use model::message::{OUTPUT_BYTES, Reply, Request};

use crate::child::Order;
use crate::output::{Output, Stream};
use crate::serve::Call;

/// Carries out a request.
pub(crate) fn carry_out(call: &Call<'_>, request: Request) -> anyhow::Result<Reply> {
    match request {
        Request::Ping => Ok(Reply::Done),
        Request::Put { path, mode, bytes } => put::put(call, &path, mode, bytes),
        Request::Get { path } => get::get(call, &path),
        Request::List { path } => list::list(&path),
        Request::Run { place, command, env, deadline_ms } => {
            run::run(call, place, command, env, Duration::from_millis(deadline_ms))
        }
        Request::LoadPolicy { policy } => policy::load(&policy),
        Request::Start { pod } => start::start(call, pod),
        Request::AwaitReady { pod, container, ready, deadline_ms } => {
            let container = call.node.pods.container(&pod, &container)?;
            ready::await_ready(call, &container, &ready, Duration::from_millis(deadline_ms))
        }
        Request::Checkpoint { pod, archive, afterwards, deadline_ms } => {
            checkpoint::checkpoint(call, &pod, archive, afterwards, deadline_ms)
        }
        Request::PreDump { pod, archive, deadline_ms } => {
            checkpoint::pre_dump(call, pod, archive, deadline_ms)
        }
        Request::RestoreLazily { archive, from, deadline_ms } => {
            restore::restore_lazily(call, archive, from, deadline_ms)
        }
        Request::Restore { archive, destination, deadline_ms } => {
            restore::restore(call, archive, destination, deadline_ms)
        }
        Request::Remove { pod } => remove::remove(call, pod),
        Request::WaitAt { mark } => {
            call.node.engines.wait_at(mark);
            Ok(Reply::Done)
        }
        Request::Recover { archives } => recover::recover(call, archives),
        Request::HandOver { side, deadline_ms } => handover::hand_over(call, side, deadline_ms),
        Request::Capture { pod } => capture::capture(call, Order::Capture { pod }),
        Request::Images { pod, of } => capture::capture(call, Order::Images { pod, of }),
        Request::Analyse { archive, against, wanted } => {
            capture::capture(call, Order::Analyse { archive, against, wanted })
        }
        Request::Pages { pod, wanted } => capture::capture(call, Order::Pages { pod, wanted }),
        Request::Stop { pod, container, signal, deadline_ms } => {
            let container = call.node.pods.container(&pod, &container)?;
            stop::stop(call, &container, signal, Duration::from_millis(deadline_ms))
        }
        Request::Prepare => prepare::prepare(call),
        Request::Become { identity } => identity::become_node(&identity),
        Request::Exec { command, env, terminal } => exec::exec(call, &command, &env, terminal),
        Request::Shutdown { .. } => shutdown::prepare(call),
        Request::Panic => panic::panic(),
    }
}

/// The answer for a program that ended.
fn exited(code: i32, output: Option<&Output>) -> Reply {
    let last = |stream| output.map(|output| output.last(stream, OUTPUT_BYTES)).unwrap_or_default();
    Reply::Exited { code, stdout: last(Stream::Stdout), stderr: last(Stream::Stderr) }
}
