//! What tells the entries of a list apart, so that one more or less does not shift the others.
//! Lists of messages that are not here go by position: a signal's action, a resource's limit.

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct ListKey {
    /// The message.
    pub message: &'static str,
    /// Its fields, or fields within its fields. An id stands for the first who refers to it.
    pub fields: &'static [&'static str],
    /// Whether numbers are written in hexadecimal.
    pub hex: bool,
}

const fn by(message: &'static str, fields: &'static [&'static str]) -> ListKey {
    ListKey { message, fields, hex: false }
}

/// The table.
pub const KEYS: &[ListKey] = &[
    by("pstree_entry", &["pid"]),
    by("fdinfo_entry", &["fd"]),
    by("file_entry", &["id"]),
    ListKey { message: "vma_entry", fields: &["start"], hex: true },
    by("cg_set_entry", &["id"]),
    by("pipe_data_entry", &["pipe_id"]),
    by("sk_packet_entry", &["id_for"]),
    by("ghost_chunk_entry", &["off"]),
    by("remap_file_path_entry", &["orig_id"]),
    by("memfd_inode_entry", &["inode_id"]),
    by("bpfmap_data_entry", &["map_id"]),
    by("tty_info_entry", &["id"]),
    by("tty_data_entry", &["tty_id"]),
    by("file_lock_entry", &["pid", "fd", "start"]),
    by("eventpoll_tfd_entry", &["tfd", "pos"]),
    by("inotify_wd_entry", &["wd"]),
    by("posix_timer_entry", &["it_id"]),
    by("user_desc_t", &["entry_number"]),
    by("mnt_entry", &["mountpoint"]),
    by("net_device_entry", &["name"]),
    by("ipc_shm_entry", &["desc.id"]),
    by("ipc_msg_entry", &["desc.id"]),
    by("ipc_sem_entry", &["desc.id"]),
];
