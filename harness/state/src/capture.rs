//! A capture from beginning to end.

use model::Capture;
use model::pod::PodStatus;
use nix::time::ClockId;

use crate::error::Result;
use crate::facts::Facts;
use crate::memory;
use crate::observed::Observed;
use crate::pod::Pod;
use crate::source::{self, clock};

/// Format of the captures that this room makes.
pub(crate) const SCHEMA: u32 = 2;

/// Observes a pod, which ought to be frozen, as root on its node. Nothing in the pod is changed.
///
/// # Errors
/// When something that the kernel must show cannot be read: a capture never leaves out in silence.
pub fn observe(status: &PodStatus) -> Result<Observed> {
    let began_ns = now_ns()?;
    let pod = Pod::find(status)?;
    let mut facts = Facts::default();
    let rseq = source::all(&pod, &mut facts)?;
    let memory = memory::read(&pod, &rseq, &mut facts)?;
    let Facts { facts, not_offered } = facts;
    Ok(Observed { schema: SCHEMA, began_ns, ended_ns: now_ns()?, facts, not_offered, memory })
}

/// Observes a pod where it is judged, too: see [`observe`].
///
/// # Errors
/// As there.
pub fn capture(status: &PodStatus) -> Result<Capture> {
    observe(status).map(Observed::into_capture)
}

fn now_ns() -> Result<u64> {
    clock::now_ns(ClockId::CLOCK_MONOTONIC).map(i64::cast_unsigned)
}
