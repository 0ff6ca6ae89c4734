//! Lines for what `/proc/PID` and system calls tell about a task and its threads.

use super::Kind::{Content, Exact, Identity, Moment};
use super::Rule;
use super::lines::{CHOSEN, HISTORY, RESIDENCY, STAMP, STATE, lines};

/// Values of environment variables have names that could be anything: first of all lines.
pub(super) const ENVIRON: &[Rule] = lines!("task.*.", "/proc/PID/environ";
    Exact, "", STATE => "environ.*.value";
    Content, "", STATE => "environ";
);

const STATUS_FILE: &str = "/proc/PID/status";

pub(super) const STATUS: &[Rule] = lines!("task.*.status.", STATUS_FILE;
    Exact, "", "the pid in the container" => "tgid", "ppid";
    Exact, "4.1", "as the container numbers it" => "nspid", "nstgid", "nspgid", "nssid";
    Exact, "", STATE =>
        "name", "uid", "gid", "groups", "tracerpid", "threads",
        "sigpnd", "shdpnd", "sigblk", "sigign", "sigcgt",
        "capinh", "capprm", "capeff", "capbnd",
        "seccomp", "cpus_allowed", "cpus_allowed_list", "mems_allowed", "mems_allowed_list";
    Exact, "", "follows from the mappings" =>
        "vmsize", "vmdata", "vmstk", "vmexe", "vmlib";
    Exact, "", "how much of it is locked" => "vmlck";
    Exact, "4.4", "huge pages that are mapped" => "hugetlbpages";
    Exact, "4.3", STATE => "capamb";
    Exact, "4.7", STATE => "umask";
    Exact, "4.10", STATE => "nonewprivs";
    Exact, "4.15", STATE => "coredumping";
    Exact, "4.17", "mitigation of speculation, as prctl(2) set it" => "speculation_store_bypass";
    Exact, "5.0", "PR_SET_THP_DISABLE" => "thp_enabled";
    Exact, "5.9", "how many filters there are" => "seccomp_filters";
    Exact, "5.12", "mitigation of speculation, as prctl(2) set it" => "speculationindirectbranch";
    Exact, "6.4", STATE => "untag_mask";
    Exact, "6.6", "shadow stacks" => "x86_thread_features", "x86_thread_features_locked";
    Exact, "6.7", "a task of the kernel or not" => "kthread";
    Moment, "", "sleeping, running or in the freezer; what lasts is the fact `state`" => "state";
    Moment, "", "the node's number; the container's own is `nspid`" => "pid";
    Moment, "", "a guess of NUMA balancing" => "ngid";
    Moment, "", "size of a table that grows and never shrinks" => "fdsize";
    Moment, "", HISTORY =>
        "vmpeak", "vmhwm", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches";
    Moment, "", RESIDENCY =>
        "vmrss", "rssanon", "rssfile", "rssshmem", "vmpte", "vmpmd", "vmswap";
    Moment, "", "pages that are held for I/O at the moment" => "vmpin";
    Moment, "", "counts signals of all processes of the user; the limit is `limits.sigpending`" =>
        "sigq";
);

/// Fields of `stat` from the third on, as proc_pid_stat(5) numbers and names them.
pub const STAT_FIELDS: &[&str] = &[
    "state",
    "ppid",
    "pgrp",
    "session",
    "tty_nr",
    "tpgid",
    "flags",
    "minflt",
    "cminflt",
    "majflt",
    "cmajflt",
    "utime",
    "stime",
    "cutime",
    "cstime",
    "priority",
    "nice",
    "num_threads",
    "itrealvalue",
    "starttime",
    "vsize",
    "rss",
    "rsslim",
    "startcode",
    "endcode",
    "startstack",
    "kstkesp",
    "kstkeip",
    "signal",
    "blocked",
    "sigignore",
    "sigcatch",
    "wchan",
    "nswap",
    "cnswap",
    "exit_signal",
    "processor",
    "rt_priority",
    "policy",
    "delayacct_blkio_ticks",
    "guest_time",
    "cguest_time",
    "start_data",
    "end_data",
    "start_brk",
    "arg_start",
    "arg_end",
    "env_start",
    "env_end",
    "exit_code",
];

const STAT_FILE: &str = "/proc/PID/stat";

