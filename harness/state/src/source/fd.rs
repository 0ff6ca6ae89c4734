//! Descriptors: what they are, what the kernel says about each, and which of them share one open
//! file description.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Pod, Task};
use crate::source::diag::Sockets;
use crate::source::open_file::OpenFile;
use crate::source::{fdinfo, sharing};
use crate::sys::{self, Shared};
use crate::{inode, read};

/// O_CLOEXEC belongs to a descriptor, all other flags to the open file description.
const CLOEXEC: u64 = 0o2_000_000;

/// One descriptor of a task.
#[derive(Debug)]
struct Descriptor {
    pid: i32,
    fd: i32,
    name: String,
}

/// Looks at every descriptor of the pod. What only an open file tells is told once for each open
/// file description, under its first descriptor.
pub(crate) fn pod(pod: &Pod<'_>, sockets: &Sockets, facts: &mut Facts) -> Result<()> {
    let mut files = OpenFiles::default();
    for task in pod.tasks().filter(|task| !task.zombie) {
        if sharing::first(pod, task, Shared::Files)?.pid != task.pid {
            continue;
        }
        let pidfd = sys::pidfd_open(task.pid)
            .map_err(|error| Error::call("pidfd_open", &task.name, error))?;
        for fd in read::numbers(task.proc().join("fd"))? {
            let name = format!("{}.fd.{fd}", task.name);
            let file = sys::pidfd_getfd(pidfd.as_fd(), fd)
                .map_err(|error| Error::call("pidfd_getfd", &name, error))?;
            let target = read::link(task.proc().join(format!("fd/{fd}")))?;
            let info = read::text(task.proc().join(format!("fdinfo/{fd}")))?;
            put_kind(task, &name, &target, facts);
            fdinfo::put(pod, &name, &info, facts);
            let open = OpenFile { pod, name: &name, target: &target, info: &info, sockets };
            let descriptor = Descriptor { pid: task.pid, fd, name: name.clone() };
            let first = files.first(alike(&info, &open.identity(&file)?), descriptor)?;
            facts.put(format!("{name}.file"), &first);
            if first == name {
                open.put(&file, facts)?;
            }
        }
    }
    files.epoll_targets(facts)
}

/// What a descriptor is, in words without ids, and where its link leads.
fn put_kind(task: &Task, name: &str, target: &str, facts: &mut Facts) {
    if target.starts_with('/') {
        facts.put(format!("{name}.type"), "file");
        facts.put(format!("{name}.path"), target);
        return;
    }
    let (kind, _) = target.split_once(":[").unwrap_or((target, ""));
    facts.put(format!("{name}.type"), if kind == "anon_inode" { target } else { kind });
    if task.proc().join("ns").join(kind).exists() {
        facts.put(format!("{name}.ns"), target);
    }
}

/// Descriptors can share an open file only where inode, flags and position are the same.
fn alike(info: &str, inode: &str) -> String {
    let field = |key: &str| {
        info.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
    };
    let flags = u64::from_str_radix(&field("flags:"), 8).unwrap_or_default() & !CLOEXEC;
    format!("{inode} {flags:o} {}", field("pos:"))
}

/// The open file descriptions seen so far, in groups that are alike.
#[derive(Debug, Default)]
struct OpenFiles {
    firsts: BTreeMap<String, Vec<Descriptor>>,
    all: Vec<(i32, i32, String)>,
}

impl OpenFiles {
    /// The name of the first descriptor on the same open file description.
    fn first(&mut self, alike: String, descriptor: Descriptor) -> Result<String> {
        self.all.push((descriptor.pid, descriptor.fd, descriptor.name.clone()));
        let group = self.firsts.entry(alike).or_default();
        for first in group.iter() {
            let order = sys::kcmp_file((first.pid, first.fd), (descriptor.pid, descriptor.fd));
            let order = order.map_err(|error| Error::call("kcmp", &descriptor.name, error))?;
            if order.is_eq() {
                return Ok(first.name.clone());
            }
        }
        let name = descriptor.name.clone();
        group.push(descriptor);
        Ok(name)
    }

    /// For every item of every epoll the first descriptor that it watches. The number under
    /// which a file was added may have been closed, or be another file by now.
    fn epoll_targets(&self, facts: &mut Facts) -> Result<()> {
        for (pid, fd, name) in &self.all {
            let items: Vec<(u32, u32, String)> = fdinfo::epoll_items(name, facts);
            for (tfd, offset, item) in items {
                let watched = self.watched((*pid, *fd), tfd, offset)?;
                facts.put(format!("{item}.target"), watched.unwrap_or("a closed descriptor"));
            }
        }
        Ok(())
    }

    fn watched(&self, epoll: (i32, i32), tfd: u32, offset: u32) -> Result<Option<&str>> {
        for (pid, fd, name) in &self.all {
            // A pid of another task, or an epoll that lost the item, is no error.
            if sys::kcmp_epoll((*pid, *fd), epoll, tfd, offset).unwrap_or(false) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

/// Names an inode over all file systems, as `maps` does.
pub(crate) fn inode_of(meta: &nix::sys::stat::FileStat) -> String {
    inode::name(nix::sys::stat::major(meta.st_dev), nix::sys::stat::minor(meta.st_dev), meta.st_ino)
}
