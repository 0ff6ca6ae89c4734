//! The table: the lines of all sources, those for single facts before those for whole families.

use super::Kind::Exact;
use super::lines::{STATE, lines};
use super::{Rule, descriptors, files, memory, netlink, network, pod, sockets, task, traced};

/// All lines by source, in the order in which they are looked at.
const TABLES: &[&[&[Rule]]] = &[
    &[task::ENVIRON, task::STATUS, task::STAT, task::OF_STAT, task::LIMITS, task::AUXV],
    task::FILES,
    &[task::ATTR, task::POLICY, task::TIMERS, task::SCHED],
    task::CALLS,
    task::NAMESPACES,
    &[memory::MAPS, memory::GUARDS, memory::MEMORY],
    traced::TRACED,
    sockets::ADDRESSES,
    sockets::DIAGNOSTICS,
    &[sockets::UNIX, sockets::SOCKET, sockets::IP, sockets::IPV6, sockets::TCP],
    &[sockets::OTHER_LEVELS],
    &[descriptors::FDINFO, descriptors::FSTAT],
    descriptors::OPEN_FILE,
    &[files::MOUNTS, files::OVERLAY, files::ROOT, files::TMPFS, files::SHM],
    files::XATTRS,
    &[pod::CLOCKS, pod::SYSTEM_V],
    pod::SYSTEM_V_CALLS,
    &[pod::MQUEUE, pod::MQUEUE_CALL, pod::NAMES],
    pod::SYSCTLS,
    pod::PID_NAMESPACE,
    &[pod::CGROUPS],
    netlink::TABLES,
    &[network::SOCKETS],
    network::TABLES,
];

/// The whole table.
pub const RULES: &[Rule] = &ALL;

static ALL: [Rule; count()] = joined();

/// What a source shows beyond its lines above: the kernel has something new. It is compared, but
/// nobody has said yet what it is, and the test `complete` asks for that.
pub(super) const REST: &[&[Rule]] = &[
    lines!("task.*.status.", "/proc/PID/status"; Exact, "", STATE => "*";),
    lines!("task.*.stat.", "/proc/PID/stat"; Exact, "", STATE => "*";),
    lines!("task.*.limits.", "/proc/PID/limits"; Exact, "", STATE => "*";),
    lines!("task.*.auxv.", "/proc/PID/auxv"; Exact, "", STATE => "*";),
    lines!("task.*.attr.", "/proc/PID/attr"; Exact, "", STATE => "*";),
    lines!("task.*.map.", "/proc/PID/smaps"; Exact, "", STATE => "*";),
    lines!("task.*.mount.", "/proc/PID/mountinfo"; Exact, "", STATE => "*";),
    lines!("task.*.socket.", "the socket"; Exact, "", STATE => "*";),
    lines!("task.*.fd.", "/proc/PID/fdinfo"; Exact, "", STATE => "*";),
    lines!("task.", "/proc/PID"; Exact, "", STATE => "*";),
    lines!("pod.sysctl.", "/proc/sys"; Exact, "", STATE => "*";),
    lines!("pod.sysv.", "/proc/sysvipc"; Exact, "", STATE => "*";),
    lines!("*cgroup*.", "files of the cgroup"; Exact, "", STATE => "*";),
    lines!("", "the kernel"; Exact, "", STATE => "*";),
];

const fn count() -> usize {
    let (mut total, mut table) = (0, 0);
    while table < TABLES.len() {
        let mut part = 0;
        while part < TABLES[table].len() {
            total += TABLES[table][part].len();
            part += 1;
        }
        table += 1;
    }
    total
}

const fn joined<const N: usize>() -> [Rule; N] {
    let mut all = [task::ENVIRON[0]; N];
    let (mut at, mut table) = (0, 0);
    while table < TABLES.len() {
        let mut part = 0;
        while part < TABLES[table].len() {
            let mut line = 0;
            while line < TABLES[table][part].len() {
                all[at] = TABLES[table][part][line];
                at += 1;
                line += 1;
            }
            part += 1;
        }
        table += 1;
    }
    all
}
