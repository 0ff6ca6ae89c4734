//! The names of the pod.

use nix::sys::utsname::uname;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::read;

/// Names in the UTS namespace of the calling thread.
pub(crate) fn pod(facts: &mut Facts) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let names = uname().map_err(|errno| Error::call("uname", "the pod", errno))?;
    for (word, name) in [("hostname", names.nodename()), ("domainname", names.domainname())] {
        facts.put(format!("pod.uts.{word}"), read::one_line(name.as_bytes()));
    }
    Ok(())
}
