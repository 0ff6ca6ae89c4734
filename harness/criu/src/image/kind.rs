//! The table of images: magic number, name, messages, payload.
//!
//! The magic numbers are CRIU's (`criu/include/magic.h`), the names those of `crit decode`.

/// One kind of image.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) magic: u32,
    pub(super) name: &'static str,
    /// Message of the first entry, and of all entries unless the layout says otherwise.
    pub(super) message: &'static str,
    pub(super) layout: Layout,
}

/// What follows the message of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Nothing.
    Plain,
    /// Nothing, but entries after the first are of this other message.
    Headed(&'static str),
    /// As many bytes as these fields of the message say together.
    Bytes(&'static [&'static str]),
    /// The receive queue, then the send queue.
    TcpStream,
    /// A segment of shared memory, unless its pages are in a pagemap (since CRIU 3.0).
    SharedMemory,
    /// `nsems` values of 16 bits.
    Semaphores,
    /// `qnum` times a message with its text.
    MessageQueue,
    /// A deleted file: chunks as entries of their own, or all of its content in one piece.
    GhostFile,
}

/// Heads a file before its own magic number.
pub(super) const COMMON_MAGIC: u32 = 0x5456_4319;
/// The same for files about CRIU's own work.
pub(super) const SERVICE_MAGIC: u32 = 0x5510_5940;
/// The one image without a head before it.
pub(super) const INVENTORY_MAGIC: u32 = 0x5831_3116;

const GHOST_CHUNK: &str = "ghost_chunk_entry";
const IPC_MESSAGE: &str = "ipc_msg";

impl Kind {
    pub(super) fn by_magic(magic: u32) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.magic == magic)
    }

    pub(super) fn by_name(name: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.name == name)
    }

    /// The magic numbers at the start of a file of this kind.
    pub(super) fn head(&self) -> Vec<u32> {
        match self.name {
            "INVENTORY" => vec![self.magic],
            "STATS" | "IRMAP_CACHE" => vec![SERVICE_MAGIC, self.magic],
            _ => vec![COMMON_MAGIC, self.magic],
        }
    }

    /// The message of an entry, by its position.
    pub(super) fn message_at(&self, index: usize) -> &'static str {
        match self.layout {
            Layout::Headed(rest) if index > 0 => rest,
            Layout::GhostFile if index > 0 => GHOST_CHUNK,
            _ => self.message,
        }
    }

    /// The message within a payload, where there is one.
    pub(super) fn inner_message(&self) -> Option<&'static str> {
        (self.layout == Layout::MessageQueue).then_some(IPC_MESSAGE)
    }
}

/// Whether a file of this name has no entries: pages, archives, output of other programs.
///
/// The name alone decides; its folder does not matter.
#[must_use]
pub fn is_raw(file_name: &str) -> bool {
    let name = file_name.rsplit('/').next().unwrap_or(file_name);
    let stem = name.strip_suffix(".img").unwrap_or(name);
    RAW_STEMS.iter().any(|raw| stem.strip_prefix(raw).is_some_and(|rest| rest.starts_with('-')))
}

const RAW_STEMS: [&str; 11] = [
    "pages",
    "ifaddr",
    "route",
    "route6",
    "rule",
    "iptables",
    "ip6tables",
    "nftables",
    "netns-ct",
    "netns-exp",
    "tmpfs",
];

const fn plain(magic: u32, name: &'static str, message: &'static str) -> Kind {
    with(magic, name, message, Layout::Plain)
}

const fn with(magic: u32, name: &'static str, message: &'static str, layout: Layout) -> Kind {
    Kind { magic, name, message, layout }
}

