//! From the kernel's first process to a node that can serve: in the order of the calls below.

mod cgroups;
mod command_line;
mod disks;
mod kernel_modules;
mod mounts;
mod root;
mod uevents;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use fs_err as fs;

use crate::rtnetlink::{LOOPBACK, Rtnetlink};
use crate::{clock, kmsg};
use command_line::Options;
pub(crate) use mounts::{data as mount_data, find_data};
pub(crate) use uevents::Uevents;

/// How long disks and the host's port may take to appear.
pub(crate) const DEVICE_DEADLINE: Duration = Duration::from_secs(30);

/// Boots: afterwards the node's root is the root of the mount namespace, and all that is needed
/// at once is mounted.
pub(crate) fn boot() -> anyhow::Result<()> {
    mounts::kernel_filesystems()?;
    open_the_log();
    step("running");
    let options = Options::parse(&fs::read_to_string("/proc/cmdline")?);
    let count = kernel_modules::load_all(Path::new("/modules"));
    step(&format!("{count} modules loaded"));
    let disks = disks::wait_for(&options.disks, DEVICE_DEADLINE)?;
    root::enter(disk(&disks, "root")?)?;
    step("root entered");
    mounts::node_filesystems()?;
    mounts::disks(&disks)?;
    settle(&options);
    step("settled");
    Ok(())
}

fn disk<'a>(disks: &'a BTreeMap<String, PathBuf>, serial: &str) -> anyhow::Result<&'a Path> {
    disks.get(serial).map(PathBuf::as_path).with_context(|| format!("no disk `{serial}`"))
}

/// Tells how far the boot is, with the time since the kernel started.
pub(crate) fn step(text: &str) {
    let now = clock::monotonic_ns() / 1_000_000;
    kmsg::info(&format!("boot: {text} at {now} ms"));
}

/// Lets the agent's lines and the kernel's own reach the console, however many there are.
fn open_the_log() {
    write_setting("/proc/sys/kernel/printk_devkmsg", "on\n");
    write_setting("/proc/sys/kernel/printk", "7");
}

/// Small settings; none of them is worth a failed boot, and each failure is told.
fn settle(options: &Options) {
    if let Err(error) = nix::unistd::sethostname(&options.hostname) {
        kmsg::error(&format!("cannot set the hostname {}: {error}", options.hostname));
    }
    if let Err(error) = Rtnetlink::open().and_then(|kernel| kernel.bring_up(LOOPBACK, None)) {
        kmsg::error(&format!("cannot bring lo up: {error}"));
    }
    cgroups::enable_controllers(Path::new("/sys/fs/cgroup"));
    write_setting("/proc/sys/kernel/core_pattern", "/tmp/core.%e.%p");
    write_setting("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
}

fn write_setting(path: &str, value: &str) {
    if let Err(error) = fs::write(path, value) {
        kmsg::error(&error.to_string());
    }
}
