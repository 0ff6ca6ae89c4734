//! User namespaces: a container's root that is nobody on the node.

use std::io::{self, Read, Write};
use std::path::Path;

use model::pod::UserNamespace;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};

use super::SpawnError;
use super::child::Doing;
use super::sys::Clone3;

/// Makes a sibling in a user namespace, which owns its mnt and pid namespaces: all in one clone, or
/// it might not mount `/proc`. It waits until its ids are known. The sibling gets `None`.
pub(super) fn among(ids: UserNamespace) -> Result<Option<i32>, SpawnError> {
    let (mut known, known_in) = io::pipe().doing("make a pipe")?;
    let flags = CloneFlags::CLONE_PARENT
        | CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID;
    let sibling = Clone3 { flags, cgroup: None };
    let Some(pid) = sibling.fork().doing("clone into a user namespace")? else {
        drop(known_in);
        let mut word = [0];
        known.read_exact(&mut word).doing("wait for its ids")?;
        become_root().doing("become root of its user namespace")?;
        return Ok(None);
    };
    for (file, first) in [("uid_map", ids.uid), ("gid_map", ids.gid)] {
        let map = format!("0 {first} {}", ids.count);
        std::fs::write(format!("/proc/{pid}/{file}"), map).doing(&format!("write its {file}"))?;
    }
    let mut known_in = known_in;
    known_in.write_all(b".").doing("tell that its ids are known")?;
    Ok(Some(pid))
}

/// Whoever has no id in the user namespace can make no file there.
fn become_root() -> nix::Result<()> {
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    nix::unistd::setgroups(&[])?;
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)
}

/// Makes the root a mount of this namespace's own: what it has from a more privileged one is locked,
/// and cannot become the root (mount_namespaces(7)).
pub(super) fn bind_to_itself(root: &Path) -> Result<(), SpawnError> {
    let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    nix::mount::mount(none, "/", none, private, none).doing("make mounts private")?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    nix::mount::mount(Some(root), root, none, flags, none).doing("bind the root")
}
