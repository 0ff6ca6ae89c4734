//! Options of a request, by CRIU's names. Only what is set goes on the wire.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use super::wire;

mod shared;

pub(super) use shared::Log;
use shared::set;
pub use shared::{ManageCgroups, NetworkLock, SharedOptions};

/// How a pre-dump takes memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreDumpMode {
    /// By splicing pages out of the stopped task.
    Splice = 1,
    /// By `process_vm_readv` from the running one.
    Read = 2,
}

/// Options of a dump or a pre-dump.
#[derive(Clone, Debug)]
pub struct DumpOptions<'fd> {
    /// What restore has too.
    pub shared: SharedOptions<'fd>,
    /// The root task.
    pub pid: i32,
    /// A cgroup that holds all tasks, to freeze them with; it may be frozen already.
    pub freeze_cgroup: Option<String>,
    /// Let the tasks go on afterwards.
    pub leave_running: bool,
    /// Leave the tasks stopped afterwards.
    pub leave_stopped: bool,
    /// Track changes of memory, for a following dump.
    pub track_mem: bool,
    /// The folder of the images before, relative to the images folder.
    pub parent_img: Option<String>,
    /// How a pre-dump takes memory.
    pub pre_dump_mode: Option<PreDumpMode>,
    /// Leave pages where they are, for a page server.
    pub lazy_pages: bool,
    /// Find the names of inotify's inodes by search.
    pub force_irmap: bool,
}

impl<'fd> DumpOptions<'fd> {
    /// A dump of the tree below `pid` that ends the tasks, logs all to `dump.log` and notifies.
    #[must_use]
    pub fn new(pid: i32, images: BorrowedFd<'fd>) -> Self {
        DumpOptions {
            shared: SharedOptions::new(images, "dump.log"),
            pid,
            freeze_cgroup: None,
            leave_running: false,
            leave_stopped: false,
            track_mem: false,
            parent_img: None,
            pre_dump_mode: None,
            lazy_pages: false,
            force_irmap: false,
        }
    }

    pub(super) fn to_wire(&self) -> wire::Options {
        wire::Options {
            pid: Some(self.pid),
            freeze_cgroup: self.freeze_cgroup.clone(),
            leave_running: set(self.leave_running),
            leave_stopped: set(self.leave_stopped),
            track_mem: set(self.track_mem),
            parent_img: self.parent_img.clone(),
            pre_dump_mode: self.pre_dump_mode.map(|mode| mode as i32),
            lazy_pages: set(self.lazy_pages),
            force_irmap: set(self.force_irmap),
            ..self.shared.to_wire()
        }
    }
}

/// A descriptor for something that was outside at the dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InheritFd {
    /// What it stands for, such as `extRootNetNS` or `pipe:[4711]`.
    pub key: String,
    /// Its number in CRIU: what [`Command::inherit`](super::Command::inherit) returned.
    pub fd: RawFd,
}

/// A namespace that the restored tasks join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinNamespace {
    /// Its kind: `net`, `ipc` or `uts`. CRIU takes `mnt` and `time` without a word and ignores
    /// them.
    pub ns: String,
    /// A file that stands for it.
    pub file: String,
}

/// Where a hierarchy of control groups begins for the restored tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupRoot {
    /// The controller; all of them without it.
    pub controller: Option<String>,
    /// The path within the hierarchy.
    pub path: String,
}

