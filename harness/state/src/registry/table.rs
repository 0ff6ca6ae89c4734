//! The lines of the registry.

use super::Kind::{Clock, Content, Exact, Identity, Moment};
use super::{Kind, Rule};

const fn line(
    pattern: &'static str,
    kind: Kind,
    source: &'static str,
    reason: &'static str,
) -> Rule {
    Rule { pattern, kind, source, reason }
}

/// What is valid for a fact of which the table says nothing.
pub(super) const DEFAULT: Rule = line("*", Exact, "the kernel", STATE);

const STATE: &str = "state: comes back as it was";
const RESIDENCY: &str = "which pages are in memory at the moment, not what they hold";
const HISTORY: &str = "a count of what happened, not state";
const STAMP: &str = "the kernel stamps it by itself and has no call to set it";
const CHOSEN: &str = "an id that the kernel chooses";
const STATUS: &str = "/proc/PID/task/TID/status";
const STAT: &str = "/proc/PID/task/TID/stat";
const FDINFO: &str = "/proc/PID/fdinfo/FD";
const FSTAT: &str = "fstat(2) by pidfd_getfd(2)";
const MAPS: &str = "/proc/PID/smaps";
const MOUNTS: &str = "/proc/PID/mountinfo";
const SOCKET: &str = "getsockopt(2) by pidfd_getfd(2)";
const IP: &str = "ip -j -d";
const CGROUP: &str = "files of the cgroup";
const SYSCTL: &str = "/proc/sys in the pod's namespaces";
const WATCHED: &str = "what the cgroup used, or its pressure, up to now";
const PATH: &str = "the kernel's estimate of the path, begun anew on a new path";

/// Something that the kernel shows and that is not captured.
#[derive(Clone, Copy, Debug)]
pub struct NotCaptured {
    /// What it is.
    pub what: &'static str,
    /// Why it is left out.
    pub reason: &'static str,
}

const fn not(what: &'static str, reason: &'static str) -> NotCaptured {
    NotCaptured { what, reason }
}

/// What is not captured.
pub const NOT_CAPTURED: &[NotCaptured] = &[
    not(
        "/proc/PID/wchan, stack, syscall",
        "where a task sleeps: a held task sleeps in the freezer",
    ),
    not("/proc/PID/io, sched, schedstat, statm, smaps_rollup, oom_score", HISTORY),
    not("/proc/PID/clear_refs", "can only be written"),
    not("/proc/PID/net", "told once for the pod"),
    not(
        "pages of device mappings (VmFlags io, pf), [vvar], [vsyscall]",
        "the kernel's own pages, or device registers: no task owns them",
    ),
    not(
        "content of System V segments that nobody has attached",
        "attaching would change lpid and atime",
    ),
    not(
        "which tasks share an I/O context",
        "kcmp(2) does not tell one that is shared from none at all",
    ),
    not("what waits in a socket whose SO_PEEK_OFF is set", "looking moves the offset"),
    not(
        "multicast options of TCP sockets",
        "TCP has no multicast, and the kernel keeps the peer's TTL there",
    ),
    not(
        "limits, masks, credentials ... of a zombie",
        "it never runs again; pids, owner and exit code are compared",
    ),
    not("SO_ERROR, PACKET_STATISTICS, TCP_SAVED_SYN", "reading takes the value away"),
    not("messages of POSIX queues", "receiving takes them away"),
    not(
        "bytes that TCP has sent and that are not acknowledged",
        "shown in repair mode only, which stops the connection; their number is compared",
    ),
    not("time that is left on POSIX timers and interval timers", "shown to their own process only"),
    not(
        "content of files that an inotify watch of the pod would tell of",
        "reading puts events into the task's queue",
    ),
    not("registers", "differ by the restart of an interrupted system call; compared in the images"),
];

