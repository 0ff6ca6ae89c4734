//! What is known about a pod at one moment: a tree of facts, and its memory by digests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// The value of a fact. Its kind decides how two captures are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Equal or different.
    Exact(String),
    /// An id that the kernel chose, within a class such as `socket`, `pipe`, `mount`, `ns`.
    /// Compared as one consistent renaming (a bijection for each class) over the whole pod.
    Identity {
        /// The class within which ids are renamed.
        class: String,
        /// The kernel's id.
        id: String,
    },
    /// The digest of some content, and its length in bytes.
    Content {
        /// Of the bytes.
        digest: Digest,
        /// Length in bytes.
        length: u64,
    },
    /// A clock or what is left of a timer, in nanoseconds: may differ by the time that passed.
    Clock {
        /// Nanoseconds.
        ns: i64,
    },
    /// Written down for people and never compared.
    Moment(String),
}

/// The observed state of a pod at one moment, taken while all of it is frozen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// Format of this capture: 1.
    pub schema: u32,
    /// The node's monotonic clock when the capture began, in nanoseconds.
    pub began_ns: u64,
    /// The same when it ended.
    pub ended_ns: u64,
    /// Facts by their dotted path, such as `task.1.fd.3.flags`.
    pub facts: BTreeMap<String, Value>,
    /// What this kernel cannot show, by fact pattern, with the reason.
    pub not_offered: BTreeMap<String, String>,
    /// Every page that can hold state.
    pub memory: Memory,
}

/// The memory of a pod: pages by the object that backs them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Bytes of a page.
    pub page_bytes: u32,
    /// Backing objects by name. All private pages of one address space are one object
    /// (`task.1.memory`, pages numbered by address), so that it does not matter how the kernel
    /// cuts it into mappings; a shared object (pages numbered by offset) is named once, after
    /// the first place that maps it (`task.1.shared.7f..`).
    pub objects: BTreeMap<String, PageObject>,
}

/// One object that backs memory: the private pages of an address space, or a shared object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageObject {
    /// What a person calls its parts, in order.
    pub labels: Vec<PageLabel>,
    /// The pages in order, gaps left out.
    pub runs: Vec<PageRun>,
}

/// What a person calls some pages of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageLabel {
    /// Index of the first page: address or offset, divided by the page size.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// `[heap]`, `/usr/bin/redis-server`, `shared anonymous memory`.
    pub text: String,
    /// The kernel may drop these pages at any time (MAP_DROPPABLE): they then read as zero.
    pub droppable: bool,
}

/// Consecutive pages of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageRun {
    /// Pages that read as zero, whether they exist or were never touched.
    Zero {
        /// Index of the first page: address or offset, divided by the page size.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Pages with content.
    Pages {
        /// Index of the first page: address or offset, divided by the page size.
        first: u64,
        /// One digest a page.
        digests: Vec<Digest>,
    },
}
