//! Two captures, held against each other. No I/O, and no way to fail.

mod causes;
pub(crate) mod facts;
mod kinds;
mod memory;
mod page;
mod renaming;

use model::Capture;

use crate::kernel::Replaced;

pub use self::causes::{Told, causes, causes_among};
pub use self::page::{DifferingPage, Page};

/// What two captures have in common, and what they do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Everything but memory.
    pub kernel: KernelLevel,
    /// Pages.
    pub memory: MemoryLevel,
}

/// The outcome for facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelLevel {
    /// How many facts were compared.
    pub facts: usize,
    /// How many different kinds of them: names without numbers.
    pub kinds: usize,
    /// What differs.
    pub differences: Vec<Difference>,
    /// What differs as a rule permits; `rule` is the reason.
    pub tolerated: Vec<Difference>,
    /// Facts that one of the two kernels cannot show, with the reason.
    pub not_offered: Vec<(String, String)>,
}

/// The outcome for memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryLevel {
    /// Pages with content that were compared.
    pub pages: u64,
    /// The same in bytes.
    pub bytes: u64,
    /// Distinct pages of backing objects that differ.
    pub differing: u64,
    /// What differs, a run of pages each. A long list is cut, and its last entry says so.
    pub differences: Vec<Difference>,
    /// The first page of each of these.
    pub first_pages: Vec<DifferingPage>,
    /// What differs as a rule permits; `rule` is the reason.
    pub tolerated: Vec<Difference>,
}

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Name of the fact.
    pub fact: String,
    /// Its value before, in words.
    pub before: String,
    /// Its value after, in words.
    pub after: String,
    /// The rule that permits it, or that it breaks.
    pub rule: Option<String>,
}

impl Difference {
    /// The difference as a sentence: `task.1.nice was 0, is 7`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let rule = self.rule.as_ref().map_or_else(String::new, |rule| format!(" ({rule})"));
        format!("{} was {}, is {}{rule}", self.fact, self.before, self.after)
    }
}

impl Comparison {
    /// Whether nothing differs that no rule permits.
    #[must_use]
    pub fn equivalent(&self) -> bool {
        self.kernel.differences.is_empty() && self.memory.differences.is_empty()
    }
}

/// Compares two captures of a pod. `passed_ns` is how much time may have passed for the pod
/// between them: clocks and timers may have moved by that much.
#[must_use]
pub fn compare(before: &Capture, after: &Capture, passed_ns: u64) -> Comparison {
    Comparison {
        kernel: facts::compare(before, after, passed_ns),
        memory: compare_memory(before, after),
    }
}

/// Compares the memory of two captures alone.
#[must_use]
pub fn compare_memory(before: &Capture, after: &Capture) -> MemoryLevel {
    let replaced = Replaced::between(before, after);
    memory::compare(&before.memory, &after.memory, &replaced)
}
