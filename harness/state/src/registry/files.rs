//! Lines for mounts and files.

use super::Kind::{Content, Exact, Identity, Moment};
use super::Rule;
use super::lines::{CHOSEN, STAMP, STATE, lines};

const MOUNTS_FILE: &str = "/proc/PID/mountinfo";

pub(super) const MOUNTS: &[Rule] = lines!("task.*.mount.*.", MOUNTS_FILE;
    Identity("mount"), "", CHOSEN => "mount_id", "parent_id";
    Identity("device"), "", CHOSEN => "device";
    Identity("peer group"), "", CHOSEN =>
        "propagation.shared", "propagation.master", "propagation.propagate_from";
    Moment, "", "places on the node; their content is compared as files" => "layers";
    Exact, "", STATE => "root", "options", "fstype", "source", "super_options", "propagation";
);

const ATTRIBUTES: &str = "lgetxattr(2)";

/// What overlayfs writes down for itself.
pub(super) const OVERLAY: &[Rule] = lines!("root.*.xattr.trusted.overlay.", ATTRIBUTES;
    Moment, "", "the lower file in the file system's own words" => "origin";
    Moment, "6.8", CHOSEN => "uuid";
    Moment, "", "a hint of overlayfs to itself" => "impure";
);

const LSTAT: &str = "lstat(2)";

pub(super) const ROOT: &[Rule] = lines!("root.*.", LSTAT;
    Identity("inode in layer"), "", CHOSEN => "ino";
    Moment, "", STAMP => "ctime";
    Exact, "", STATE =>
        "type", "mode", "uid", "gid", "mtime", "size", "nlink", "rdev", "target", "same_file";
);

pub(super) const TMPFS: &[Rule] = lines!("tmpfs.*.", LSTAT;
    Identity("inode"), "", CHOSEN => "ino";
    Moment, "", STAMP => "ctime";
    Exact, "", STATE =>
        "type", "mode", "uid", "gid", "mtime", "size", "nlink", "rdev", "target", "same_file";
);

pub(super) const SHM: &[Rule] = lines!("pod.shm.*.", LSTAT;
    Identity("inode"), "", CHOSEN => "ino";
    Moment, "", STAMP => "ctime";
    Exact, "", STATE =>
        "type", "mode", "uid", "gid", "mtime", "size", "nlink", "rdev", "target", "same_file";
);

const HOLES: &str = "zeroes that take no room, block by block";

/// Attributes have names that could be anything: after those that are named above.
pub(super) const XATTRS: &[&[Rule]] = &[
    lines!("root.*.xattr.", ATTRIBUTES; Exact, "", "attributes and ACLs" => "*";),
    lines!("tmpfs.*.xattr.", ATTRIBUTES; Exact, "", "attributes and ACLs" => "*";),
    lines!("pod.shm.*.xattr.", ATTRIBUTES; Exact, "", "attributes and ACLs" => "*";),
    lines!("root.*.", "pread(2)"; Content, "", STATE => "content";),
    lines!("root.*.", "lseek(2) SEEK_HOLE"; Exact, "", HOLES => "holes";),
    lines!("tmpfs.*.", "pread(2)"; Content, "", STATE => "content";),
    lines!("tmpfs.*.", "lseek(2) SEEK_HOLE"; Exact, "", HOLES => "holes";),
    lines!("pod.shm.*.", "pread(2)"; Content, "", STATE => "content";),
    lines!("pod.shm.*.", "lseek(2) SEEK_HOLE"; Exact, "", HOLES => "holes";),
];