/// The table. Lines for single facts stand before lines for whole files.
pub const RULES: &[Rule] = &[
    // Values of environment variables have names that could be anything.
    line("task.*.environ.*.value", Exact, "/proc/PID/environ", STATE),
    line("task.*.environ", Content, "/proc/PID/environ", STATE),
    // status
    line(
        "task.*.status.state",
        Moment,
        STATUS,
        "sleeping, running or in the freezer; what lasts is the fact `state`",
    ),
    line("task.*.status.tgid", Exact, STATUS, "the pid in the container"),
    line("task.*.status.pid", Moment, STATUS, "the node's number; the container's own is `nspid`"),
    line("task.*.status.ngid", Moment, STATUS, "a guess of NUMA balancing"),
    line("task.*.status.fdsize", Moment, STATUS, "size of a table that grows and never shrinks"),
    line("task.*.status.vmpeak", Moment, STATUS, HISTORY),
    line("task.*.status.vmhwm", Moment, STATUS, HISTORY),
    line("task.*.status.vmrss", Moment, STATUS, RESIDENCY),
    line("task.*.status.rssanon", Moment, STATUS, RESIDENCY),
    line("task.*.status.rssfile", Moment, STATUS, RESIDENCY),
    line("task.*.status.rssshmem", Moment, STATUS, RESIDENCY),
    line("task.*.status.vmpte", Moment, STATUS, RESIDENCY),
    line("task.*.status.vmpmd", Moment, STATUS, RESIDENCY),
    line("task.*.status.vmswap", Moment, STATUS, RESIDENCY),
    line("task.*.status.vmpin", Moment, STATUS, "pages that are held for I/O at the moment"),
    line(
        "task.*.status.sigq",
        Moment,
        STATUS,
        "counts signals of all processes of the user; the limit is `limits.sigpending`",
    ),
    line("task.*.status.voluntary_ctxt_switches", Moment, STATUS, HISTORY),
    line("task.*.status.nonvoluntary_ctxt_switches", Moment, STATUS, HISTORY),
    line("task.*.status.*", Exact, STATUS, STATE),
    // stat
    line("task.*.stat.flags", Moment, STAT, "PF_ bits of how the task came to be"),
    line("task.*.stat.priority", Moment, STAT, "follows from nice value and policy"),
    line("task.*.stat.minflt", Moment, STAT, HISTORY),
    line("task.*.stat.cminflt", Moment, STAT, HISTORY),
    line("task.*.stat.majflt", Moment, STAT, HISTORY),
    line("task.*.stat.cmajflt", Moment, STAT, HISTORY),
    line("task.*.stat.utime", Moment, STAT, HISTORY),
    line("task.*.stat.stime", Moment, STAT, HISTORY),
    line("task.*.stat.cutime", Moment, STAT, HISTORY),
    line("task.*.stat.cstime", Moment, STAT, HISTORY),
    line("task.*.stat.guest_time", Moment, STAT, HISTORY),
    line("task.*.stat.cguest_time", Moment, STAT, HISTORY),
    line("task.*.stat.delayacct_blkio_ticks", Moment, STAT, HISTORY),
    line("task.*.stat.starttime", Moment, STAT, STAMP),
    line("task.*.stat.rss", Moment, STAT, RESIDENCY),
    line("task.*.stat.processor", Moment, STAT, "where it ran last"),
    line("task.*.stat.wchan", Moment, STAT, "where a held task sleeps"),
    line("task.*.stat.kstkesp", Moment, STAT, "zero unless the task dies"),
    line("task.*.stat.kstkeip", Moment, STAT, "zero unless the task dies"),
    line("task.*.stat.*", Exact, STAT, STATE),
    line("task.*.nice", Exact, STAT, STATE),
    line("task.*.state", Exact, STAT, "stopped and ended tasks stay so"),
    // other files of /proc/PID
    line(
        "task.*.timens_offsets",
        Moment,
        "/proc/PID/timens_offsets",
        "what the clocks read is compared, as `clock`",
    ),
    line("task.*.autogroup.id", Identity("autogroup"), "/proc/PID/autogroup", CHOSEN),
    line("task.*.autogroup.nice", Exact, "/proc/PID/autogroup", STATE),
    line("task.*.sessionid", Moment, "/proc/PID/sessionid", "the node's audit session"),
    line(
        "task.*.patch_state",
        Moment,
        "/proc/PID/patch_state",
        "live patching of the node's kernel",
    ),
    line(
        "task.*.cpuset",
        Moment,
        "/proc/PID/cpuset",
        "a path of the node; compared as `cgroup.path`",
    ),
    line("task.*.limits.*", Exact, "/proc/PID/limits", STATE),
    line("task.*.auxv.*", Exact, "/proc/PID/auxv", STATE),
    line("task.*.timer.*", Exact, "/proc/PID/timers", STATE),
    line("task.*.sched.*", Exact, "sched_getattr(2)", STATE),
    line("task.*.ioprio", Exact, "ioprio_get(2)", STATE),
    line("task.*.robust_list", Exact, "get_robust_list(2)", STATE),
    line("task.*.shares.*", Exact, "kcmp(2)", "who shares with whom, by the first one's name"),
    line("task.*.attr.*", Exact, "/proc/PID/task/TID/attr", STATE),
    // namespaces
    line("*.ns.time", Identity("ns.time"), "/proc/PID/ns", CHOSEN),
    line("*.ns.time_for_children", Identity("ns.time"), "/proc/PID/ns", CHOSEN),
    line("node.ns.*", Identity("ns"), "/proc/self/ns", CHOSEN),
    line("pod.ns.*", Identity("ns"), "the files that pin them", CHOSEN),
    line("task.*.fd.*.ns", Identity("ns"), "/proc/PID/fd", CHOSEN),
    line("task.*.ns.*", Identity("ns"), "/proc/PID/ns", CHOSEN),
    // mappings and memory
    line("task.*.map.*.inode", Identity("inode"), MAPS, CHOSEN),
    line("task.*.map.*.accounted", Exact, MAPS, "counts against the commit limit"),
    line("task.*.map.*.softdirty", Moment, MAPS, "written to since somebody asked: history"),
    line("task.*.map.*", Exact, MAPS, STATE),
    line(
        "task.*.unreadable",
        Exact,
        "/proc/PID/mem",
        "guard pages, and pages past the end of a file",
    ),
    // descriptors
    line("task.*.fd.*.ino", Identity("inode"), FSTAT, CHOSEN),
    line("task.*.fd.*.mnt_id", Identity("mount"), FDINFO, CHOSEN),
    line("task.*.fd.*.it_value", Clock, FDINFO, "what is left of a timer"),
    line("task.*.fd.*.eventfd-id", Identity("eventfd"), FDINFO, CHOSEN),
    line("task.*.fd.*.f_handle", Moment, FDINFO, "the inode in the file system's own words"),
    line("task.*.fd.*.fhandle_bytes", Moment, FDINFO, "the inode in the file system's own words"),
    line("task.*.fd.*.fhandle_type", Moment, FDINFO, "the inode in the file system's own words"),
    line("task.*.fd.*.socket.ino", Identity("socket"), FSTAT, CHOSEN),
    line("task.*.fd.*.socket.peer", Identity("socket"), "sock_diag(7)", CHOSEN),
    line("task.*.fd.*.socket.vfs", Identity("inode"), "sock_diag(7)", CHOSEN),
    line(
        "task.*.fd.*.socket.wqueue",
        Moment,
        "sock_diag(7)",
        "memory in the allocator's units; what was sent is compared where it waits to be read",
    ),
    line("task.*.fd.*.socket.so_incoming_cpu", Moment, SOCKET, "where its last packet was handled"),
    line(
        "task.*.fd.*.socket.so_incoming_napi_id",
        Moment,
        SOCKET,
        "which queue its last packet came by",
    ),
    line("task.*.fd.*.socket.so_meminfo", Moment, SOCKET, "memory accounted at the moment"),
    line("task.*.fd.*.socket.so_netns_cookie", Identity("netns cookie"), SOCKET, CHOSEN),
    line(
        "task.*.fd.*.socket.tcp_quickack",
        Moment,
        SOCKET,
        "the kernel moves it with the traffic, see tcp(7)",
    ),
    line("task.*.fd.*.socket.tcp_maxseg", Moment, SOCKET, PATH),
    line("task.*.fd.*.socket.content", Content, "recv(2) with MSG_PEEK", STATE),
    line("task.*.fd.*.socket.*", Exact, SOCKET, STATE),
    line("task.*.fd.*.file", Exact, "kcmp(2)", "who shares one open file, by the first one's name"),
    line("task.*.fd.*.target", Exact, "kcmp(2)", "what an epoll item watches"),
    line("task.*.fd.*.content", Content, "tee(2) or pread(2) by pidfd_getfd(2)", STATE),
    line("task.*.fd.*.st_*", Exact, FSTAT, STATE),
    line("task.*.fd.*.f_*", Exact, "fcntl(2) by pidfd_getfd(2)", STATE),
    line("task.*.fd.*.type", Exact, "/proc/PID/fd", STATE),
    line("task.*.fd.*.path", Exact, "/proc/PID/fd", STATE),
    line("task.*.fd.*.c_*", Exact, "tcgetattr(3)", STATE),
    line("task.*.fd.*.winsize", Exact, "ioctl TIOCGWINSZ", STATE),
    line("task.*.fd.*.fionread", Exact, "ioctl FIONREAD", STATE),
    line("task.*.fd.*", Exact, FDINFO, STATE),
    // told by tracing
    line("task.*.traced.*.filter", Content, "ptrace(2) PTRACE_SECCOMP_GET_FILTER", STATE),
    line("task.*.traced.*.si_value", Content, "ptrace(2) PTRACE_PEEKSIGINFO", STATE),
    line("task.*.traced.rseq.*", Exact, "ptrace(2) PTRACE_GET_RSEQ_CONFIGURATION", STATE),
    line("task.*.traced.*", Exact, "ptrace(2)", STATE),
    // mounts
    line("task.*.mount.*.mount_id", Identity("mount"), MOUNTS, CHOSEN),
    line("task.*.mount.*.parent_id", Identity("mount"), MOUNTS, CHOSEN),
    line("task.*.mount.*.device", Identity("device"), MOUNTS, CHOSEN),
    line("task.*.mount.*.propagation.*", Identity("peer group"), MOUNTS, CHOSEN),
    line(
        "task.*.mount.*.layers",
        Moment,
        MOUNTS,
        "places on the node; their content is compared as files",
    ),
    line("task.*.mount.*", Exact, MOUNTS, STATE),
    // cgroups
    line("*cgroup.cgroup.pressure", Exact, CGROUP, STATE),
    line("*cgroup.*.current", Moment, CGROUP, WATCHED),
    line("*cgroup.*.peak", Moment, CGROUP, WATCHED),
    line("*cgroup.*.stat", Moment, CGROUP, WATCHED),
    line("*cgroup.*.local", Moment, CGROUP, WATCHED),
    line("*cgroup.*.events", Moment, CGROUP, WATCHED),
    line("*cgroup.*.pressure", Moment, CGROUP, WATCHED),
    line("*cgroup.*.numa_stat", Moment, CGROUP, WATCHED),
    line(
        "*cgroup.*.procs",
        Moment,
        CGROUP,
        "the node's pids; membership is compared as `cgroup.path`",
    ),
    line(
        "*cgroup.*.threads",
        Moment,
        CGROUP,
        "the node's pids; membership is compared as `cgroup.path`",
    ),
    line("*cgroup.cgroup.freeze", Moment, CGROUP, "the pod is held while it is looked at"),
    line("task.*.cgroup.*", Exact, "/proc/PID/cgroup", STATE),
    line("cgroup.*", Exact, CGROUP, STATE),
    line("pod.cgroup.*", Exact, CGROUP, STATE),
    // clocks
    line(
        "clock.*",
        Clock,
        "clock_gettime(2), moved by the time namespace",
        "goes on where it stood",
    ),
    // IPC
    line("pod.sysv.*.rss", Moment, "/proc/sysvipc", RESIDENCY),
    line("pod.sysv.*.swap", Moment, "/proc/sysvipc", RESIDENCY),
    line("pod.sysv.*.atime", Moment, "/proc/sysvipc", STAMP),
    line("pod.sysv.*.dtime", Moment, "/proc/sysvipc", STAMP),
    line("pod.sysv.*.ctime", Moment, "/proc/sysvipc", STAMP),
    line("pod.sysv.*.otime", Moment, "/proc/sysvipc", STAMP),
    line("pod.sysv.*.stime", Moment, "/proc/sysvipc", STAMP),
    line("pod.sysv.*.rtime", Moment, "/proc/sysvipc", STAMP),
    line("pod.sysv.*.mtext", Content, "msgrcv(2) with MSG_COPY", STATE),
    line("pod.sysv.*", Exact, "/proc/sysvipc", STATE),
    line("mqueue.*", Exact, "/dev/mqueue", STATE),
    line("pod.uts.*", Exact, "uname(2)", STATE),
    // sysctls
    line(
        "pod.sysctl.net.*.nf_conntrack_count",
        Moment,
        SYSCTL,
        "how many connections are tracked at the moment",
    ),
    line("pod.sysctl.*", Exact, SYSCTL, STATE),
    // network
    line("pod.*.ifindex", Identity("ifindex"), IP, CHOSEN),
    line("pod.link.*.link_index", Moment, IP, "the number of the other end, in another namespace"),
    line("pod.link.*.link_netnsid", Moment, IP, "the number of another namespace"),
    line("pod.addr.*.valid_life_time", Moment, IP, "runs down; for ever is told by the flags"),
    line("pod.addr.*.preferred_life_time", Moment, IP, "runs down; for ever is told by the flags"),
    line("pod.addr.*.tentative", Moment, IP, "its duplicate is still being looked for"),
    line("pod.neigh_cache.*", Moment, "ip -j neigh", "a cache that fills and ages by itself"),
    line("pod.qdisc.*.handle", Identity("qdisc"), "tc -j qdisc", CHOSEN),
    line("pod.qdisc.*", Exact, "tc -j qdisc", STATE),
    line("pod.nft.*.handle", Moment, "nft -j list ruleset", CHOSEN),
    line("pod.nft.*", Exact, "nft -j list ruleset", STATE),
    line(
        "pod.net.tcp_time_wait.*",
        Moment,
        "/proc/net/tcp",
        "a closed connection that waits for stray packets",
    ),
    line(
        "pod.net.tcp6_time_wait.*",
        Moment,
        "/proc/net/tcp6",
        "a closed connection that waits for stray packets",
    ),
    line("pod.net.*.inode", Identity("socket"), "/proc/net", CHOSEN),
    line(
        "pod.net.*.tm_when",
        Moment,
        "/proc/net",
        "what is left of a retransmission or probe, which go on while the pod is held",
    ),
    line("pod.net.*.tr", Moment, "/proc/net", "which timer runs at the moment"),
    line("pod.net.*.retrnsmt", Moment, "/proc/net", HISTORY),
    line("pod.net.*.timeout", Moment, "/proc/net", HISTORY),
    line("pod.net.netlink.rows", Moment, "/proc/net", "counts the observer's own sockets"),
    line("pod.net.*", Exact, "/proc/net", STATE),
    // files
    line(
        "root.*.xattr.trusted.overlay.origin",
        Moment,
        "lgetxattr(2)",
        "the lower file in the file system's own words",
    ),
    line("root.*.xattr.trusted.overlay.uuid", Moment, "lgetxattr(2)", CHOSEN),
    line(
        "root.*.xattr.trusted.overlay.impure",
        Moment,
        "lgetxattr(2)",
        "a hint of overlayfs to itself",
    ),
    line("root.*.ino", Identity("inode in layer"), "lstat(2)", CHOSEN),
    line("root.*.ctime", Moment, "lstat(2)", STAMP),
    line("root.*.content", Content, "pread(2)", STATE),
    line("root.*", Exact, "lstat(2), lgetxattr(2)", STATE),
    line("tmpfs.*.ino", Identity("inode"), "lstat(2)", CHOSEN),
    line("tmpfs.*.ctime", Moment, "lstat(2)", STAMP),
    line("tmpfs.*.content", Content, "pread(2)", STATE),
    line("tmpfs.*", Exact, "lstat(2), lgetxattr(2)", STATE),
    line("pod.shm.*.ino", Identity("inode"), "lstat(2)", CHOSEN),
    line("pod.shm.*.ctime", Moment, "lstat(2)", STAMP),
    line("pod.shm.*.content", Content, "pread(2)", STATE),
    line("pod.shm.*", Exact, "lstat(2), lgetxattr(2)", STATE),
    line("pod.*", Exact, IP, STATE),
    line("task.*", Exact, "/proc/PID", STATE),
];
