//! Settings that are files: sysctls of the pod's namespaces, knobs of its cgroups, and what of
//! `/proc/PID` can be written.
//!
//! All files that are there are tried with other values than their own, and put back.

use std::path::{Path, PathBuf};

use anyhow::Context;
use fs_err as fs;
use model::mutant::Family;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::places::{SHARED, inside};
use super::pod::Pod;
use super::values;

/// A file that is to hold another text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Setting {
    /// In the shared namespaces of this process.
    within: Option<i32>,
    path: PathBuf,
    text: String,
}

/// Files that are orders rather than settings, or show what moves by itself.
const ORDERS: &[&str] = &[
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.freeze",
    "cgroup.kill",
    "cgroup.type",
    "memory.reclaim",
    "clear_refs",
    "mem",
    "sched",
    "oom_adj",
    "flush",
];

/// Sysctls of the IPC and UTS namespaces, among others of the node.
const NAMESPACED: &[&str] =
    &["shm", "msg", "sem", "auto_msgmni", "hostname", "domainname", "mqueue"];

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    let init = pod.init()?;
    for task in pod.living() {
        let folder = PathBuf::from(format!("/proc/{}", task.pid));
        for path in files(&folder, false)? {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            try_out(None, &path, &format!("proc/{}/{file}", task.name), offers);
        }
    }
    let main = pod.status.containers.first().context("the pod has no container")?;
    for (name, folder) in [("pod", &pod.status.cgroup), ("main", &main.cgroup)] {
        for path in files(folder, false)? {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            try_out(None, &path, &format!("cgroup/{name}/{file}"), offers);
        }
    }
    inside(init, SHARED, || sysctls(init, offers))
}

fn sysctls(init: i32, offers: &mut Offers) -> anyhow::Result<()> {
    let root = Path::new("/proc/sys");
    let mut paths = files(&root.join("net"), true)?;
    for folder in ["kernel", "fs/mqueue"] {
        let namespaced = |path: &PathBuf| {
            let below = path
                .strip_prefix("/proc/sys/kernel")
                .or_else(|_| path.strip_prefix("/proc/sys/fs"));
            let below = below.map(|path| path.display().to_string()).unwrap_or_default();
            NAMESPACED.iter().any(|head| below.starts_with(head))
        };
        paths.extend(files(&root.join(folder), true)?.into_iter().filter(namespaced));
    }
    for path in paths {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        try_out(Some(init), &path, &format!("sysctl/{name}"), offers);
    }
    let path = root.join("kernel/shmmni");
    let text = fs::read_to_string(&path)?.trim().to_owned();
    let same = Act::Same(Box::new(Act::Setting(Setting { within: Some(init), path, text })));
    offers.control(Family::Live, "live-sysctl", "a sysctl is set to what it is", &same);
    Ok(())
}

/// Files of a folder that can be both read and written, in order.
fn files(folder: &Path, deep: bool) -> anyhow::Result<Vec<PathBuf>> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() && deep {
            found.extend(files(&path, true)?);
        }
        let mode = meta.permissions().mode();
        if meta.is_file() && mode & 0o200 != 0 && mode & 0o444 != 0 {
            found.push(path);
        }
    }
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        !ORDERS.contains(&&*name) && (!name.ends_with(".pressure") || name == "cgroup.pressure")
    });
    found.sort();
    Ok(found)
}

/// Looks for another value that the kernel takes, and puts the old one back.
fn try_out(within: Option<i32>, path: &Path, name: &str, offers: &mut Offers) {
    let Ok(before) = fs::read_to_string(path) else { return };
    if fs::read_to_string(path).ok().as_ref() != Some(&before) {
        return;
    }
    for other in values::others(&before) {
        let taken = std::fs::write(path, &other).is_ok();
        let after = std::fs::read_to_string(path).unwrap_or_default();
        if after == before {
            continue;
        }
        // It may have changed without a word of success; either way it is put back.
        let _ = std::fs::write(path, before.trim_end());
        if taken {
            let what = format!("{name}: {} -> {}", one_line(&before), one_line(&after));
            let setting = Setting { within, path: path.to_owned(), text: other };
            offers.live(name, what, &Act::Setting(setting));
            return;
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Setting {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        match self.within {
            Some(pid) => inside(pid, SHARED, || self.write()),
            None => self.write(),
        }
    }

    fn write(&self) -> anyhow::Result<()> {
        let before = fs::read_to_string(&self.path)?;
        fs::write(&self.path, &self.text).map_err(|error| refused("the file", error))?;
        changed("the file", &before, &fs::read_to_string(&self.path)?)
    }
}
