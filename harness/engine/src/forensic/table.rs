//! The table of open files: what the numbers stand for by which descriptors and mappings name files.

use std::collections::BTreeMap;

use criu::image::Entry;
use criu::image::field::{bytes, choice, message, number};
use prost_reflect::DynamicMessage;

use super::container::Images;

const FOLDER: u64 = 0o040_000;
const CHARACTER_DEVICE: u64 = 0o020_000;
const BLOCK_DEVICE: u64 = 0o060_000;
const KIND_OF_MODE: u64 = 0o170_000;

/// Open files by their number.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<u64, Known>);

/// An open file.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Path, or the kernel's name.
    pub(super) path: String,
    /// What it is.
    pub(super) kind: String,
    /// Flags as for `open`.
    pub(super) flags: u64,
    /// Offset, where it has one.
    pub(super) offset: Option<u64>,
    /// Number of its ghost, where the file was deleted.
    pub(super) ghost: Option<u64>,
    /// Whether it was deleted.
    pub(super) deleted: bool,
    /// Number of a memfd's object.
    pub(super) object: Option<u64>,
    /// CRIU's own message about it.
    pub(super) message: DynamicMessage,
}

/// CRIU's kind, the field of its message, the name of the kind, and how the kernel calls it.
const KINDS: [(&str, &str, &str, &str); 15] = [
    ("REG", "reg", "regular", ""),
    ("EXT", "ext", "external", "external"),
    ("PIPE", "pipe", "pipe", "pipe:[]"),
    ("FIFO", "fifo", "fifo", ""),
    ("INETSK", "isk", "internet socket", "socket:[]"),
    ("UNIXSK", "usk", "unix socket", "socket:[]"),
    ("PACKETSK", "psk", "packet socket", "socket:[]"),
    ("NETLINKSK", "nlsk", "netlink socket", "socket:[]"),
    ("EVENTFD", "efd", "eventfd", "anon_inode:[eventfd]"),
    ("EVENTPOLL", "epfd", "epoll", "anon_inode:[eventpoll]"),
    ("SIGNALFD", "sgfd", "signalfd", "anon_inode:[signalfd]"),
    ("TIMERFD", "tfd", "timerfd", "anon_inode:[timerfd]"),
    ("INOTIFY", "ify", "inotify", "anon_inode:inotify"),
    ("TTY", "tty", "terminal", "terminal"),
    ("MEMFD", "memfd", "memfd", ""),
];

impl Table {
    /// Reads the table of a container.
    pub(super) fn read(images: &mut Images<'_, '_>) -> Table {
        let memfds = memfds(images);
        let mut table = Table::default();
        for entry in images.needed("files.img") {
            let id = number(&entry.message, "id");
            table.0.insert(id, known(&entry.message, &memfds));
        }
        table.name_fifos();
        for entry in images.entries("remap-fpath.img") {
            table.remap(&entry);
        }
        table
    }

    /// An open file by its number.
    pub(super) fn get(&self, id: u64) -> Option<&Known> {
        self.0.get(&id)
    }

    /// The path of an open file.
    pub(super) fn path(&self, id: u64) -> Option<String> {
        self.get(id).map(|known| known.path.clone())
    }

    /// All of them, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Known)> {
        self.0.iter().map(|(id, known)| (*id, known))
    }

    /// The path of a fifo is that of the file behind it.
    fn name_fifos(&mut self) {
        let fifos = self.0.iter().filter(|(_, known)| known.kind == "fifo");
        let named: Vec<(u64, String)> = fifos
            .filter_map(|(id, known)| Some((*id, self.path(number(&known.message, "regf_id"))?)))
            .collect();
        for (id, path) in named {
            self.0.entry(id).and_modify(|known| known.path = path);
        }
    }

    /// A file that has not its name any more. Images of old CRIUs do not say the kind: they know
    /// ghosts only.
    fn remap(&mut self, entry: &Entry) {
        let of = |field| number(&entry.message, field);
        let is_ghost =
            matches!(choice(&entry.message, "remap_type").as_deref(), Some("GHOST") | None);
        if let Some(known) = self.0.get_mut(&of("orig_id")) {
            known.deleted = true;
            known.ghost = is_ghost.then(|| of("remap_id"));
        }
    }
}

/// Names and objects of memfds, by inode.
fn memfds(images: &mut Images<'_, '_>) -> BTreeMap<u64, (String, u64)> {
    let entries = images.entries("memfd.img").into_iter();
    let named = entries.map(|entry| {
        let name = lossy(&bytes(&entry.message, "name"));
        let object = number(&entry.message, "shmid");
        (number(&entry.message, "inode_id"), (format!("/memfd:{name} (deleted)"), object))
    });
    named.collect()
}

fn known(entry: &DynamicMessage, memfds: &BTreeMap<u64, (String, u64)>) -> Known {
    let kind = choice(entry, "type").unwrap_or_default();
    let row = KINDS.iter().find(|(name, ..)| *name == kind);
    let inner = row.and_then(|(_, field, ..)| message(entry, field));
    let inner = inner.unwrap_or_else(|| entry.clone());
    let (mut path, mut kind) = match row {
        Some((_, _, kind, "")) => (lossy(&bytes(&inner, "name")), (*kind).to_owned()),
        Some((_, _, kind, name)) => (numbered(name, &inner), (*kind).to_owned()),
        None => (String::new(), kind.to_lowercase()),
    };
    let mut object = None;
    if kind == "regular" {
        kind = kind_of_mode(number(&inner, "mode")).to_owned();
    }
    if let ("memfd", Some((name, id))) = (kind.as_str(), memfds.get(&number(&inner, "inode_id"))) {
        (path, object) = (name.clone(), Some(*id));
    }
    let has_offset = row.is_some_and(|(name, ..)| ["REG", "MEMFD"].contains(name));
    Known {
        path,
        flags: number(&inner, "flags"),
        offset: (has_offset && kind != "directory").then(|| number(&inner, "pos")),
        kind,
        ghost: None,
        deleted: false,
        object,
        message: inner,
    }
}

/// `pipe:[]` with its number.
fn numbered(name: &str, inner: &DynamicMessage) -> String {
    let field = if name.starts_with("pipe") { "pipe_id" } else { "ino" };
    name.replace("[]", &format!("[{}]", number(inner, field)))
}

fn kind_of_mode(mode: u64) -> &'static str {
    match mode & KIND_OF_MODE {
        FOLDER => "directory",
        CHARACTER_DEVICE => "character device",
        BLOCK_DEVICE => "block device",
        _ => "regular",
    }
}

/// Bytes as text.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
