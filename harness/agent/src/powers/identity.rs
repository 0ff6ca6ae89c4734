//! Becoming one node: what makes this machine different from every other fork of its template.

mod cards;
mod names;

pub(super) use names::make_room;

use anyhow::Context;
use fs_err as fs;
use model::message::{Identity, Reply};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

use crate::{boot, sys};

/// Drawn by the kernel when it is read for the first time. Nothing may read it before: forks of a
/// template that has read it have all the same.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Becomes this node. The clock comes first, since files get its time; what is random comes before
/// all that the kernel draws, such as addresses and the boot's own number.
pub(super) fn become_node(identity: &Identity) -> anyhow::Result<Reply> {
    set_clock(identity.clock_ns)?;
    reseed(&identity.entropy)?;
    names::take(identity)?;
    cards::take(&identity.cards)?;
    boot::mount_data()?;
    Ok(Reply::Became { boot_id: fs::read_to_string(BOOT_ID)?.trim().to_owned() })
}

fn set_clock(clock_ns: Option<u64>) -> anyhow::Result<()> {
    let Some(now) = clock_ns else { return Ok(()) };
    let (seconds, rest) = (now / 1_000_000_000, now % 1_000_000_000);
    let time = TimeSpec::new(seconds.cast_signed(), rest.cast_signed());
    clock_settime(ClockId::CLOCK_REALTIME, time).context("cannot set the clock")
}

/// Kernels without a VM generation id (6.1) do not notice that they were forked, and others may
/// draw before they do.
fn reseed(entropy: &[u8]) -> anyhow::Result<()> {
    let random = fs::File::open("/dev/urandom")?;
    for piece in entropy.chunks(sys::ENTROPY_BYTES) {
        sys::add_entropy(random.file(), piece).context("cannot add entropy")?;
    }
    sys::reseed(random.file()).context("cannot reseed the random numbers")
}
