//! What is not captured, and why.

use super::lines::{HISTORY, RESIDENCY};
use super::node_sysctls::{FS, KERNEL, OTHER, USER, VM};

/// Something that the kernel shows and that is not captured.
#[derive(Clone, Copy, Debug)]
pub struct NotCaptured {
    /// What it is.
    pub what: &'static str,
    /// Why it is left out.
    pub reason: &'static str,
    /// Patterns of the [entries](super::Entry) that this is about, as `SOURCE WORD`.
    pub entries: &'static [&'static str],
}

/// Why a sysctl of the node is left out.
const NODE: &str = "of the whole node, not of the pod";

/// The source of socket options, with the blank before the option's name.
macro_rules! option {
    () => {
        "getsockopt(2) by pidfd_getfd(2) "
    };
}

const fn not(
    what: &'static str,
    entries: &'static [&'static str],
    reason: &'static str,
) -> NotCaptured {
    NotCaptured { what, reason, entries }
}

/// The list.
pub const NOT_CAPTURED: &[NotCaptured] = &[
    not(
        "/proc/PID/wchan, stack, syscall",
        &["/proc/PID/wchan", "/proc/PID/stack", "/proc/PID/syscall"],
        "where a task sleeps: a held task sleeps in the freezer",
    ),
    not(
        "/proc/PID/io, sched, schedstat, statm, smaps_rollup, oom_score, latency",
        &[
            "/proc/PID/io",
            "/proc/PID/sched",
            "/proc/PID/schedstat",
            "/proc/PID/statm",
            "/proc/PID/smaps_rollup",
            "/proc/PID/oom_score",
            "/proc/PID/latency",
        ],
        HISTORY,
    ),
    not("/proc/PID/clear_refs", &["/proc/PID/clear_refs"], "can only be written"),
    not("/proc/PID/net", &["/proc/PID/net"], "told once for the pod"),
    not(
        "/proc/PID/oom_adj",
        &["/proc/PID/oom_adj"],
        "the old name of oom_score_adj, in a coarser unit",
    ),
    not(
        "/proc/PID/maps, map_files, pagemap, numa_maps",
        &["/proc/PID/maps", "/proc/PID/map_files", "/proc/PID/pagemap", "/proc/PID/numa_maps"],
        "the mappings are told by smaps, and their pages by digests; which node of the machine \
         holds a page is residency",
    ),
    not(
        "/proc/PID/mounts, mountstats",
        &["/proc/PID/mounts", "/proc/PID/mountstats"],
        "the same as mountinfo, with less in it",
    ),
    not(
        "/proc/PID/task, children",
        &["/proc/PID/task", "/proc/PID/children"],
        "the tasks and threads of the pod are what the names of all facts are made of",
    ),
    not("/proc/PID/arch_status", &["/proc/PID/arch_status"], "when AVX-512 was used last: history"),
    not(
        "/proc/PID/ksm_merging_pages, ksm_stat",
        &["/proc/PID/ksm_merging_pages", "/proc/PID/ksm_stat*"],
        "which equal pages the node has merged: residency; what may be merged is `mg` in VmFlags",
    ),
    not(
        "fields of stat that status tells, too",
        &[
            "/proc/PID/stat ppid",
            "/proc/PID/stat pgrp",
            "/proc/PID/stat session",
            "/proc/PID/stat signal",
            "/proc/PID/stat blocked",
            "/proc/PID/stat sigignore",
            "/proc/PID/stat sigcatch",
        ],
        "numbers of the reader's pid namespace, and half of the signals: `status` has them whole",
    ),
    not(
        "/proc/PID/cpu_resctrl_groups",
        &["/proc/PID/cpu_resctrl_groups"],
        "a group of the node's hardware, which no container runtime carries along",
    ),
    not(
        "counters of the network: netstat, snmp, sockstat, protocols, softnet_stat ...",
        &[
            "/proc/PID/net/netstat",
            "/proc/PID/net/snmp*",
            "/proc/PID/net/dev_snmp6",
            "/proc/PID/net/sockstat*",
            "/proc/PID/net/protocols",
            "/proc/PID/net/softnet_stat",
            "/proc/PID/net/xfrm_stat",
            "/proc/PID/net/rt_acct",
            "/proc/PID/net/rt6_stats",
            "/proc/PID/net/rt_cache",
            "/proc/PID/net/fib_triestat",
            "/proc/PID/net/stat",
            "/proc/PID/net/dev",
            "/proc/PID/net/psched",
        ],
        HISTORY,
    ),
    not(
        "links, addresses, routes, neighbours and conntrack in /proc/PID/net",
        &[
            "/proc/PID/net/arp",
            "/proc/PID/net/route",
            "/proc/PID/net/ipv6_route",
            "/proc/PID/net/fib_trie",
            "/proc/PID/net/if_inet6",
            "/proc/PID/net/dev_mcast",
            "/proc/PID/net/wireless",
            "/proc/PID/net/vlan",
            "/proc/PID/net/bonding",
            "/proc/PID/net/nf_conntrack*",
        ],
        "told by rtnetlink and nfnetlink, with more in it",
    ),
    not(
        "rules of arptables-legacy and ebtables-legacy",
        &[
            "/proc/PID/net/ip_tables_targets",
            "/proc/PID/net/ip_tables_matches",
            "/proc/PID/net/ip6_tables_targets",
            "/proc/PID/net/ip6_tables_matches",
            "/proc/PID/net/arp_tables_targets",
            "/proc/PID/net/arp_tables_matches",
        ],
        "targets and matches that the kernel has loaded say nothing of the pod; tables of arptables \
         are compared by their names; nothing lists those of ebtables, and asking for one makes it",
    ),
    not(
        "sets of ipset",
        &[],
        "rules of iptables-legacy alone use them; sets of nftables are compared",
    ),
    not(
        "RTM_GETNETCONF, RTM_GETNEIGHTBL",
        &[],
        "each number of them is a sysctl, and compared there",
    ),
    not(
        "RTM_GETNSID",
        &[],
        "how one network namespace numbers others; who is whose peer is the node's",
    ),
    not(
        "multicast routing in /proc/PID/net",
        &["/proc/PID/net/ip_mr_*", "/proc/PID/net/ip6_mr_*"],
        "it lives and ends with the socket of a routing daemon, which CRIU refuses",
    ),
    not(
        "/proc/PID/net/ptype, netfilter, connector",
        &[
            "/proc/PID/net/ptype",
            "/proc/PID/net/netfilter",
            "/proc/PID/net/connector",
            "/proc/PID/net/xt_*",
            "/proc/PID/net/rpc",
            "/proc/PID/net/vsock",
        ],
        "which parts of the node's kernel take packets",
    ),
    not(
        "cgroup.kill, memory.reclaim",
        &["files of the cgroup cgroup.kill", "files of the cgroup memory.reclaim"],
        "can only be written",
    ),
    not(
        "numbers by which rows are named, and devices of inodes",
        &[
            "/proc/PID/fdinfo ino",
            "/proc/PID/fdinfo nspid",
            "/proc/PID/fdinfo *.wd",
            "/proc/PID/fdinfo *.sdev",
            "/proc/PID/fdinfo tfd.tfd",
            "/proc/sysvipc shm.shmid",
            "/proc/sysvipc sem.semid",
            "/proc/sysvipc msg.msqid",
            "descriptors that were made *",
        ],
        "they are part of the fact's name, or of an inode's",
    ),
    not(
        "Rss, Pss, Shared_*, Private_*, Referenced ... of a mapping",
        &[
            "/proc/PID/smaps size",
            "/proc/PID/smaps kernelpagesize",
            "/proc/PID/smaps mmupagesize",
            "/proc/PID/smaps rss",
            "/proc/PID/smaps pss",
            "/proc/PID/smaps pss_dirty",
            "/proc/PID/smaps shared_clean",
            "/proc/PID/smaps shared_dirty",
            "/proc/PID/smaps private_clean",
            "/proc/PID/smaps private_dirty",
            "/proc/PID/smaps referenced",
            "/proc/PID/smaps anonymous",
            "/proc/PID/smaps lazyfree",
            "/proc/PID/smaps anonhugepages",
            "/proc/PID/smaps ksm",
            "/proc/PID/smaps shmempmdmapped",
            "/proc/PID/smaps filepmdmapped",
            "/proc/PID/smaps shared_hugetlb",
            "/proc/PID/smaps private_hugetlb",
            "/proc/PID/smaps swap",
            "/proc/PID/smaps swappss",
            "/proc/PID/smaps locked",
            "/proc/PID/smaps thpeligible",
        ],
        RESIDENCY,
    ),
    not(
        "pages of device mappings (VmFlags io, pf), [vvar], [vsyscall]",
        &[],
        "the kernel's own pages, or device registers: no task owns them",
    ),
    not(
        "content of System V segments that nobody has attached",
        &[],
        "attaching would change lpid and atime; the images have it",
    ),
    not(
        "which tasks share an I/O context",
        &["kcmp(2) io"],
        "kcmp(2) does not tell one that is shared from none at all",
    ),
    not("what waits in a socket whose SO_PEEK_OFF is set", &[], "looking moves the offset"),
    not(
        "multicast options of TCP sockets",
        &[],
        "TCP has no multicast, and the kernel keeps the peer's TTL there",
    ),
    not(
        "limits, masks, credentials ... of a zombie",
        &[],
        "it never runs again; pids, owner and exit code are compared",
    ),
    not(
        "SO_ERROR, PACKET_STATISTICS, TCP_SAVED_SYN",
        &[
            concat!(option!(), "so_error"),
            concat!(option!(), "packet_statistics"),
            concat!(option!(), "tcp_saved_syn"),
        ],
        "reading takes the value away",
    ),
    not(
        "SO_COOKIE, SO_PEERPIDFD, TCP_ZEROCOPY_RECEIVE",
        &[
            concat!(option!(), "so_cookie"),
            concat!(option!(), "so_peerpidfd"),
            concat!(option!(), "tcp_zerocopy_receive"),
        ],
        "reading makes something: a number of the kernel's own, a descriptor, a mapping",
    ),
    not(
        "SO_RCVTIMEO_NEW, SO_SNDTIMEO_NEW, SO_VM_SOCKETS_CONNECT_TIMEOUT_NEW",
        &[
            concat!(option!(), "so_rcvtimeo_new"),
            concat!(option!(), "so_sndtimeo_new"),
            concat!(option!(), "vm_sockets_connect_timeout_new"),
        ],
        "the same values in another structure",
    ),
    not(
        "SO_BPF_EXTENSIONS, PACKET_HDRLEN",
        &[concat!(option!(), "so_bpf_extensions"), concat!(option!(), "packet_hdrlen")],
        "constants of the kernel, not the socket's",
    ),
    not(
        "IP_MTU, IPV6_MTU, IPV6_PATHMTU, TCP_CC_INFO",
        &[
            concat!(option!(), "ip_mtu"),
            concat!(option!(), "ipv6_mtu"),
            concat!(option!(), "ipv6_pathmtu"),
            concat!(option!(), "tcp_cc_info"),
        ],
        "the kernel's estimate of the path, begun anew on a new path",
    ),
    not(
        "IP_PKTOPTIONS, IPV6_2292PKTOPTIONS",
        &[concat!(option!(), "ip_pktoptions"), concat!(option!(), "ipv6_2292pktoptions")],
        "what came with the packet that was read last",
    ),
    not(
        "TCP_TIMESTAMP",
        &[concat!(option!(), "tcp_timestamp")],
        "the node's clock plus an offset, in units that differ with the route; CRIU's images have it",
    ),
    not(
        "options of MPTCP",
        &[concat!(option!(), "mptcp_*")],
        "CRIU refuses such sockets, so none can come back",
    ),
    not("messages of POSIX queues", &[], "receiving takes them away"),
    not(
        "bytes that TCP has sent and that are not acknowledged",
        &[concat!(option!(), "tcp_repair_*"), concat!(option!(), "tcp_queue_seq")],
        "shown in repair mode only, which stops the connection; their number is compared",
    ),
    not(
        "time that is left on POSIX timers and interval timers",
        &[],
        "shown to their own process only",
    ),
    not(
        "content of files that an inotify watch of the pod would tell of",
        &[],
        "reading puts events into the task's queue",
    ),
    not(
        "what prctl(2) and arch_prctl(2) tell (parent death signal, child subreaper, dumpable ...)",
        &[],
        "shown to the task itself only; the images have what CRIU knows of it",
    ),
    not(
        "/proc/sys/kernel/hostname, domainname, osrelease, ostype, version, cap_last_cap",
        &[
            "/proc/sys/kernel hostname",
            "/proc/sys/kernel domainname",
            "/proc/sys/kernel osrelease",
            "/proc/sys/kernel ostype",
            "/proc/sys/kernel version",
            "/proc/sys/kernel cap_last_cap",
        ],
        "the names are compared by uname(2); the rest is the kernel that runs",
    ),
    not("sysctls of the kernel", KERNEL, NODE),
    not("sysctls of memory", VM, NODE),
    not("sysctls of file systems", FS, NODE),
    not("other sysctls", OTHER, NODE),
    not(
        "/proc/sys/user",
        USER,
        "of the user namespace, and shown to its members only; a pod has none of its own",
    ),
];
