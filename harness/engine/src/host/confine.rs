//! Confining a process that is about to become a program: labels, users, capabilities, filters.

use std::collections::BTreeSet;
use std::io;
use std::str::FromStr;

use caps::{CapSet, Capability};
use model::pod::{Capabilities, Security};
use nix::unistd::{Gid, Uid};

use super::child::Doing;
use super::{Process, SpawnError, sys};

/// Capabilities that a container's programs may have when they are root: containerd's default set
/// without `CAP_MKNOD`, as no device controller stands between a container and a device node.
const CAPABILITIES: [(&str, u32); 13] = [
    ("CAP_CHOWN", 0),
    ("CAP_DAC_OVERRIDE", 1),
    ("CAP_FOWNER", 3),
    ("CAP_FSETID", 4),
    ("CAP_KILL", 5),
    ("CAP_SETGID", 6),
    ("CAP_SETUID", 7),
    ("CAP_SETPCAP", 8),
    ("CAP_NET_BIND_SERVICE", 10),
    ("CAP_NET_RAW", 13),
    ("CAP_SYS_CHROOT", 18),
    ("CAP_AUDIT_WRITE", 29),
    ("CAP_SETFCAP", 31),
];

/// Takes from this process what its program must not have. To be called last: afterwards it may not
/// be allowed much.
pub(super) fn confine(process: &Process) -> Result<(), SpawnError> {
    let Process { security, .. } = process;
    if let Some(profile) = &security.apparmor {
        label(profile).doing(&format!("be confined by AppArmor profile {profile}"))?;
    }
    // Without `no_new_privs`, only who is still privileged may install a filter.
    if !security.no_new_privs {
        filter(security)?;
    }
    match &security.capabilities {
        None => {
            let kept = CAPABILITIES.map(|(_, number)| number);
            bound(|number| kept.contains(&number))?;
            change_user(process)?;
        }
        Some(sets) => {
            let bounding = of(&sets.bounding)?;
            bound(|number| bounding.iter().any(|it| u32::from(it.index()) == number))?;
            nix::sys::prctl::set_keepcaps(true).doing("keep capabilities")?;
            change_user(process)?;
            set_capabilities(sets)?;
        }
    }
    if security.no_new_privs {
        nix::sys::prctl::set_no_new_privs().doing("set no_new_privs")?;
        filter(security)?;
    }
    Ok(())
}

/// Has the program run by a profile: what this process does until then is not confined by it.
fn label(profile: &str) -> io::Result<()> {
    fs_err::write("/proc/thread-self/attr/apparmor/exec", format!("exec {profile}"))
}

fn filter(security: &Security) -> Result<(), SpawnError> {
    security.seccomp.iter().try_for_each(|it| sys::install_filter(it).doing("install a filter"))
}

/// Limits what any program started later can have.
fn bound(kept: impl Fn(u32) -> bool) -> Result<(), SpawnError> {
    for capability in 0..u64::BITS {
        if !kept(capability) && !sys::drop_capability(capability).doing("drop a capability")? {
            break;
        }
    }
    Ok(())
}

fn change_user(process: &Process) -> Result<(), SpawnError> {
    let (uid, gid) = (Uid::from_raw(process.uid), Gid::from_raw(process.gid));
    nix::unistd::setgroups(&[]).doing("leave all groups")?;
    nix::unistd::setresgid(gid, gid, gid).doing("become its group")?;
    nix::unistd::setresuid(uid, uid, uid).doing("become its user")
}

/// Sets all sets but the bounding one. Each is a part of the one after it while it is set.
fn set_capabilities(sets: &Capabilities) -> Result<(), SpawnError> {
    let steps = [
        (CapSet::Inheritable, &sets.inheritable),
        (CapSet::Effective, &sets.effective),
        (CapSet::Permitted, &sets.permitted),
    ];
    for (set, names) in steps {
        let capabilities = of(names)?.into_iter().collect();
        let done = caps::set(None, set, &capabilities).map_err(io::Error::other);
        done.doing(&format!("set {set:?} capabilities"))?;
    }
    for capability in of(&sets.ambient)? {
        let done = caps::raise(None, CapSet::Ambient, capability).map_err(io::Error::other);
        done.doing(&format!("make {capability} ambient"))?;
    }
    Ok(())
}

fn of(names: &BTreeSet<String>) -> Result<Vec<Capability>, SpawnError> {
    let capability = |name: &String| {
        Capability::from_str(name).map_err(io::Error::other).doing(&format!("find {name}"))
    };
    names.iter().map(capability).collect()
}
