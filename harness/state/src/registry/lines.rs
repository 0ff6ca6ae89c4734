//! How the lines of the registry are written: by source and by how they are compared.

/// Lines of one source, whose patterns have one beginning:
///
/// ```text
/// lines!("task.*.status.", STATUS;
///     Exact, "", STATE => "uid", "gid";
///     Exact, "4.7", STATE => "umask";
/// )
/// ```
///
/// The text after the kind is the kernel since which it is shown; an empty one says that all
/// kernels of the catalogue show it.
macro_rules! lines {
    ($head:literal, $source:expr;
     $($kind:expr, $since:literal, $reason:expr => $($name:literal),+ $(,)?;)+) => {
        &[$($(
            $crate::registry::Rule {
                pattern: concat!($head, $name),
                kind: $kind,
                source: $source,
                since: $since,
                reason: $reason,
            },
        )+)+]
    };
}

pub(super) use lines;

/// Reasons that many lines share.
pub(super) const STATE: &str = "state: comes back as it was";
pub(super) const RESIDENCY: &str = "which pages are in memory at the moment, not what they hold";
pub(super) const HISTORY: &str = "a count of what happened, not state";
pub(super) const STAMP: &str = "the kernel stamps it by itself and has no call to set it";
pub(super) const CHOSEN: &str = "an id that the kernel chooses";
