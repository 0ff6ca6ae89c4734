//! Fields whose meaning another field of the same message tells.

use criu::image::field::{choice, number};
use prost_reflect::DynamicMessage;

use crate::registry::Kind;
use crate::registry::images::Meaning;

/// Kinds of mappings (`criu/include/image.h`).
pub(super) const FILE_PRIVATE: u64 = 1 << 6;
pub(super) const FILE_SHARED: u64 = 1 << 7;
pub(super) const ANON_SHARED: u64 = 1 << 8;
pub(super) const SYSV: u64 = 1 << 10;
const SOCKET: u64 = 1 << 11;
pub(super) const MEMFD: u64 = 1 << 14;

/// What a field stands for in this very message.
pub(super) fn resolve(meaning: Meaning, message: &DynamicMessage) -> Meaning {
    match meaning {
        Meaning::MappedObject => Meaning::As(mapped_object(number(message, "status"))),
        Meaning::RemapTarget => Meaning::As(remap_target(message)),
        other => other,
    }
}

/// A System V segment's id is state: the pod uses it.
fn mapped_object(status: u64) -> Kind {
    match status {
        _ if status & SYSV != 0 => Kind::Exact,
        _ if status & (FILE_PRIVATE | FILE_SHARED | SOCKET) != 0 => Kind::Identity("file"),
        _ if status & ANON_SHARED != 0 => Kind::Identity("shared memory"),
        _ => Kind::Exact,
    }
}

/// Old images do not say the kind: they know ghosts only.
fn remap_target(message: &DynamicMessage) -> Kind {
    match choice(message, "remap_type").as_deref() {
        Some("LINKED") => Kind::Identity("file"),
        Some("GHOST") | None => Kind::Identity("ghost"),
        Some(_) => Kind::Exact,
    }
}
