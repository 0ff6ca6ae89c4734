//! What can go wrong with wires.

use std::io;

/// Something that was asked of wires cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No wire joins these nodes.
    #[error("no wire from `{from}` to `{to}`; there are {}", list(wires))]
    NoWire {
        /// One node.
        from: String,
        /// The other.
        to: String,
        /// The wires that there are.
        wires: Vec<String>,
    },
    /// Both ends of a wire would be at one node.
    #[error("a wire from `{node}` to itself makes no sense")]
    Itself {
        /// The node.
        node: String,
    },
    /// What is on its way can only be told while the wires are held.
    #[error("the wires are not held: what is on its way changes while it is looked at")]
    NotHeld,
    /// The wire is not captured.
    #[error("the wire between `{a}` and `{b}` is not captured")]
    NotCaptured {
        /// One node.
        a: String,
        /// The other.
        b: String,
    },
    /// A file, socket or thread of the host.
    #[error("cannot {what}")]
    Host {
        /// What was tried, naming the thing.
        what: String,
        /// Why it did not work.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: the host could not do `what`.
    pub(super) fn host(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Host { what: what.into(), source }
    }
}

fn list(wires: &[String]) -> String {
    if wires.is_empty() { "none".to_owned() } else { wires.join(", ") }
}
