//! Lines for descriptors, whatever they lead to; sockets have a file of their own.

use super::Kind::{Clock, Content, Exact, Identity, Moment};
use super::Rule;
use super::lines::{CHOSEN, STATE, lines};

const FDINFO_FILE: &str = "/proc/PID/fdinfo";
const HANDLE: &str = "the inode in the file system's own words";

pub(super) const FDINFO: &[Rule] = lines!("task.*.fd.*.", FDINFO_FILE;
    Exact, "", STATE => "pos", "flags";
    Identity("mount"), "3.15", CHOSEN => "mnt_id";
    // eventfd
    Exact, "3.8", STATE => "eventfd-count";
    Identity("eventfd"), "5.2", CHOSEN => "eventfd-id";
    Exact, "6.5", STATE => "eventfd-semaphore";
    // signalfd
    Exact, "3.8", STATE => "sigmask";
    // timerfd
    Exact, "3.17", STATE => "clockid", "ticks", "settime_flags", "it_interval";
    Clock, "3.17", "what is left of a timer" => "it_value";
    // eventpoll
    Exact, "3.8", STATE => "tfd.*.events", "tfd.*.data";
    Exact, "4.13", STATE => "tfd.*.pos";
    Identity("inode"), "4.13", CHOSEN => "tfd.*.ino";
    // inotify and fanotify
    Exact, "3.8", STATE => "inotify.*.mask", "inotify.*.ignored_mask";
    Identity("inode"), "3.8", CHOSEN => "inotify.*.ino", "fanotify*.ino";
    Moment, "3.8", HANDLE =>
        "inotify.*.f_handle", "inotify.*.fhandle_bytes", "inotify.*.fhandle_type",
        "fanotify*.f_handle", "fanotify*.fhandle_bytes", "fanotify*.fhandle_type";
    Exact, "3.8", STATE =>
        "fanotify*.mask", "fanotify*.ignored_mask", "fanotify*.mflags", "fanotify*.flags",
        "fanotify*.event-flags", "fanotify*.event_flags", "fanotify*.line";
    Identity("mount"), "3.8", CHOSEN => "fanotify*.mnt_id";
    // locks
    Exact, "4.1", "kind and range; locks are sorted" => "lock.*.kind";
    Exact, "4.1", "as the container numbers it" => "lock.*.owner";
    Identity("inode"), "4.1", CHOSEN => "lock.*.ino";
    // pidfd
    Exact, "5.3", "as the container numbers it" => "pid";
    // sockets
    Exact, "5.17", "descriptors under way in the queue" => "scm_fds";
    // terminals
    Exact, "3.19", STATE => "tty-index";
    // tun
    Exact, "", STATE => "iff";
    // userfaultfd
    Exact, "4.3", STATE => "api", "pending", "total";
    // io_uring
    Exact, "5.5", STATE => "userfiles", "userbufs", "sqmask", "sqhead", "sqtail", "cachedsqhead",
        "cqmask", "cqhead", "cqtail", "cachedcqtail", "sqthread", "sqthreadcpu", "sqes", "cqes",
        "polllist", "cqoverflowlist";
    Exact, "6.9", STATE => "napi";
    Moment, "6.9", "how long its thread worked" => "sqtotaltime", "sqworktime";
    // perf_event
    Exact, "7.2", STATE => "pmu_type", "perf_event_attr.type", "perf_event_attr.config",
        "perf_event_attr.config1", "perf_event_attr.config2", "perf_event_attr.config3",
        "perf_event_attr.config4";
    // bpf
    Exact, "4.4", STATE =>
        "map_type", "key_size", "value_size", "max_entries", "map_flags", "prog_type", "prog_jited",
        "prog_tag";
    Exact, "4.10", STATE => "memlock", "owner_prog_type", "owner_jited";
    Exact, "4.12", STATE => "frozen", "map_extra";
    Identity("bpf map"), "4.13", CHOSEN => "map_id";
    Identity("bpf program"), "4.13", CHOSEN => "prog_id";
    Identity("bpf link"), "5.8", CHOSEN => "link_id";
    Exact, "5.8", STATE => "link_type", "attach_type", "target_obj_id", "target_btf_id";
    Moment, "5.12", "how often and how long it ran" =>
        "run_time_ns", "run_cnt", "recursion_misses", "verified_insns";
);

const FSTAT_CALL: &str = "fstat(2) by pidfd_getfd(2)";

pub(super) const FSTAT: &[Rule] = lines!("task.*.fd.*.", FSTAT_CALL;
    Identity("inode"), "", CHOSEN => "ino";
    Exact, "", STATE =>
        "st_mode", "st_uid", "st_gid", "st_rdev", "st_nlink", "st_size", "st_mtime";
);

const FCNTL_CALL: &str = "fcntl(2) by pidfd_getfd(2)";

pub(super) const OPEN_FILE: &[&[Rule]] = &[
    lines!("task.*.fd.*.", "fgetxattr(2) by pidfd_getfd(2)";
        Exact, "", "attributes and ACLs of a file that no path leads to" => "xattr.*";
    ),
    lines!("task.*.fd.*.", FCNTL_CALL;
        Exact, "", STATE => "f_getsig", "f_getlease", "f_getpipe_sz", "f_getown";
        Exact, "3.17", STATE => "f_get_seals";
        Exact, "4.13", STATE => "f_get_rw_hint";
    ),
    lines!("task.*.fd.*.", "/proc/PID/fd";
        Exact, "", STATE => "type", "path";
        Identity("ns"), "", CHOSEN => "ns";
    ),
    lines!("task.*.fd.*.", "kcmp(2)";
        Exact, "3.5", "who shares one open file, by the first one's name" => "file";
        Exact, "4.13", "what an epoll item watches" => "tfd.*.target";
    ),
    lines!("task.*.fd.*.", "tee(2) or pread(2) by pidfd_getfd(2)";
        Content, "", STATE => "content";
    ),
    lines!("task.*.fd.*.", "tcgetattr(3)";
        Exact, "", STATE => "c_iflag", "c_oflag", "c_cflag", "c_lflag", "c_cc";
    ),
    lines!("task.*.fd.*.", "ioctl TIOCGLCKTRMIOS"; Exact, "", "settings that nobody may change" =>
        "lck_iflag", "lck_oflag", "lck_cflag", "lck_lflag", "lck_cc";
    ),
    lines!("task.*.fd.*.", "ioctl TIOCGWINSZ"; Exact, "", STATE => "winsize";),
    lines!("task.*.fd.*.", "ioctl FIONREAD"; Exact, "", STATE => "fionread";),
    lines!("task.*.fd.*.", "ioctl TIOCOUTQ"; Exact, "", STATE => "outq";),
    lines!("task.*.fd.*.", "ioctl TIOCGETD"; Exact, "", STATE => "ldisc";),
    lines!("task.*.fd.*.", "ioctl TIOCGEXCL"; Exact, "3.8", STATE => "exclusive";),
    lines!("task.*.fd.*.", "ioctl TIOCGPKT"; Exact, "3.8", STATE => "packet_mode";),
    lines!("task.*.fd.*.", "ioctl TIOCGPTLCK"; Exact, "3.8", STATE => "locked";),
    lines!("task.*.fd.*.", "ioctl TIOCGSID, TIOCGPGRP";
        Exact, "", "as the container numbers it; of a slave its master tells" => "sid", "pgrp";
    ),
];
