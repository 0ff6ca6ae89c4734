//! Where CRIU keeps what a fact shows: the image and the field, by the names of CRIU's own
//! `images/*.proto`, so that whoever reads a difference knows where to look.

use super::{matches, within_container};

const NOWHERE: &str = "CRIU does not keep it";

/// A pod's network namespace is external to CRIU.
const SANDBOX: &str =
    "CRIU keeps nothing of an external network namespace: whoever makes the sandbox makes it";

const CHOSEN: &str = "CRIU keeps which are the same, the id itself is chosen by the kernel";

/// What no line says.
const UNKNOWN: &str = "it is not known where CRIU keeps it";

/// Where CRIU keeps what a fact shows, in words.
///
/// The first line that matches counts, as in the table of rules.
#[must_use]
pub fn kept(fact: &str) -> &'static str {
    let fact = within_container(fact);
    if fact.starts_with("image.") {
        return "in the image and the field that the fact is named by";
    }
    let line = KEPT.iter().find(|(pattern, _)| matches(pattern, fact));
    line.map_or(UNKNOWN, |(_, place)| place)
}

/// Patterns of facts, and where they are kept.
const KEPT: &[(&str, &str)] = &[
    // Credentials and tasks
    ("task.*.status.uid", "core-TID.img thread_core.creds: uid, euid, suid, fsuid"),
    ("task.*.status.gid", "core-TID.img thread_core.creds: gid, egid, sgid, fsgid"),
    ("task.*.status.groups", "core-TID.img thread_core.creds.groups"),
    (
        "task.*.status.cap*",
        "core-TID.img thread_core.creds: cap_inh, cap_prm, cap_eff, cap_bnd, cap_amb",
    ),
    ("task.*.status.nonewprivs", "core-TID.img thread_core.creds.no_new_privs"),
    (
        "task.*.status.seccomp*",
        "core-TID.img thread_core: seccomp_mode, seccomp_filter; seccomp.img",
    ),
    ("task.*.traced.seccomp.*", "seccomp.img seccomp_filters: filter, flags, prev"),
    ("task.*.status.speculation*", NOWHERE),
    (
        "task.*.status.sig*",
        "core-TID.img tc.blk_sigset, thread_core.blk_sigset, tc.sigactions, signals_s, signals_p",
    ),
    ("task.*.status.shdpnd", "core-PID.img tc.signals_s"),
    ("task.*.traced.pending_shared.*", "core-PID.img tc.signals_s.signals.siginfo"),
    ("task.*.traced.pending.*", "core-TID.img thread_core.signals_p.signals.siginfo"),
    ("task.*.status.umask", "fs-PID.img umask"),
    ("task.*.status.cpus_allowed*", NOWHERE),
    ("task.*.status.mems_allowed*", NOWHERE),
    ("task.*.status.thp_enabled", "mm-PID.img thp_disabled"),
    ("task.*.status.coredumping", "no state of a task that can be dumped"),
    ("task.*.status.vmlck", "mm-PID.img vmas.flags: MAP_LOCKED"),
    ("task.*.status.vm*", "mm-PID.img vmas; mm_start_*, mm_end_*, mm_brk"),
    ("task.*.status.hugetlbpages", "mm-PID.img vmas.flags: MAP_HUGETLB"),
    ("task.*.status.*gid", "pstree.img: pid, pgid; threads"),
    ("task.*.status.ppid", "pstree.img ppid"),
    ("task.*.status.ns*", "pstree.img: pid, pgid, sid; core-TID.img ids"),
    ("task.*.status.threads", "pstree.img threads"),
    ("task.*.status.name", "core-TID.img tc.comm, thread_core.comm"),
    (
        "task.*.status.x86_thread_features*",
        "core-TID.img thread_info.fpregs.xsave.cet: shadow stacks",
    ),
    ("task.*.status.untag_mask", NOWHERE),
    ("task.*.status.tracerpid", "CRIU refuses a task that somebody traces"),
    ("task.*.status.kthread", "CRIU dumps no thread of the kernel"),
    ("task.*.status.*", "core-TID.img"),
    ("task.*.comm", "core-TID.img tc.comm, thread_core.comm"),
    ("task.*.state", "core-PID.img tc.task_state, tc.stop_signo"),
    ("task.*.stat.tty_nr", "tty-info.img sid; core-PID.img"),
    ("task.*.stat.tpgid", "tty-info.img pgrp"),
    ("task.*.stat.rsslim", "core-PID.img tc.rlimits"),
    ("task.*.stat.exit_signal", NOWHERE),
    ("task.*.stat.exit_code", "core-PID.img tc.exit_code"),
    ("task.*.stat.num_threads", "pstree.img threads"),
    ("task.*.stat.rt_priority", "core-TID.img thread_core.sched_prio"),
    ("task.*.stat.policy", "core-TID.img thread_core.sched_policy"),
    ("task.*.stat.vsize", "mm-PID.img vmas"),
    ("task.*.stat.*swap", "nowhere: the kernel shows zero"),
    ("task.*.stat.itrealvalue", "nowhere: the kernel shows zero"),
    ("task.*.stat.*", "mm-PID.img: mm_start_*, mm_end_*, mm_arg_*, mm_env_*"),
    ("task.*.nice", "core-TID.img thread_core.sched_nice"),
    (
        "task.*.sched.sched_p*",
        "core-TID.img thread_core: sched_policy, sched_prio; no deadline and period",
    ),
    ("task.*.sched.*", NOWHERE),
    ("task.*.autogroup.*", NOWHERE),
    ("task.*.ioprio", NOWHERE),
    ("task.*.timerslack_ns", "nowhere before CRIU 4.3, then core-TID.img thread_core"),
    ("task.*.personality", "core-PID.img tc.personality"),
    ("task.*.coredump_filter", NOWHERE),
    ("task.*.oom_score_adj", "core-PID.img tc.oom_score_adj"),
    ("task.*.loginuid", "core-PID.img tc.loginuid"),
    ("task.*.uid_map", "userns-*.img uid_map"),
    ("task.*.gid_map", "userns-*.img gid_map"),
    ("task.*.projid_map", NOWHERE),
    ("task.*.setgroups", NOWHERE),
    ("task.*.limits.*", "core-PID.img tc.rlimits"),
    ("task.*.auxv.*", "mm-PID.img mm_saved_auxv"),
    ("task.*.environ*", "mm-PID.img: mm_env_start, mm_env_end; pages-*.img"),
    ("task.*.cmdline", "mm-PID.img: mm_arg_start, mm_arg_end; pages-*.img"),
    ("task.*.exe", "mm-PID.img exe_file_id; files.img reg.name"),
    ("task.*.cwd", "fs-PID.img cwd_id; files.img reg.name"),
    ("task.*.root", "fs-PID.img root_id; files.img reg.name"),
    ("task.*.robust_list", "core-TID.img thread_core: futex_rla, futex_rla_len"),
    ("task.*.cgroup.*", "core-TID.img tc.cg_set, thread_core.cg_set; cgroup.img sets"),
    ("task.*.attr.*current", "core-TID.img thread_core.creds: lsm_profile, apparmor_data"),
    ("task.*.attr.sockcreate", "core-TID.img thread_core.creds.lsm_sockcreate"),
    ("task.*.attr.*", NOWHERE),
    ("task.*.policy.*", NOWHERE),
    ("task.*.timer.*", "core-PID.img tc.timers.posix"),
    (
        "task.*.shares.*",
        "core-PID.img ids: vm_id, files_id, fs_id, sighand_id; nothing of semaphore undo",
    ),
    ("task.*.traced.sigmask", "core-TID.img tc.blk_sigset, thread_core.blk_sigset"),
    ("task.*.traced.regs.*", "core-TID.img thread_info.gpregs"),
    ("task.*.traced.xstate.*", "core-TID.img thread_info.fpregs"),
    ("task.*.traced.rseq.*", "core-TID.img thread_core.rseq_entry"),
    ("task.*.traced.syscall_user_dispatch*", NOWHERE),
    ("*ns.time*", "timens-*.img; core-PID.img ids.time_ns_id"),
    ("*ns.*", "core-PID.img ids"),
    // Memory
    (
        "task.*.map.*.pathname",
        "mm-PID.img vmas.shmid; files.img reg.name; names of anonymous memory nowhere",
    ),
    ("task.*.map.*.perms", "mm-PID.img vmas: prot, flags"),
    ("task.*.map.*.offset", "mm-PID.img vmas.pgoff"),
    ("task.*.map.*.inode", CHOSEN),
    ("task.*.map.*.vmflags", "mm-PID.img vmas: flags, madv; what is not advice has no field"),
    ("task.*.map.*.protectionkey", NOWHERE),
    ("task.*.map.*", "mm-PID.img vmas"),
    ("task.*.memory*", "pagemap-PID.img, pages-*.img"),
    ("task.*.shared.*", "pagemap-shmem-*.img, pages-*.img"),
    // Descriptors
    (
        "task.*.fd.*.socket.tcp_*",
        "tcp-stream-*.img; files.img isk.tcp_opts, isk.opts.tcp_keep*; other options nowhere",
    ),
    (
        "task.*.fd.*.socket.so_*",
        "files.img isk.opts, usk.opts; an option without a field there is kept nowhere",
    ),
    (
        "task.*.fd.*.socket.ip*",
        "files.img isk.ip_opts, isk.v6only; an option without a field there is kept nowhere",
    ),
    ("task.*.fd.*.socket.mptcp*", "CRIU refuses or does not know these sockets"),
    ("task.*.fd.*.socket.*content", "sk-queues.img; tcp-stream-*.img inq, outq"),
    ("task.*.fd.*.socket.*name", "files.img isk: src_addr, src_port, dst_addr, dst_port; usk.name"),
    ("task.*.fd.*.socket.vfs*", "files.img usk: name, name_dir, mnt_id"),
    ("task.*.fd.*.socket.ino", CHOSEN),
    ("task.*.fd.*.socket.*peer*", "files.img usk.peer"),
    ("task.*.fd.*.socket.state", "files.img isk.state, usk.state"),
    ("task.*.fd.*.socket.shutdown", "files.img isk.shutdown, usk.shutdown"),
    ("task.*.fd.*.socket.*", "files.img isk, usk, nlsk, psk; sk-queues.img; tcp-stream-*.img"),
    ("task.*.fd.*.lock.*", "filelocks.img"),
    ("task.*.fd.*.inotify.*", "files.img ify.wd"),
    ("task.*.fd.*.fanotify*", "files.img ffy.mark"),
    ("task.*.fd.*.tfd.*", "files.img epfd.tfd"),
    ("task.*.fd.*.eventfd-count", "files.img efd.counter"),
    ("task.*.fd.*.eventfd-semaphore", NOWHERE),
    ("task.*.fd.*.eventfd-id", CHOSEN),
    ("task.*.fd.*.sigmask", "files.img sgfd.sigmask"),
    ("task.*.fd.*.clockid", "files.img tfd.clockid"),
    ("task.*.fd.*.ticks", "files.img tfd.ticks"),
    ("task.*.fd.*.settime_flags", "files.img tfd.settime_flags"),
    ("task.*.fd.*.it_*", "files.img tfd: vsec, vnsec, isec, insec"),
    ("task.*.fd.*.f_get_seals", "memfd.img seals"),
    ("task.*.fd.*.f_getpipe_sz", "pipes-data.img, fifo-data.img size"),
    ("task.*.fd.*.f_getlease", "filelocks.img"),
    ("task.*.fd.*.f_getown*", "files.img fown: pid, pid_type, uid, euid"),
    ("task.*.fd.*.f_getsig", "files.img fown.signum"),
    ("task.*.fd.*.f_get_rw_hint", NOWHERE),
    ("task.*.fd.*.c_*", "tty-info.img termios"),
    ("task.*.fd.*.lck_*", "tty-info.img termios_locked"),
    ("task.*.fd.*.packet_mode", "tty-info.img packet_mode"),
    ("task.*.fd.*.locked", "tty-info.img locked"),
    ("task.*.fd.*.exclusive", "tty-info.img exclusive"),
    ("task.*.fd.*.sid", "tty-info.img sid"),
    ("task.*.fd.*.pgrp", "tty-info.img pgrp"),
    ("task.*.fd.*.ldisc", NOWHERE),
    ("task.*.fd.*.outq", NOWHERE),
    ("task.*.fd.*.winsize", "tty-info.img winsize"),
    ("task.*.fd.*.fionread", "tty-data.img; pipes-data.img"),
    (
        "task.*.fd.*.st_*time",
        "ghost-file-*.img mtim, in microseconds; of a memfd nowhere; else the file system",
    ),
    (
        "task.*.fd.*.st_*",
        "files.img reg: size, mode; ghost-file-*.img; memfd.img: mode, uid, gid, size",
    ),
    ("task.*.fd.*.map_*", "files.img bpf; bpfmap-data.img"),
    ("task.*.fd.*.*_entries", "files.img bpf.max_entries"),
    ("task.*.fd.*.frozen", "files.img bpf.frozen"),
    ("task.*.fd.*.prog_*", "CRIU refuses a program of BPF"),
    ("task.*.fd.*.pos", "files.img reg.pos"),
    ("task.*.fd.*.flags", "files.img KIND.flags; fdinfo-*.img flags for FD_CLOEXEC"),
    ("task.*.fd.*.mnt_id", "files.img reg.mnt_id"),
    (
        "task.*.fd.*.content",
        "pipes-data.img, fifo-data.img, ghost-file-*.img, memfd.img with pages-*.img",
    ),
    ("task.*.fd.*.xattr.*", NOWHERE),
    ("task.*.fd.*.pid*", "files.img pidfd (since CRIU 4.1)"),
    ("task.*.fd.*", "fdinfo-*.img; files.img"),
    // Mounts and files
    ("task.*.mount.*.propagation*", "mountpoints-*.img: shared_id, master_id"),
    ("task.*.mount.*_id", CHOSEN),
    ("task.*.mount.*", "mountpoints-*.img: mountpoint, root, flags, options, source, fsname"),
    (
        "root.*",
        "CRIU does not keep a container's files: the archive's root.tar has what was changed",
    ),
    ("pod.shm.*", "CRIU does not keep an external mount: the archive's shm.tar has it"),
    ("tmpfs.*", "tmpfs-*.tar.gz.img, by tar"),
    ("mqueue.*", NOWHERE),
    // What the pod's tasks have in common
    ("pidns.*", NOWHERE),
    ("clock.*", "timens-*.img: monotonic, boottime"),
    ("pod.sysv.shm.*pid", NOWHERE),
    ("pod.sysv.sem.*sempid", NOWHERE),
    ("pod.sysv.msg.*pid", NOWHERE),
    ("pod.sysv.shm.*", "ipcns-shm-*.img: desc, size; pagemap-shmem-*.img"),
    ("pod.sysv.sem.*", "ipcns-sem-*.img: desc, nsems"),
    ("pod.sysv.msg.*", "ipcns-msg-*.img: desc, qbytes, qnum, mtype, msize"),
    ("pod.uts.*", "utsns-*.img: nodename, domainname"),
    ("pod.sysctl.kernel.*", "ipcns-var-*.img"),
    ("pod.sysctl.fs.mqueue.*", "ipcns-var-*.img: mq_*"),
    (
        "pod.sysctl.net.*",
        "netns-*.img: def_conf, all_conf, conf; nothing when the namespace is external",
    ),
    ("*cgroup*", "cgroup.img controllers.dirs.properties; nothing with manage-cgroups=ignore"),
    ("pod.conntrack*", "netns-ct-*.img; nothing when the namespace is external"),
    ("pod.*", SANDBOX),
];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::{Kind, RULES};
    use super::*;

    #[test]
    fn every_kind_of_fact_that_is_compared_has_a_place_or_none() {
        let compared = RULES.iter().filter(|rule| rule.kind != Kind::Moment);
        let unknown: Vec<&str> =
            compared.map(|rule| rule.pattern).filter(|it| kept(it) == UNKNOWN).collect();
        assert_eq!(unknown, [""; 0], "say in this table where CRIU keeps them");
    }

    #[rstest]
    #[case("task.7.cgroup.path", "core-TID.img tc.cg_set, thread_core.cg_set; cgroup.img sets")]
    #[case("sidecar.task.7.thread.8.nice", "core-TID.img thread_core.sched_nice")]
    #[case("task.1.ioprio", NOWHERE)]
    #[case("pod.sysv.shm.0.cpid", NOWHERE)]
    #[case("task.1.something_of_next_year", UNKNOWN)]
    fn a_fact_is_kept_where_its_first_line_says(#[case] fact: &str, #[case] place: &str) {
        assert_eq!(kept(fact), place);
    }
}
