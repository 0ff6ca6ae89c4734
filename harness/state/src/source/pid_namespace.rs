//! Sysctls of a container's pid namespace, which the kernel shows to its members only.

use std::ffi::CStr;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{io, thread};

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Container, Pod};
use crate::sys::numbered::{self, View};

const NS_LAST_PID: &CStr = c"/proc/sys/kernel/ns_last_pid";
const PID_MAX: &CStr = c"/proc/sys/kernel/pid_max";
const MEMFD_NOEXEC: &CStr = c"/proc/sys/vm/memfd_noexec";

/// Numbers that the member may bear: below the lowest `pid_max` that there can be.
const NUMBERS: std::ops::Range<i32> = 200..300;

pub(crate) fn container(_: &Pod<'_>, container: &Container<'_>, facts: &mut Facts) -> Result<()> {
    let path = format!("/proc/{}/ns/pid", container.status.pid);
    let failed = |error: io::Error| Error::call("clone3", &path, error);
    let namespace = File::open(&path).map_err(|error| Error::read(Path::new(&path), error))?;
    // Only children of this thread are born there; its end is the way back.
    let seen = thread::scope(|scope| scope.spawn(|| member_sees(&namespace)).join());
    let seen = seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(failed)?;
    let [last, most, noexec] = seen;
    let put = |word: &str, view: &View, facts: &mut Facts| -> Result<()> {
        let name = format!("{}pidns.{word}", container.prefix);
        match view.text() {
            Ok(text) => facts.put(name, text.trim_end()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                facts.not_offered(format!("pidns.{word}"), format!("this kernel has no {word}"));
            }
            Err(error) => return Err(Error::call("reading", name, error)),
        }
        Ok(())
    };
    put("ns_last_pid", &last, facts)?;
    put("memfd_noexec", &noexec, facts)?;
    let nodes = Path::new("/proc/sys/kernel/pid_max").metadata().map_err(failed)?.ino();
    if most.inode == nodes {
        facts.not_offered("pidns.pid_max", "of the whole node on this kernel");
        return Ok(());
    }
    put("pid_max", &most, facts)
}

fn member_sees(namespace: &File) -> io::Result<[View; 3]> {
    setns(namespace, CloneFlags::CLONE_NEWPID)?;
    for number in NUMBERS {
        match numbered::views(number, [NS_LAST_PID, PID_MAX, MEMFD_NOEXEC]) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            answered => return answered,
        }
    }
    Err(io::Error::other(format!("all of the pids {NUMBERS:?} are taken")))
}
