//! Lines for what the tasks of a pod have in common: IPC, names, clocks, sysctls, cgroups.

use super::Kind::{Clock, Content, Exact, Moment};
use super::Rule;
use super::lines::{RESIDENCY, STAMP, STATE, lines};

pub(super) const CLOCKS: &[Rule] = lines!("clock.", "clock_gettime(2), moved by the time namespace";
    Clock, "", "goes on where it stood" => "monotonic", "boottime";
);

const SYSV: &str = "/proc/sysvipc";

pub(super) const SYSTEM_V: &[Rule] = lines!("pod.sysv.", SYSV;
    Exact, "", STATE =>
        "shm.*.key", "shm.*.perms", "shm.*.size", "shm.*.nattch", "shm.*.uid", "shm.*.gid",
        "shm.*.cuid", "shm.*.cgid",
        "sem.*.key", "sem.*.perms", "sem.*.nsems", "sem.*.uid", "sem.*.gid", "sem.*.cuid",
        "sem.*.cgid",
        "msg.*.key", "msg.*.perms", "msg.*.cbytes", "msg.*.qnum", "msg.*.uid", "msg.*.gid",
        "msg.*.cuid", "msg.*.cgid";
    Exact, "", "as the container numbers it" =>
        "shm.*.cpid", "shm.*.lpid", "msg.*.lspid", "msg.*.lrpid";
    Moment, "", RESIDENCY => "shm.*.rss", "shm.*.swap";
    Moment, "", STAMP =>
        "shm.*.atime", "shm.*.dtime", "shm.*.ctime", "sem.*.otime", "sem.*.ctime", "msg.*.stime",
        "msg.*.rtime", "msg.*.ctime";
);

pub(super) const SYSTEM_V_CALLS: &[&[Rule]] = &[
    lines!("pod.sysv.", "semctl(2)";
        Exact, "", STATE => "sem.*.semval";
        Exact, "", "as the container numbers it" => "sem.*.sempid";
    ),
    lines!("pod.sysv.", "msgctl(2)"; Exact, "", STATE => "msg.*.qbytes";),
    lines!("pod.sysv.", "msgrcv(2) with MSG_COPY";
        Exact, "3.8", STATE => "msg.*.mtype";
        Content, "3.8", STATE => "msg.*.mtext";
    ),
];

pub(super) const MQUEUE: &[Rule] = lines!("mqueue.*.", "/dev/mqueue";
    Exact, "", STATE => "qsize", "notify", "signo", "mode", "uid", "gid";
    Exact, "", "as the container numbers it" => "notify_pid";
);

pub(super) const MQUEUE_CALL: &[Rule] = lines!("mqueue.*.", "mq_getattr(3)";
    Exact, "", STATE => "mq_maxmsg", "mq_msgsize", "mq_curmsgs";
);

pub(super) const NAMES: &[Rule] =
    lines!("pod.uts.", "uname(2)"; Exact, "", STATE => "hostname", "domainname";);

/// Sysctls, family by family: every file of these folders is read.
pub(super) const SYSCTLS: &[&[Rule]] = &[
    lines!("pod.sysctl.net.*.", "/proc/sys/net/netfilter";
        Moment, "", "how many connections are tracked at the moment" => "nf_conntrack_count";
    ),
    lines!("pod.sysctl.net.", "/proc/sys/net/core"; Exact, "", STATE => "core.*";),
    lines!("pod.sysctl.net.", "/proc/sys/net/unix"; Exact, "", STATE => "unix.*";),
    lines!("pod.sysctl.net.", "/proc/sys/net/netfilter"; Exact, "", STATE => "netfilter.*";),
    lines!("pod.sysctl.net.", "/proc/sys/net/mptcp"; Exact, "5.6", STATE => "mptcp.*";),
    lines!("pod.sysctl.net.", "/proc/sys/net/mpls"; Exact, "", STATE => "mpls.*";),
    lines!("pod.sysctl.net.", "/proc/sys/net/sctp"; Exact, "", STATE => "sctp.*";),
    lines!("pod.sysctl.net.", "/proc/sys/net/vsock"; Exact, "7.0", STATE => "vsock.*";),
    lines!("pod.sysctl.net.ipv4.", "/proc/sys/net/ipv4";
        Exact, "", "settings of each link" => "conf.*";
        Exact, "", "settings of each link's neighbours" => "neigh.*";
        Exact, "", "routes" => "route.*";
        Exact, "", "for the link, IPsec" => "xfrm4_gc_thresh";
        Exact, "", "echo requests" => "icmp_*", "ping_group_range";
        Exact, "", "multicast groups" => "igmp_*";
        Exact, "", "fragments" => "ipfrag_*";
        Exact, "", "TCP" => "tcp_*";
        Exact, "", "UDP" => "udp_*";
        Exact, "", "IP" => "ip_*", "fwmark_reflect", "fib_*", "inet_*", "raw_*";
        Exact, "6.7", "nexthop groups" => "nexthop_*";
        Exact, "", "time of peers" => "cipso_*";
    ),
    lines!("pod.sysctl.net.ipv6.", "/proc/sys/net/ipv6";
        Exact, "", "settings of each link" => "conf.*";
        Exact, "", "settings of each link's neighbours" => "neigh.*";
        Exact, "", "routes" => "route.*";
        Exact, "", "echo requests" => "icmp.*";
        Exact, "", "for the link, IPsec" => "xfrm6_gc_thresh";
        Exact, "", "fragments" => "ip6frag_*";
        Exact, "", "IP" => "ip_*", "anycast_*", "auto_flowlabels", "bindv6only", "calipso_*",
            "fib_*", "flowlabel_*", "fwmark_reflect", "idgen_*", "ioam6_*", "max_*", "mld_*",
            "seg6_*";
    ),
    lines!("pod.sysctl.", "/proc/sys/kernel";
        Exact, "", STATE => "kernel.sem", "kernel.shmmax", "kernel.shmall", "kernel.shmmni",
            "kernel.shm_rmid_forced", "kernel.msgmax", "kernel.msgmni", "kernel.msgmnb",
            "kernel.auto_msgmni", "kernel.sem_next_id", "kernel.shm_next_id",
            "kernel.msg_next_id";
    ),
    lines!("pod.sysctl.", "/proc/sys/fs/mqueue";
        Exact, "", STATE => "fs.mqueue.queues_max", "fs.mqueue.msg_max", "fs.mqueue.msgsize_max",
            "fs.mqueue.msg_default", "fs.mqueue.msgsize_default";
    ),
];

