//! The fields that are not exact.

use crate::registry::Kind::{self, Identity, Moment};

/// What a field means, where it is not just a value that must come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is compared as this kind.
    As(Kind),
    /// A time: its unit, and the field that holds the rest of it with that field's unit. Bounded
    /// by the time that passed.
    Time {
        /// Nanoseconds of one.
        unit_ns: u64,
        /// The other field and its nanoseconds.
        rest: Option<(&'static str, u64)>,
    },
    /// The rest of a time, which is told with its seconds.
    TimeRest,
    /// A message of seconds and nanoseconds, bounded by the time that passed.
    Clock,
    /// An inode on the device that this other field names.
    InodeOn(&'static str),
    /// The `shmid` of a mapping: what it names depends on the kind of mapping.
    MappedObject,
    /// The `remap_id` of a file without a name: what it names depends on the kind of remapping.
    RemapTarget,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct FieldRule {
    /// `MESSAGE.FIELD`, by CRIU's names.
    pub field: &'static str,
    /// How it is compared.
    pub meaning: Meaning,
    /// Why so.
    pub reason: &'static str,
    /// Where in CRIU to read on.
    pub source: &'static str,
}

const FILE_ID: &str = "a number that CRIU gives to an open file";
const CHOSEN: &str = "an id that the kernel chooses";
const OF_CRIU: &str = "a number that CRIU gives while it dumps";
const GOES_ON: &str = "goes on while the pod is held, by no more than passed";
const HANDLE: &str = "the inode in the file system's own words";

const fn id(field: &'static str, class: &'static str, source: &'static str) -> FieldRule {
    FieldRule { field, meaning: Meaning::As(Identity(class)), reason: CHOSEN, source }
}

const fn numbered(field: &'static str, class: &'static str, source: &'static str) -> FieldRule {
    FieldRule { field, meaning: Meaning::As(Identity(class)), reason: OF_CRIU, source }
}

const fn file(field: &'static str) -> FieldRule {
    FieldRule {
        field,
        meaning: Meaning::As(Identity("file")),
        reason: FILE_ID,
        source: "criu/file-ids.c, fd_id_generate()",
    }
}

const fn moment(field: &'static str, reason: &'static str, source: &'static str) -> FieldRule {
    FieldRule { field, meaning: Meaning::As(Moment), reason, source }
}

const fn time(
    field: &'static str,
    unit_ns: u64,
    rest: Option<(&'static str, u64)>,
    source: &'static str,
) -> FieldRule {
    FieldRule { field, meaning: Meaning::Time { unit_ns, rest }, reason: GOES_ON, source }
}

const fn rest(field: &'static str) -> FieldRule {
    let reason = "told with its seconds";
    FieldRule { field, meaning: Meaning::TimeRest, reason, source: "images/timer.proto" }
}

const fn special(
    field: &'static str,
    meaning: Meaning,
    reason: &'static str,
    source: &'static str,
) -> FieldRule {
    FieldRule { field, meaning, reason, source }
}

const fn inode(field: &'static str, device: &'static str, source: &'static str) -> FieldRule {
    FieldRule { field, meaning: Meaning::InodeOn(device), reason: CHOSEN, source }
}

const SECOND: u64 = 1_000_000_000;

/// The table.
pub const FIELDS: &[FieldRule] = &[
    // Open files.
    file("fdinfo_entry.id"),
    file("file_entry.id"),
    file("reg_file_entry.id"),
    file("inet_sk_entry.id"),
    file("ns_file_entry.id"),
    file("packet_sock_entry.id"),
    file("netlink_sk_entry.id"),
    file("eventfd_file_entry.id"),
    file("eventpoll_file_entry.id"),
    file("eventpoll_tfd_entry.id"),
    file("signalfd_entry.id"),
    file("tunfile_entry.id"),
    file("timerfd_entry.id"),
    file("inotify_file_entry.id"),
    file("inotify_wd_entry.id"),
    file("fanotify_file_entry.id"),
    file("fanotify_mark_entry.id"),
    file("ext_file_entry.id"),
    file("unix_sk_entry.id"),
    file("fifo_entry.id"),
    file("fifo_entry.regf_id"),
    file("pipe_entry.id"),
    file("tty_file_entry.id"),
    file("tty_file_entry.regf_id"),
    file("memfd_file_entry.id"),
    file("bpfmap_file_entry.id"),
    file("pidfd_entry.id"),
    file("fs_entry.cwd_id"),
    file("fs_entry.root_id"),
    file("mm_entry.exe_file_id"),
    file("remap_file_path_entry.orig_id"),
    file("sk_packet_entry.id_for"),
    file("scm_entry.rights"),
    special(
        "remap_file_path_entry.remap_id",
        Meaning::RemapTarget,
        "a ghost file, an open file or a pid, by `remap_type`",
        "criu/files-reg.c, collect_one_remap()",
    ),
    special(
        "vma_entry.shmid",
        Meaning::MappedObject,
        "an open file, shared memory or a System V segment, by `status`",
        "criu/include/image.h, VMA_*; criu/cr-dump.c, dump_task_mm()",
    ),
    // What files are of.
    id("unix_sk_entry.ino", "socket", "criu/sk-unix.c, dump_one_unix_fd()"),
    id("unix_sk_entry.peer", "socket", "criu/sk-unix.c, dump_one_unix_fd()"),
    id("inet_sk_entry.ino", "socket", "criu/sk-inet.c, do_dump_one_inet_fd()"),
    id("netlink_sk_entry.ino", "socket", "criu/sk-netlink.c, dump_one_netlink_fd()"),
    id("pipe_entry.pipe_id", "pipe", "criu/pipes.c, dump_one_pipe()"),
    id("fifo_entry.pipe_id", "pipe", "criu/fifo.c, dump_one_fifo()"),
    id("pipe_data_entry.pipe_id", "pipe", "criu/pipes.c, dump_one_pipe_data()"),
    numbered("memfd_file_entry.inode_id", "memfd", "criu/memfd.c, dump_unique_memfd_inode()"),
    numbered("memfd_inode_entry.inode_id", "memfd", "criu/memfd.c, dump_memfd_inode()"),
    id("memfd_inode_entry.shmid", "shared memory", "criu/memfd.c, dump_memfd_inode()"),
    numbered("tty_file_entry.tty_info_id", "terminal", "criu/tty.c, dump_one_tty()"),
    numbered("tty_info_entry.id", "terminal", "criu/tty.c, dump_tty_info()"),
    numbered("tty_data_entry.tty_id", "terminal", "criu/tty.c, tty_do_dump_queued_data()"),
    id("bpfmap_file_entry.map_id", "bpf map", "criu/bpfmap.c, dump_one_bpfmap()"),
    id("bpfmap_data_entry.map_id", "bpf map", "criu/bpfmap.c, dump_one_bpfmap_data()"),
    id("pidfd_entry.ino", "pidfd", "criu/pidfd.c, dump_one_pidfd()"),
    // Inodes, devices, mounts.
    inode("ghost_file_entry.ino", "dev", "criu/files-reg.c, dump_ghost_file()"),
    inode("eventpoll_tfd_entry.inode", "dev", "criu/eventpoll.c, dump_one_eventpoll()"),
    inode("inotify_wd_entry.i_ino", "s_dev", "criu/fsnotify.c, dump_inotify_entry()"),
    id("fanotify_inode_mark_entry.i_ino", "marked inode", "criu/fsnotify.c, dump_fanotify_entry()"),
    id("ghost_file_entry.dev", "device", "criu/files-reg.c, dump_ghost_file()"),
    id("eventpoll_tfd_entry.dev", "device", "criu/eventpoll.c, dump_one_eventpoll()"),
    id("inotify_wd_entry.s_dev", "device", "criu/fsnotify.c, dump_inotify_entry()"),
    id("fanotify_mark_entry.s_dev", "device", "criu/fsnotify.c, dump_fanotify_entry()"),
    id("tty_info_entry.dev", "device", "criu/tty.c, dump_tty_info()"),
    id("mnt_entry.root_dev", "device", "criu/mount.c, dump_one_mountpoint()"),
    id("mnt_entry.mnt_id", "mount", "criu/mount.c, dump_one_mountpoint()"),
    id("mnt_entry.parent_mnt_id", "mount", "criu/mount.c, dump_one_mountpoint()"),
    id("mnt_entry.shared_id", "peer group", "criu/mount.c, dump_one_mountpoint()"),
    id("mnt_entry.master_id", "peer group", "criu/mount.c, dump_one_mountpoint()"),
    id("reg_file_entry.mnt_id", "mount", "criu/files-reg.c, dump_one_reg_file()"),
    id("unix_sk_entry.mnt_id", "mount", "criu/sk-unix.c, dump_one_unix_fd()"),
    id("bpfmap_file_entry.mnt_id", "mount", "criu/bpfmap.c, dump_one_bpfmap()"),
    id("fh_entry.mnt_id", "mount", "criu/fsnotify.c, check_open_handle()"),
    id("fanotify_mount_mark_entry.mnt_id", "mount", "criu/fsnotify.c, dump_fanotify_entry()"),
    moment("fh_entry.bytes", HANDLE, "criu/fsnotify.c, check_open_handle()"),
    moment("fh_entry.type", HANDLE, "criu/fsnotify.c, check_open_handle()"),
    moment("fh_entry.handle", HANDLE, "criu/fsnotify.c, check_open_handle()"),
    // Who shares what.
    numbered("task_kobj_ids_entry.vm_id", "vm", "criu/kcmp-ids.c, kid_generate_gen()"),
    numbered("task_kobj_ids_entry.files_id", "files", "criu/kcmp-ids.c, kid_generate_gen()"),
    numbered("task_kobj_ids_entry.fs_id", "fs", "criu/kcmp-ids.c, kid_generate_gen()"),
    numbered("task_kobj_ids_entry.sighand_id", "sighand", "criu/kcmp-ids.c, kid_generate_gen()"),
    numbered("task_kobj_ids_entry.pid_ns_id", "ns", "criu/namespaces.c, generate_ns_id()"),
    numbered("task_kobj_ids_entry.net_ns_id", "ns", "criu/namespaces.c, generate_ns_id()"),
    numbered("task_kobj_ids_entry.ipc_ns_id", "ns", "criu/namespaces.c, generate_ns_id()"),
    numbered("task_kobj_ids_entry.uts_ns_id", "ns", "criu/namespaces.c, generate_ns_id()"),
    numbered("task_kobj_ids_entry.mnt_ns_id", "ns", "criu/namespaces.c, generate_ns_id()"),
    numbered("task_kobj_ids_entry.user_ns_id", "ns", "criu/namespaces.c, generate_ns_id()"),
    numbered("task_kobj_ids_entry.cgroup_ns_id", "ns", "criu/namespaces.c, generate_ns_id()"),
    moment(
        "task_kobj_ids_entry.time_ns_id",
        "CRIU restores into a time namespace so that the clocks go on; what they read is compared",
        "criu/timens.c",
    ),
    numbered("ns_file_entry.ns_id", "ns", "criu/namespaces.c, dump_one_ns_file()"),
    numbered("inet_sk_entry.ns_id", "ns", "criu/sk-inet.c, do_dump_one_inet_fd()"),
    numbered("unix_sk_entry.ns_id", "ns", "criu/sk-unix.c, dump_one_unix_fd()"),
    numbered("packet_sock_entry.ns_id", "ns", "criu/sk-packet.c, dump_one_packet_fd()"),
    numbered("netlink_sk_entry.ns_id", "ns", "criu/sk-netlink.c, dump_one_netlink_fd()"),
    numbered("tunfile_entry.ns_id", "ns", "criu/tun.c, dump_tunfile()"),
    numbered("netns_id.target_ns_id", "ns", "criu/net.c, dump_netns_ids()"),
    numbered("cg_set_entry.id", "cgroup set", "criu/cgroup.c, get_cg_set()"),
    numbered("task_core_entry.cg_set", "cgroup set", "criu/cgroup.c, dump_thread_cgroup()"),
    numbered("thread_core_entry.cg_set", "cgroup set", "criu/cgroup.c, dump_thread_cgroup()"),
    numbered("inventory_entry.root_cg_set", "cgroup set", "criu/cgroup.c, dump_thread_cgroup()"),
    // Times.
    special("timens_entry.monotonic", Meaning::Clock, GOES_ON, "criu/timens.c, dump_time_ns()"),
    special("timens_entry.boottime", Meaning::Clock, GOES_ON, "criu/timens.c, dump_time_ns()"),
    time("itimer_entry.vsec", SECOND, Some(("vusec", 1000)), "criu/timer.c, encode_itimer()"),
    rest("itimer_entry.vusec"),
    time("posix_timer_entry.vsec", SECOND, Some(("vnsec", 1)), "criu/timer.c"),
    rest("posix_timer_entry.vnsec"),
    time("timerfd_entry.vsec", SECOND, Some(("vnsec", 1)), "criu/timerfd.c, dump_one_timerfd()"),
    rest("timerfd_entry.vnsec"),
    time("tcp_stream_entry.timestamp", 1_000_000, None, "soccr/soccr.c, refresh_sk()"),
    // What is not state.
    moment(
        "task_core_entry.flags",
        "PF_ bits of how the task came to be",
        "criu/proc_parse.c, parse_pid_stat()",
    ),
    moment("inventory_entry.dump_criu_run_id", "names the dump itself", "criu/image.c"),
    moment("inventory_entry.dump_uptime", "when the dump was taken", "criu/image.c"),
];
