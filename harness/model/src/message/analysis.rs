//! Looking into an archive.

use serde::{Deserialize, Serialize};

/// What memory is searched for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sought {
    /// Texts.
    pub texts: Vec<String>,
    /// Regular expressions over bytes.
    pub regexes: Vec<String>,
}
