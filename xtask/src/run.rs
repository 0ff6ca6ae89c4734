//! Hands over to `cryolab`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::programs::{GUEST_PROGRAMS, Programs};

/// Builds everything and becomes `cryolab`, with all arguments as they are.
///
/// The process stays the same, so that signals reach it and its end is seen by whoever started it.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let programs = Programs::build()?;
    let error =
        Command::new(&programs.cryolab).args(arguments).env(GUEST_PROGRAMS, &programs.guest).exec();
    Err(error).with_context(|| format!("start {}", programs.cryolab.display()))
}
