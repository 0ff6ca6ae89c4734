//! Being ready to be forked.
//!
//! What a fork finds done it need not do again: programs in the page cache are memory that all
//! forks share, and each start of one that is not there takes a fork's time and memory.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use fs_err as fs;
use model::message::Reply;
use nix::unistd::sync;

use super::identity;
use crate::child::Order;
use crate::command::command;
use crate::node::Node;
use crate::serve::Call;
use crate::{boot, kmsg};

/// How long the engine may say nothing: longer than it lets CRIU take.
const SILENCE: Duration = Duration::from_secs(80);

/// How long the programs that are started once may take, all together.
const PROGRAMS: Duration = Duration::from_secs(60);

/// Starts what the engine, hooks and people start first.
const SCRIPT: &str = "ip -Version; nft --version; cat /dev/null; ls /";

/// Where CRIU and its libraries are.
const CRIU: &str = "/criu";

/// Waits until all that loads in the background is there, does once what every fork would have to
/// do for itself, and writes what is to be written.
pub(super) fn prepare(call: &Call<'_>) -> anyhow::Result<Reply> {
    let node = call.node;
    node.await_modules()?;
    // What cannot be warmed is slower in forks, and no more than that.
    let warmed = [warm_programs(node), read_all(Path::new(CRIU)), warm_criu(node)];
    for error in warmed.into_iter().filter_map(Result::err) {
        kmsg::info(&format!("not warm: {error:#}"));
    }
    boot::find_data();
    identity::make_room()?;
    node.engines.refill();
    sync();
    Ok(Reply::Done)
}

fn warm_programs(node: &Node) -> anyhow::Result<()> {
    let mut shell = command("sh");
    shell.args(["-c", SCRIPT]).stdout(Stdio::null()).stderr(Stdio::null());
    let (_, exit) = node.reaper.spawn(&mut shell).context("cannot start a shell")?;
    let ended = node.bell.until(PROGRAMS, PROGRAMS, || exit.code());
    ended.map(drop).with_context(|| format!("`{SCRIPT}` still runs after {PROGRAMS:?}"))
}

fn read_all(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read_all(&entry.path())?;
        } else if kind.is_file() {
            io::copy(&mut fs::File::open(entry.path())?, &mut io::sink())?;
        }
    }
    Ok(())
}

/// Lets CRIU look at the kernel: it keeps what it found in `/run/criu.kdat`.
fn warm_criu(node: &Node) -> anyhow::Result<()> {
    node.engines
        .begin(Order::Features, SILENCE)?
        .finish(|_, message| anyhow::bail!("the engine said {message:?}"))
        .map(drop)
}