pub(super) const STAT: &[Rule] = lines!("task.*.stat.", STAT_FILE;
    Exact, "", STATE =>
        "tty_nr", "tpgid", "num_threads", "rsslim", "startcode", "endcode", "startstack",
        "exit_signal", "rt_priority", "policy", "vsize";
    Exact, "3.3", "where the kernel looks for data and heap" => "start_data", "end_data", "start_brk";
    Exact, "3.5", "where arguments and environment are" =>
        "arg_start", "arg_end", "env_start", "env_end", "exit_code";
    Exact, "", "always zero" => "itrealvalue", "nswap", "cnswap";
    Moment, "", "PF_ bits of how the task came to be" => "flags";
    Moment, "", "follows from nice value and policy" => "priority";
    Moment, "", HISTORY =>
        "minflt", "cminflt", "majflt", "cmajflt", "utime", "stime", "cutime", "cstime",
        "guest_time", "cguest_time", "delayacct_blkio_ticks";
    Moment, "", STAMP => "starttime";
    Moment, "", RESIDENCY => "rss";
    Moment, "", "where it ran last" => "processor";
    Moment, "", "where a held task sleeps" => "wchan";
    Moment, "", "zero unless the task dies" => "kstkesp", "kstkeip";
);

pub(super) const OF_STAT: &[Rule] = lines!("task.*.", STAT_FILE;
    Exact, "", STATE => "nice";
    Exact, "", "stopped and ended tasks stay so" => "state";
);

const LIMITS_FILE: &str = "/proc/PID/limits";

pub(super) const LIMITS: &[Rule] = lines!("task.*.limits.", LIMITS_FILE;
    Exact, "", STATE =>
        "cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as",
        "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime";
);

/// The resource that the kernel calls so in `limits`, by its name in setrlimit(2).
#[must_use]
pub fn limit(words: &str) -> Option<&'static str> {
    RESOURCES.iter().find(|(known, _)| *known == words).map(|(_, name)| *name)
}

/// The kernel's words in `limits`, and the resource.
const RESOURCES: &[(&str, &str)] = &[
    ("Max cpu time", "cpu"),
    ("Max file size", "fsize"),
    ("Max data size", "data"),
    ("Max stack size", "stack"),
    ("Max core file size", "core"),
    ("Max resident set", "rss"),
    ("Max processes", "nproc"),
    ("Max open files", "nofile"),
    ("Max locked memory", "memlock"),
    ("Max address space", "as"),
    ("Max file locks", "locks"),
    ("Max pending signals", "sigpending"),
    ("Max msgqueue size", "msgqueue"),
    ("Max nice priority", "nice"),
    ("Max realtime priority", "rtprio"),
    ("Max realtime timeout", "rttime"),
];

const AUXV_FILE: &str = "/proc/PID/auxv";

pub(super) const AUXV: &[Rule] = lines!("task.*.auxv.", AUXV_FILE;
    Exact, "", STATE =>
        "at_phdr", "at_phent", "at_phnum", "at_pagesz", "at_base", "at_flags", "at_entry",
        "at_uid", "at_euid", "at_gid", "at_egid", "at_platform", "at_hwcap", "at_clktck",
        "at_secure", "at_random", "at_execfn", "at_sysinfo_ehdr", "at_notelf", "at_base_platform";
    Exact, "3.10", STATE => "at_hwcap2";
    Exact, "5.14", "how large a stack a signal needs" => "at_minsigstksz";
    Exact, "6.3", "what the kernel knows of rseq" => "at_rseq_feature_size", "at_rseq_align";
    Exact, "6.9", STATE => "at_hwcap3", "at_hwcap4";
);

/// The name of an entry of the auxiliary vector in getauxval(3).
#[must_use]
pub fn auxiliary(number: u64) -> Option<&'static str> {
    AUXILIARY.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

const AUXILIARY: &[(u64, &str)] = &[
    (3, "at_phdr"),
    (4, "at_phent"),
    (5, "at_phnum"),
    (6, "at_pagesz"),
    (7, "at_base"),
    (8, "at_flags"),
    (9, "at_entry"),
    (10, "at_notelf"),
    (11, "at_uid"),
    (12, "at_euid"),
    (13, "at_gid"),
    (14, "at_egid"),
    (15, "at_platform"),
    (16, "at_hwcap"),
    (17, "at_clktck"),
    (23, "at_secure"),
    (24, "at_base_platform"),
    (25, "at_random"),
    (26, "at_hwcap2"),
    (27, "at_rseq_feature_size"),
    (28, "at_rseq_align"),
    (29, "at_hwcap3"),
    (30, "at_hwcap4"),
    (31, "at_execfn"),
    (33, "at_sysinfo_ehdr"),
    (51, "at_minsigstksz"),
];

