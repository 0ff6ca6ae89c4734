//! The image files of CRIU, in the order in which they are read: what refers to a thing comes
//! before the thing, which is named after the first who does.

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct FileRule {
    /// The name up to its number.
    pub stem: &'static str,
    /// What becomes of it.
    pub judged: Judged,
    /// Why so, or what it is.
    pub reason: &'static str,
}

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Every field of every entry, and what follows it.
    Entries(Named),
    /// All of it by its digest.
    Content(Named),
    /// Nothing.
    Not,
}

/// What follows the stem in the name of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Nothing, or a number that does not matter: there is one such file.
    Alone,
    /// A pid in the container, or another name that lasts.
    Lasting,
    /// An id of this class that CRIU or the kernel chose.
    Id(&'static str),
    /// The same in hexadecimal.
    HexId(&'static str),
}

use Judged::{Content, Entries, Not};
use Named::{Alone, HexId, Id, Lasting};

const fn line(stem: &'static str, judged: Judged, reason: &'static str) -> FileRule {
    FileRule { stem, judged, reason }
}

const MEMORY: &str = "memory is compared page by page in the tasks, by the level memory";
const TMPFS: &str = "every file of a tmpfs is compared in the container: content, owner, times, \
                     extended attributes (tmpfs.*)";
const OLD: &str = "an image of a CRIU before 3.0, which kept here what is in others now";
const FOREIGN: &str = "of a network namespace that CRIU carries itself; the engine's pods bring \
                       theirs along, and it is compared as pod.*";
const SERVICE: &str = "about CRIU's own work, not about the pod";

/// The table.
pub const FILES: &[FileRule] = &[
    line("inventory", Entries(Alone), "what the dump as a whole is"),
    line("ids", Entries(Lasting), "which tasks share what, by pid"),
    line("pstree", Entries(Alone), "tasks, threads, groups and sessions"),
    line("core", Entries(Lasting), "registers and attributes of a thread, by its id"),
    line("fdinfo", Entries(Id("files")), "a table of descriptors, by the task that has it"),
    line("fs", Entries(Lasting), "working directory, root and umask, by pid"),
    line("mm", Entries(Lasting), "an address space, by pid"),
    line("vmas", Entries(Lasting), OLD),
    line("cgroup", Entries(Alone), "cgroups and who is in which"),
    line("files", Entries(Alone), "open files, each by the first who refers to it"),
    line("reg-files", Entries(Alone), OLD),
    line("ext-files", Entries(Alone), OLD),
    line("ns-files", Entries(Alone), OLD),
    line("eventfd", Entries(Alone), OLD),
    line("eventpoll", Entries(Alone), OLD),
    line("eventpoll-tfd", Entries(Alone), OLD),
    line("signalfd", Entries(Alone), OLD),
    line("inotify", Entries(Alone), OLD),
    line("inotify-wd", Entries(Alone), OLD),
    line("fanotify", Entries(Alone), OLD),
    line("fanotify-mark", Entries(Alone), OLD),
    line("pipes", Entries(Alone), OLD),
    line("fifo", Entries(Alone), OLD),
    line("unixsk", Entries(Alone), OLD),
    line("inetsk", Entries(Alone), OLD),
    line("packetsk", Entries(Alone), OLD),
    line("netlinksk", Entries(Alone), OLD),
    line("tunfile", Entries(Alone), OLD),
    line("timerfd", Entries(Alone), OLD),
    line("tty", Entries(Alone), OLD),
    line("bpfmap-file", Entries(Alone), "open BPF maps"),
    line("pipes-data", Entries(Alone), "what waits in pipes"),
    line("fifo-data", Entries(Alone), "what waits in named pipes"),
    line("sk-queues", Entries(Alone), "what waits in unix sockets"),
    line("tcp-stream", Entries(HexId("socket")), "a TCP connection with its queues"),
    line("bpfmap-data", Entries(Alone), "content of BPF maps"),
    line("remap-fpath", Entries(Alone), "open files without a name"),
    line("ghost-file", Entries(HexId("ghost")), "a deleted file with its content"),
    line("memfd", Entries(Alone), "files that are memory"),
    line("tty-info", Entries(Alone), "terminals"),
    line("tty-data", Entries(Alone), "what waits in terminals"),
    line("pidfd", Entries(Alone), "descriptors of tasks"),
    line("filelocks", Entries(Alone), "locks and leases"),
    line("seccomp", Entries(Alone), "seccomp filters"),
    line("apparmor", Entries(Alone), "AppArmor policies and namespaces"),
    line("sigacts", Entries(Lasting), OLD),
    line("itimers", Entries(Lasting), OLD),
    line("posix-timers", Entries(Lasting), OLD),
    line("creds", Entries(Lasting), OLD),
    line("rlimit", Entries(Lasting), OLD),
    line("signal-s", Entries(Lasting), OLD),
    line("signal-p", Entries(Lasting), OLD),
    line("mountpoints", Entries(Id("ns")), "mounts of a namespace"),
    line("utsns", Entries(Id("ns")), "names of a host"),
    line("ipcns-var", Entries(Id("ns")), "sysctls of System V IPC and POSIX queues"),
    line("ipcns-shm", Entries(Id("ns")), "System V shared memory"),
    line("ipcns-msg", Entries(Id("ns")), "System V message queues with their messages"),
    line("ipcns-sem", Entries(Id("ns")), "System V semaphores with their values"),
    line("userns", Entries(Id("ns")), "maps of user and group ids"),
    line("pidns", Entries(Id("ns")), "a pid namespace from outside"),
    line("netns", Entries(Id("ns")), "a network namespace and its sysctls"),
    line("netdev", Entries(Id("ns")), "network devices"),
    line("timens", Entries(Alone), "what the clocks read"),
    line("autofs", Entries(Id("mount")), "an automounter's mount"),
    line("binfmt-misc", Entries(Alone), "interpreters of binary formats"),
    line("cpuinfo", Entries(Alone), "the processor that the dump was taken on"),
    line("ifaddr", Content(Id("ns")), FOREIGN),
    line("route", Content(Id("ns")), FOREIGN),
    line("route6", Content(Id("ns")), FOREIGN),
    line("rule", Content(Id("ns")), FOREIGN),
    line("iptables", Content(Id("ns")), FOREIGN),
    line("ip6tables", Content(Id("ns")), FOREIGN),
    line("nftables", Content(Id("ns")), FOREIGN),
    line("netns-ct", Content(Id("ns")), FOREIGN),
    line("netns-exp", Content(Id("ns")), FOREIGN),
    line("pagemap", Not, MEMORY),
    line("pagemap-shmem", Not, MEMORY),
    line("pages", Not, MEMORY),
    line("pages-shmem", Not, MEMORY),
    line("parent", Not, "a link to images taken ahead, which hold pages alone"),
    line("tmpfs", Not, TMPFS),
    line("tmpfs-dev", Not, TMPFS),
    line("stats", Not, SERVICE),
    line("irmap-cache", Not, SERVICE),
];