/// Options of a restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions<'fd> {
    /// What dump has too.
    pub shared: SharedOptions<'fd>,
    /// The folder that becomes the root.
    pub root: Option<String>,
    /// Make the restored root task a child of the caller, who must reap it; else it becomes one
    /// of the nearest subreaper.
    pub rst_sibling: bool,
    /// Descriptors for what was outside. One that nobody asks for is ignored.
    pub inherit_fd: Vec<InheritFd>,
    /// Namespaces to join.
    pub join_ns: Vec<JoinNamespace>,
    /// Where control groups begin.
    pub cg_root: Vec<CgroupRoot>,
    /// A mount of the control groups that CRIU shall use.
    pub cgroup_yard: Option<String>,
    /// The LSM profile of the restored tasks, such as `selinux:system_u:...`.
    pub lsm_profile: Option<String>,
    /// The SELinux context of restored mounts.
    pub lsm_mount_context: Option<String>,
    /// The folder of the images before, relative to the images folder.
    pub parent_img: Option<String>,
    /// Restore mounts the old way.
    pub mntns_compat_mode: bool,
    /// Accept files whose permissions changed.
    pub skip_file_rwx_check: bool,
    /// Go on where a sysctl does not exist.
    pub weak_sysctls: bool,
    /// Bring pages in later.
    pub lazy_pages: bool,
}

impl<'fd> RestoreOptions<'fd> {
    /// A restore as a child of the caller that logs all to `restore.log` and notifies.
    #[must_use]
    pub fn new(images: BorrowedFd<'fd>) -> Self {
        RestoreOptions {
            shared: SharedOptions::new(images, "restore.log"),
            root: None,
            rst_sibling: true,
            inherit_fd: Vec::new(),
            join_ns: Vec::new(),
            cg_root: Vec::new(),
            cgroup_yard: None,
            lsm_profile: None,
            lsm_mount_context: None,
            parent_img: None,
            mntns_compat_mode: false,
            skip_file_rwx_check: false,
            weak_sysctls: false,
            lazy_pages: false,
        }
    }

    pub(super) fn to_wire(&self) -> wire::Options {
        wire::Options {
            root: self.root.clone(),
            rst_sibling: set(self.rst_sibling),
            inherit_fd: self.inherit_fd.iter().map(InheritFd::to_wire).collect(),
            join_ns: self.join_ns.iter().map(JoinNamespace::to_wire).collect(),
            cg_root: self.cg_root.iter().map(CgroupRoot::to_wire).collect(),
            cgroup_yard: self.cgroup_yard.clone(),
            lsm_profile: self.lsm_profile.clone(),
            lsm_mount_context: self.lsm_mount_context.clone(),
            parent_img: self.parent_img.clone(),
            mntns_compat_mode: set(self.mntns_compat_mode),
            skip_file_rwx_check: set(self.skip_file_rwx_check),
            weak_sysctls: set(self.weak_sysctls),
            lazy_pages: set(self.lazy_pages),
            ..self.shared.to_wire()
        }
    }
}

impl InheritFd {
    fn to_wire(&self) -> wire::InheritFd {
        wire::InheritFd { key: self.key.clone(), fd: self.fd }
    }
}

impl JoinNamespace {
    fn to_wire(&self) -> wire::JoinNamespace {
        wire::JoinNamespace { ns: self.ns.clone(), ns_file: self.file.clone() }
    }
}

impl CgroupRoot {
    fn to_wire(&self) -> wire::CgroupRoot {
        wire::CgroupRoot { ctrl: self.controller.clone(), path: self.path.clone() }
    }
}

/// Options of a check of kernel or processor.
#[derive(Clone, Debug)]
pub struct CheckOptions<'fd> {
    /// The folder of the log, and of `cpuinfo.img`.
    pub folder: BorrowedFd<'fd>,
    /// Name of the log. One that exists is removed first.
    pub log_file: String,
}

impl<'fd> CheckOptions<'fd> {
    /// A check that logs all to `check.log`.
    #[must_use]
    pub fn new(folder: BorrowedFd<'fd>) -> Self {
        CheckOptions { folder, log_file: "check.log".to_owned() }
    }

    pub(super) fn log(&self) -> Log<'_> {
        Log { folder: self.folder, file: &self.log_file }
    }

    pub(super) fn to_wire(&self) -> wire::Options {
        wire::Options {
            images_dir_fd: self.folder.as_raw_fd(),
            work_dir_fd: Some(self.folder.as_raw_fd()),
            log_file: Some(self.log_file.clone()),
            log_level: Some(4),
            ..wire::Options::default()
        }
    }
}
