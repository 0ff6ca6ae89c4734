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
        /// XXH3 of the bytes.
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
    /// Backing objects by name. A private mapping is an object of its own (`task.1.map.7f..`);
    /// a shared object is named once, after the first place that maps it.
    pub objects: BTreeMap<String, PageObject>,
}

/// One object that backs memory: the private pages of a mapping, or a shared object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageObject {
    /// What a person calls it: `[heap]`, `/usr/bin/redis-server`, `shared anonymous memory`.
    pub label: String,
    /// Address (private mapping) or offset (shared object) of the first page, in bytes.
    pub start: u64,
    /// The pages in order, gaps left out.
    pub runs: Vec<PageRun>,
}

/// Consecutive pages of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageRun {
    /// Pages that read as zero, whether they exist or were never touched.
    Zero {
        /// Index of the first page, from the object's start.
        first: u64,
        /// How many.
        count: u64,
    },
    /// Pages with content.
    Pages {
        /// Index of the first page, from the object's start.
        first: u64,
        /// One digest a page.
        digests: Vec<Digest>,
    },
}