/// Files of one value, each of which is its own source.
pub(super) const FILES: &[&[Rule]] = &[
    lines!("task.*.", "/proc/PID/comm"; Exact, "", STATE => "comm";),
    lines!("task.*.", "/proc/PID/personality"; Exact, "", STATE => "personality";),
    lines!("task.*.", "/proc/PID/timerslack_ns"; Exact, "4.6", STATE => "timerslack_ns";),
    lines!("task.*.", "/proc/PID/coredump_filter"; Exact, "", STATE => "coredump_filter";),
    lines!("task.*.", "/proc/PID/uid_map"; Exact, "", STATE => "uid_map";),
    lines!("task.*.", "/proc/PID/gid_map"; Exact, "", STATE => "gid_map";),
    lines!("task.*.", "/proc/PID/projid_map"; Exact, "3.7", STATE => "projid_map";),
    lines!("task.*.", "/proc/PID/setgroups"; Exact, "3.19", STATE => "setgroups";),
    lines!("task.*.", "/proc/PID/loginuid"; Exact, "", STATE => "loginuid";),
    lines!("task.*.", "/proc/PID/oom_score_adj"; Exact, "", STATE => "oom_score_adj";),
    lines!("task.*.", "/proc/PID/exe"; Exact, "", STATE => "exe";),
    lines!("task.*.", "/proc/PID/cwd"; Exact, "", STATE => "cwd";),
    lines!("task.*.", "/proc/PID/root"; Exact, "", STATE => "root";),
    lines!("task.*.", "/proc/PID/cmdline"; Exact, "", STATE => "cmdline";),
    lines!("task.*.autogroup.", "/proc/PID/autogroup";
        Identity("autogroup"), "", CHOSEN => "id";
        Exact, "", STATE => "nice";
    ),
    lines!("task.*.", "/proc/PID/timens_offsets";
        Moment, "5.6", "what the clocks read is compared, as `clock`" => "timens_offsets";
    ),
    lines!("task.*.", "/proc/PID/sessionid";
        Moment, "", "the node's audit session" => "sessionid";
    ),
    lines!("task.*.", "/proc/PID/patch_state";
        Moment, "4.12", "live patching of the node's kernel" => "patch_state";
    ),
    lines!("task.*.", "/proc/PID/cpuset";
        Moment, "", "a path of the node; compared as `cgroup.path`" => "cpuset";
    ),
    lines!("task.*.cgroup.", "/proc/PID/cgroup";
        Exact, "", "below the container's cgroup" => "path";
        Exact, "", "as the task itself sees it" => "path_inside";
    ),
];

const ATTR_FILES: &str = "/proc/PID/attr";

pub(super) const ATTR: &[Rule] = lines!("task.*.attr.", ATTR_FILES;
    Exact, "", "security label" => "current", "exec", "fscreate", "keycreate", "prev", "sockcreate";
    Exact, "5.1", "label of Smack" => "smack.current";
    Exact, "5.8", "label of AppArmor" => "apparmor.current", "apparmor.exec", "apparmor.prev";
);

pub(super) const POLICY: &[Rule] = lines!("task.*.policy.", "/sys/kernel/security/apparmor/policy";
    Exact, "4.13", "what the name of a profile stands for" => "*.raw_sha256";
);

pub(super) const TIMERS: &[Rule] = lines!("task.*.timer.*.", "/proc/PID/timers";
    Exact, "3.10", STATE => "id", "signal", "notify", "clockid";
);

const SCHED_CALL: &str = "sched_getattr(2)";

pub(super) const SCHED: &[Rule] = lines!("task.*.sched.", SCHED_CALL;
    Exact, "3.14", STATE =>
        "sched_policy", "sched_flags", "sched_priority", "sched_runtime", "sched_deadline",
        "sched_period";
    Exact, "5.3", "bounds of the task's utilisation" => "sched_util_min", "sched_util_max";
);

pub(super) const CALLS: &[&[Rule]] = &[
    lines!("task.*.", "ioprio_get(2)"; Exact, "", STATE => "ioprio";),
    lines!("task.*.", "get_robust_list(2)"; Exact, "", STATE => "robust_list";),
    lines!("task.*.shares.", "kcmp(2)";
        Exact, "3.5", "who shares with whom, by the first one's name" =>
            "mm", "files", "fs", "sighand", "sysvsem";
    ),
];

pub(super) const NAMESPACES: &[&[Rule]] = &[
    lines!("*.ns.", "/proc/PID/ns";
        Identity("ns.time"), "5.6", CHOSEN => "time", "time_for_children";
    ),
    lines!("node.ns.", "/proc/self/ns"; Identity("ns"), "", CHOSEN => "*";),
    lines!("node.kernel.", "uname(2)";
        Moment, "", "a pod may go to another kernel: says what that one cannot show" => "release";
    ),
    lines!("pod.ns.", "the files that pin them"; Identity("ns"), "", CHOSEN => "net", "ipc", "uts", "pid";),
    lines!("task.*.ns.", "/proc/PID/ns";
        Identity("ns"), "", CHOSEN => "ipc", "mnt", "net", "pid", "uts", "user";
        Identity("ns"), "4.6", CHOSEN => "cgroup";
        Identity("ns"), "4.12", CHOSEN => "pid_for_children";
    ),
];
