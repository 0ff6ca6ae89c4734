//! Policies of AppArmor, made on the host: no node needs the parser.

use std::path::Path;

use crate::host::{self, Purpose};
use crate::{Bars, Error, command};

/// Makes the binary policy of a profile, for a kernel whose features are told in a folder as that
/// kernel tells them. Without them the policy would be one for older kernels, which mediates less.
pub fn apparmor_policy(profile: &Path, features: &Path) -> Result<Vec<u8>, Error> {
    host::ensure_tools(Purpose::Confine, &Bars::default())?;
    let folder = tempfile::tempdir()?;
    let policy = folder.path().join("policy");
    let mut parser = command::tool(host::PARSER.0);
    // Neither the host's kernel nor its cache has anything to do with it.
    parser.args(["--skip-kernel-load", "--skip-cache", "--skip-read-cache", "--kernel-features"]);
    command::run(parser.arg(features).arg("--ofile").arg(&policy).arg(profile))?;
    Ok(fs_err::read(policy)?)
}