static KINDS: [Kind; 68] = [
    plain(INVENTORY_MAGIC, "INVENTORY", "inventory_entry"),
    plain(0x5027_3030, "PSTREE", "pstree_entry"),
    plain(0x5621_3732, "FDINFO", "fdinfo_entry"),
    with(0x5608_4025, "PAGEMAP", "pagemap_head", Layout::Headed("pagemap_entry")),
    plain(0x5505_3847, "CORE", "core_entry"),
    plain(0x5443_2030, "IDS", "task_kobj_ids_entry"),
    plain(0x5412_3737, "VMAS", "vma_entry"),
    plain(0x5651_3555, "PIPES", "pipe_entry"),
    with(0x5645_3709, "PIPES_DATA", "pipe_data_entry", Layout::Bytes(&["bytes"])),
    plain(0x5836_4939, "FIFO", "fifo_entry"),
    with(0x5933_3054, "FIFO_DATA", "pipe_data_entry", Layout::Bytes(&["bytes"])),
    plain(0x5534_4201, "SIGACT", "sa_entry"),
    plain(0x5437_3943, "UNIXSK", "unix_sk_entry"),
    plain(0x5644_3851, "INETSK", "inet_sk_entry"),
    plain(0x6045_4618, "PACKETSK", "packet_sock_entry"),
    plain(0x5746_4056, "ITIMERS", "itimer_entry"),
    plain(0x5260_3957, "POSIX_TIMERS", "posix_timer_entry"),
    with(0x5626_4026, "SK_QUEUES", "sk_packet_entry", Layout::Bytes(&["length"])),
    plain(0x5447_3203, "UTSNS", "utsns_entry"),
    plain(0x5402_3547, "CREDS", "creds_entry"),
    plain(0x5311_5007, "IPC_VAR", "ipc_var_entry"),
    with(0x4628_3044, "IPCNS_SHM", "ipc_shm_entry", Layout::SharedMemory),
    with(0x5545_3737, "IPCNS_MSG", "ipc_msg_entry", Layout::MessageQueue),
    with(0x5957_3019, "IPCNS_SEM", "ipc_sem_entry", Layout::Semaphores),
    plain(0x5036_3636, "REG_FILES", "reg_file_entry"),
    plain(0x5925_5641, "EXT_FILES", "ext_file_entry"),
    plain(0x5140_3912, "FS", "fs_entry"),
    plain(0x5749_2820, "MM", "mm_entry"),
    plain(0x5913_3954, "REMAP_FPATH", "remap_file_path_entry"),
    with(0x5258_3605, "GHOST_FILE", "ghost_file_entry", Layout::GhostFile),
    with(0x5146_5506, "TCP_STREAM", "tcp_stream_entry", Layout::TcpStream),
    plain(0x4452_3722, "EVENTFD_FILE", "eventfd_file_entry"),
    plain(0x4502_3858, "EVENTPOLL_FILE", "eventpoll_file_entry"),
    plain(0x4443_3746, "EVENTPOLL_TFD", "eventpoll_tfd_entry"),
    plain(0x5732_3820, "SIGNALFD", "signalfd_entry"),
    plain(0x4842_4431, "INOTIFY_FILE", "inotify_file_entry"),
    plain(0x5456_2009, "INOTIFY_WD", "inotify_wd_entry"),
    plain(0x5556_3928, "MNTS", "mnt_entry"),
    plain(0x5737_3951, "NETDEV", "net_device_entry"),
    plain(0x5593_3752, "NETNS", "netns_entry"),
    plain(0x5943_3025, "TTY_FILES", "tty_file_entry"),
    plain(0x5945_3036, "TTY_INFO", "tty_info_entry"),
    plain(0x5941_3026, "TTY_DATA", "tty_data_entry"),
    plain(0x5432_3616, "FILE_LOCKS", "file_lock_entry"),
    plain(0x5711_3925, "RLIMIT", "rlimit_entry"),
    plain(0x5509_6122, "FANOTIFY_FILE", "fanotify_file_entry"),
    plain(0x5650_6035, "FANOTIFY_MARK", "fanotify_mark_entry"),
    plain(0x5925_5647, "SIGNAL", "siginfo_entry"),
    plain(0x5800_5614, "NETLINK_SK", "netlink_sk_entry"),
    plain(0x6139_4011, "NS_FILES", "ns_file_entry"),
    plain(0x5714_3751, "TUNFILE", "tunfile_entry"),
    plain(0x5938_3330, "CGROUP", "cgroup_entry"),
    plain(0x5049_3712, "TIMERFD", "timerfd_entry"),
    plain(0x6140_4013, "CPUINFO", "cpuinfo_entry"),
    plain(0x5547_4906, "USERNS", "userns_entry"),
    plain(0x6441_3049, "SECCOMP", "seccomp_entry"),
    plain(0x6734_3323, "BINFMT_MISC", "binfmt_misc_entry"),
    plain(0x4935_3943, "AUTOFS", "autofs_entry"),
    plain(0x5630_3138, "FILES", "file_entry"),
    plain(0x4845_3499, "MEMFD_INODE", "memfd_inode_entry"),
    plain(0x4311_4433, "TIMENS", "timens_entry"),
    plain(0x6115_7326, "PIDNS", "pidns_entry"),
    plain(0x5750_6142, "BPFMAP_FILE", "bpfmap_file_entry"),
    with(
        0x6432_4033,
        "BPFMAP_DATA",
        "bpfmap_data_entry",
        Layout::Bytes(&["keys_bytes", "values_bytes"]),
    ),
    plain(0x5942_3047, "APPARMOR", "apparmor_entry"),
    plain(0x5443_5556, "PIDFD", "pidfd_entry"),
    plain(0x5709_3306, "STATS", "stats_entry"),
    plain(0x5700_4059, "IRMAP_CACHE", "irmap_cache_entry"),
];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn every_kind_is_found_by_its_own_magic_and_name() {
        for kind in &KINDS {
            assert_eq!(Kind::by_magic(kind.magic), Some(kind), "{}", kind.name);
            assert_eq!(Kind::by_name(kind.name), Some(kind));
        }
    }

    #[rstest]
    #[case("pages-1.img", true)]
    #[case("a/b/pages-shmem-7.img", true)]
    #[case("tmpfs-dev-83.tar.gz.img", true)]
    #[case("netns-ct-10.img", true)]
    #[case("netns-10.img", false)]
    #[case("pagemap-1.img", false)]
    #[case("inventory.img", false)]
    #[case("stats-dump", false)]
    fn the_name_says_whether_a_file_is_raw(#[case] name: &str, #[case] raw: bool) {
        assert_eq!(is_raw(name), raw);
    }
}
