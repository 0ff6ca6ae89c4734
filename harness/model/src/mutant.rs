//! Mutants: single ways to spoil a restored pod, each of which a verifier must notice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One way to spoil a pod, as the node that has the pod offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutant {
    /// Unique among those of a pod: `limit/task.1/core`. What stands before the last slash names
    /// the operator and its target.
    pub name: String,
    /// At which moment and where.
    pub family: Family,
    /// In words, with the values before and after where they are known.
    pub what: String,
    /// It changes nothing: whoever notices it cries wolf.
    pub control: bool,
    /// How it is done, in the words of the node alone.
    pub act: String,
}

/// What a mutant spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// A field of an image, between dump and restore.
    Image,
    /// The restored, frozen pod, from outside.
    Live,
    /// The memory of the restored, frozen pod.
    Memory,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 3] = [Family::Image, Family::Live, Family::Memory];

    /// The name users write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Family::Image => "image",
            Family::Live => "live",
            Family::Memory => "memory",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no family.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown family `{0}`; there are: image, live, memory")]
pub struct UnknownFamily(pub String);

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Family::ALL.into_iter().find(|family| family.name() == text);
        found.ok_or_else(|| UnknownFamily(text.to_owned()))
    }
}

/// Exit code of `cryolab-agent spoil do` when the kernel does not take such a change: nothing was
/// spoiled.
pub const NOT_POSSIBLE: i32 = 4;
