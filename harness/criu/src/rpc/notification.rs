//! What CRIU calls back about.

use std::fmt;
use std::os::fd::OwnedFd;

/// CRIU waits at a moment of its work for an [`Answer`].
#[derive(Debug)]
pub struct Notification {
    /// Which moment.
    pub kind: NotificationKind,
    /// The root task, at `setup-namespaces` and `post-restore`.
    pub pid: Option<i32>,
    /// Descriptors that came along: the master of a terminal at `orphan-pts-master`.
    pub fds: Vec<OwnedFd>,
}

/// What a callback says to a [`Notification`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Go on.
    Go,
    /// Fail the operation. Up to `post-restore` CRIU then undoes it; at `network-unlock`,
    /// `pre-resume` and `post-resume` it takes no notice: kill the tasks instead.
    Fail,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The moments at which CRIU notifies, in the order in which they can happen.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum NotificationKind {
            $($(#[$doc])* $variant,)*
            /// One that is not known here.
            Other(String),
        }

        impl NotificationKind {
            /// The kind of this name in CRIU's words.
            #[must_use]
            pub fn from_name(name: &str) -> Self {
                match name {
                    $($name => NotificationKind::$variant,)*
                    _ => NotificationKind::Other(name.to_owned()),
                }
            }

            /// CRIU's own word, such as `pre-resume`.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(NotificationKind::$variant => $name,)*
                    NotificationKind::Other(name) => name,
                }
            }
        }

        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$($name),*];
    };
}

kinds! {
    /// Images are about to be streamed.
    PreStream = "pre-stream",
    /// A dump begins.
    PreDump = "pre-dump",
    /// Tasks are stopped; their network is to be locked.
    NetworkLock = "network-lock",
    /// External files may be declared.
    QueryExtFiles = "query-ext-files",
    /// The images are written; the tasks are still stopped.
    PostDump = "post-dump",
    /// A restore begins.
    PreRestore = "pre-restore",
    /// The root task exists in its new namespaces, which are still empty. Only if it has new ones.
    SetupNamespaces = "setup-namespaces",
    /// They are filled, others are joined, mounts are made. Only after `setup-namespaces`.
    PostSetupNamespaces = "post-setup-namespaces",
    /// The master of a terminal whose other end was outside, as a descriptor.
    OrphanPtsMaster = "orphan-pts-master",
    /// All tasks and their resources exist.
    PostRestore = "post-restore",
    /// The network may go on.
    NetworkUnlock = "network-unlock",
    /// All is restored and nothing has run yet.
    PreResume = "pre-resume",
    /// The tasks run.
    PostResume = "post-resume",
    /// A page server or lazy-pages daemon is ready.
    StatusReady = "status-ready",
}

impl fmt::Display for NotificationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_own_kind() {
        for name in NAMES {
            let kind = NotificationKind::from_name(name);
            assert!(!matches!(kind, NotificationKind::Other(_)), "{name}");
            assert_eq!(kind.name(), *name);
        }
        assert_eq!(NotificationKind::from_name("new").name(), "new");
    }
}
