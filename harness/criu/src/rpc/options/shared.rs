//! Options that dump and restore have in common.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::rpc::wire;

/// What CRIU does about control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManageCgroups {
    /// Neither dump nor restore them.
    Ignore = 0,
    /// Restore membership only, in groups that exist.
    None = 1,
    /// The same, and properties.
    Props = 2,
    /// Make groups that do not exist, with their properties.
    Soft = 3,
    /// Make groups, and set properties of all.
    Full = 4,
    /// Make groups, and fail where one exists.
    Strict = 5,
}

/// How CRIU keeps packets away while sockets are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkLock {
    /// By iptables.
    Iptables = 1,
    /// By nftables.
    Nftables = 2,
    /// Not at all: the caller does.
    Skip = 3,
}

/// Options that dump and restore have in common. Most must be the same for both.
#[derive(Clone, Debug)]
pub struct SharedOptions<'fd> {
    /// The folder of image files.
    pub images: BorrowedFd<'fd>,
    /// The folder of the log and of `stats-*`; without it, that of the images.
    pub work: Option<BorrowedFd<'fd>>,
    /// Name of the log in the work folder. One that exists is removed first.
    pub log_file: String,
    /// 0 to 4, which tells all.
    pub log_level: i32,
    /// Whether CRIU notifies at all.
    pub notify_scripts: bool,
    /// What is outside, such as `mnt[/data]:/data` or `net[4026532000]:extRootNetNS`.
    pub external: Vec<String>,
    /// How CRIU deals with control groups.
    pub manage_cgroups_mode: Option<ManageCgroups>,
    /// How CRIU locks the network.
    pub network_lock: Option<NetworkLock>,
    /// Carry established TCP connections.
    pub tcp_established: bool,
    /// Close TCP connections instead.
    pub tcp_close: bool,
    /// Leave out connections that are not accepted yet.
    pub tcp_skip_in_flight: bool,
    /// Carry file locks.
    pub file_locks: bool,
    /// Make links for deleted files that still have a name.
    pub link_remap: bool,
    /// Largest deleted file that is carried, in bytes.
    pub ghost_limit: Option<u32>,
    /// The master of the tasks' terminal is outside.
    pub orphan_pts_master: bool,
    /// The tasks share their session and terminal with the caller.
    pub shell_job: bool,
    /// Allow unix sockets with a peer outside.
    pub ext_unix_sk: bool,
    /// Open another path of a device whose own does not work.
    pub evasive_devices: bool,
    /// Do not carry what is in the network namespace.
    pub empty_net_ns: bool,
    /// Punch out pages that the parent's images need no longer.
    pub auto_dedup: bool,
    /// Take image settings of mounts by themselves.
    pub auto_ext_mnt: bool,
    /// Allow external mounts with peers outside.
    pub ext_sharing: bool,
    /// Allow external mounts with masters outside.
    pub ext_masters: bool,
    /// Mount points to leave out.
    pub skip_mnt: Vec<String>,
    /// File systems to treat as if they were known.
    pub enable_fs: Vec<String>,
    /// Seconds for the stopping of tasks.
    pub timeout_s: Option<u32>,
    /// A configuration file: it overrides all of these.
    pub config_file: Option<String>,
}

impl<'fd> SharedOptions<'fd> {
    pub(super) fn new(images: BorrowedFd<'fd>, log_file: &str) -> Self {
        SharedOptions {
            images,
            work: None,
            log_file: log_file.to_owned(),
            log_level: 4,
            notify_scripts: true,
            external: Vec::new(),
            manage_cgroups_mode: None,
            network_lock: None,
            tcp_established: false,
            tcp_close: false,
            tcp_skip_in_flight: false,
            file_locks: false,
            link_remap: false,
            ghost_limit: None,
            orphan_pts_master: false,
            shell_job: false,
            ext_unix_sk: false,
            evasive_devices: false,
            empty_net_ns: false,
            auto_dedup: false,
            auto_ext_mnt: false,
            ext_sharing: false,
            ext_masters: false,
            skip_mnt: Vec::new(),
            enable_fs: Vec::new(),
            timeout_s: None,
            config_file: None,
        }
    }

    /// Where CRIU writes its log.
    pub(in crate::rpc) fn log(&self) -> Log<'_> {
        Log { folder: self.work.unwrap_or(self.images), file: &self.log_file }
    }

    pub(super) fn to_wire(&self) -> wire::Options {
        wire::Options {
            images_dir_fd: self.images.as_raw_fd(),
            work_dir_fd: self.work.map(|fd| fd.as_raw_fd()),
            log_file: Some(self.log_file.clone()),
            log_level: Some(self.log_level),
            notify_scripts: set(self.notify_scripts),
            external: self.external.clone(),
            manage_cgroups_mode: self.manage_cgroups_mode.map(|mode| mode as i32),
            network_lock: self.network_lock.map(|lock| lock as i32),
            tcp_established: set(self.tcp_established),
            tcp_close: set(self.tcp_close),
            tcp_skip_in_flight: set(self.tcp_skip_in_flight),
            file_locks: set(self.file_locks),
            link_remap: set(self.link_remap),
            ghost_limit: self.ghost_limit,
            orphan_pts_master: set(self.orphan_pts_master),
            shell_job: set(self.shell_job),
            ext_unix_sk: set(self.ext_unix_sk),
            evasive_devices: set(self.evasive_devices),
            empty_ns: self.empty_net_ns.then_some(CLONE_NEWNET),
            auto_dedup: set(self.auto_dedup),
            auto_ext_mnt: set(self.auto_ext_mnt),
            ext_sharing: set(self.ext_sharing),
            ext_masters: set(self.ext_masters),
            skip_mnt: self.skip_mnt.clone(),
            enable_fs: self.enable_fs.clone(),
            timeout: self.timeout_s,
            config_file: self.config_file.clone(),
            ..wire::Options::default()
        }
    }
}

const CLONE_NEWNET: u32 = 0x4000_0000;

/// Where a log is.
#[derive(Clone, Copy, Debug)]
pub(in crate::rpc) struct Log<'a> {
    pub(in crate::rpc) folder: BorrowedFd<'a>,
    pub(in crate::rpc) file: &'a str,
}

/// Off is CRIU's own default and stays off the wire.
pub(super) fn set(on: bool) -> Option<bool> {
    on.then_some(true)
}
