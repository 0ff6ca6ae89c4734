//! Leaving the machine in order.

use std::time::Duration;

use anyhow::{Context, ensure};
use model::message::{Reply, Shutdown};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, sync};

use crate::kmsg;
use crate::serve::Call;

/// What survives the shutdown.
const DATA: &str = "/data";

/// How long killed processes may take to be gone.
const DEATH: Duration = Duration::from_secs(20);

/// Kills what still runs, and writes everything to the disk.
pub(super) fn prepare(call: &Call<'_>) -> anyhow::Result<Reply> {
    call.node.engines.close();
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => return Err(error).context("cannot kill what still runs"),
    }
    let gone = call.node.reaper.await_idle(DEATH);
    ensure!(gone, "processes still run {DEATH:?} after SIGKILL");
    sync();
    match umount2(DATA, MntFlags::UMOUNT_NOFOLLOW) {
        // EINVAL: nothing is mounted there.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(Reply::Done),
        Err(error) => Err(error).with_context(|| format!("cannot unmount {DATA}")),
    }
}

/// Leaves. The disks are safe already.
pub(crate) fn leave(how: Shutdown) {
    kmsg::info("leaving");
    let mode = match how {
        Shutdown::Reboot => RebootMode::RB_AUTOBOOT,
        Shutdown::PowerOff => RebootMode::RB_POWER_OFF,
    };
    let Err(error) = reboot(mode);
    kmsg::error(&format!("cannot leave: {error}"));
}
