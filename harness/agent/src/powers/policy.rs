//! Loading policies of AppArmor.

use std::fs::OpenOptions;
use std::io::Write;

use anyhow::{Context, ensure};
use model::message::Reply;

/// The kernel takes whole policies here, those that it has already too.
const REPLACE: &str = "/sys/kernel/security/apparmor/.replace";

/// Loads policies, by the one write that the kernel wants.
pub(super) fn load(policy: &[u8]) -> anyhow::Result<Reply> {
    let opened = OpenOptions::new().write(true).open(REPLACE);
    let mut file = opened.with_context(|| format!("cannot open {REPLACE}: is AppArmor on?"))?;
    let written = file.write(policy).context("the kernel refuses the AppArmor policy")?;
    ensure!(written == policy.len(), "the kernel took {written} of {} bytes", policy.len());
    Ok(Reply::Done)
}