/// Of the pid namespace of each container, as its members see them.
pub(super) const PID_NAMESPACE: &[&[Rule]] = &[
    lines!("pidns.", "/proc/sys/kernel";
        Exact, "", "after which number the next pid is looked for" => "ns_last_pid";
        Exact, "6.14", STATE => "pid_max";
    ),
    lines!("pidns.", "/proc/sys/vm"; Exact, "6.3", STATE => "memfd_noexec";),
];

const FILES: &str = "files of the cgroup";
const WATCHED: &str = "what the cgroup used, or its pressure, up to now";
const MEMBERS: &str = "the node's pids; membership is compared as `cgroup.path`";

pub(super) const CGROUPS: &[Rule] = lines!("*cgroup*.", FILES;
    Exact, "", STATE =>
        "cgroup.type", "cgroup.controllers", "cgroup.subtree_control", "cgroup.max.depth",
        "cgroup.max.descendants";
    Exact, "6.1", STATE => "cgroup.pressure";
    Moment, "", MEMBERS => "cgroup.procs", "cgroup.threads";
    Moment, "", WATCHED => "cgroup.stat", "cgroup.events", "cgroup.stat.local";
    Moment, "", "the pod is held while it is looked at" => "cgroup.freeze";
    Exact, "", STATE => "cpu.idle", "cpu.max", "cpu.max.burst", "cpu.uclamp.max", "cpu.uclamp.min",
        "cpu.weight", "cpu.weight.nice";
    Moment, "", WATCHED => "cpu.stat", "cpu.stat.local", "cpu.pressure", "irq.pressure";
    Exact, "", STATE => "cpuset.cpus", "cpuset.cpus.effective", "cpuset.cpus.partition",
        "cpuset.mems", "cpuset.mems.effective", "cpuset.cpus.exclusive",
        "cpuset.cpus.exclusive.effective";
    Exact, "", STATE => "io.max", "io.weight", "io.bfq.weight", "io.latency", "io.prio.class";
    Moment, "", WATCHED => "io.stat", "io.pressure";
    Exact, "", STATE => "memory.min", "memory.low", "memory.high", "memory.max", "memory.oom.group",
        "memory.swap.high", "memory.swap.max", "memory.zswap.max";
    Exact, "6.8", STATE => "memory.zswap.writeback";
    Moment, "", WATCHED => "memory.current", "memory.peak", "memory.events", "memory.events.local",
        "memory.stat", "memory.numa_stat", "memory.swap.current", "memory.swap.peak",
        "memory.swap.events", "memory.zswap.current", "memory.pressure";
    Exact, "", STATE => "pids.max";
    Moment, "", WATCHED => "pids.current", "pids.peak", "pids.events", "pids.events.local";
    Exact, "", STATE => "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max", "hugetlb.1GB.max",
        "hugetlb.1GB.rsvd.max";
    Moment, "", WATCHED => "hugetlb.2MB.current", "hugetlb.2MB.rsvd.current", "hugetlb.2MB.events",
        "hugetlb.2MB.events.local", "hugetlb.2MB.numa_stat", "hugetlb.1GB.current",
        "hugetlb.1GB.rsvd.current", "hugetlb.1GB.events", "hugetlb.1GB.events.local",
        "hugetlb.1GB.numa_stat";
    Exact, "", STATE => "rdma.max", "misc.max", "misc.capacity";
    Moment, "", WATCHED => "rdma.current", "misc.current", "misc.events", "misc.peak",
        "misc.events.local";
    Exact, "6.15", STATE => "dmem.max", "dmem.min", "dmem.low", "dmem.capacity";
    Moment, "6.15", WATCHED => "dmem.current";
);
