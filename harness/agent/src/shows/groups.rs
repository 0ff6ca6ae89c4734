//! Files of the cgroup of a task and of the one above it.

use std::path::PathBuf;

use fs_err as fs;

use super::Shown;
use super::proc::names;

const MOUNTED_AT: &str = "/sys/fs/cgroup";

/// The files of a task's cgroup, and of the pod's.
pub(super) fn of(pid: i32, shown: &mut Shown) -> anyhow::Result<()> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let cgroup = PathBuf::from(MOUNTED_AT).join(path);
    for folder in [Some(cgroup.as_path()), cgroup.parent()].into_iter().flatten() {
        for name in names(folder)?.iter().filter(|name| folder.join(name).is_file()) {
            let sample = fs::read_to_string(folder.join(name)).unwrap_or_default();
            shown.add("files of the cgroup", name, &sample);
        }
    }
    Ok(())
}
