//! Pages that came back different: what is in them, and what was.

use serde::{Deserialize, Serialize};

/// Most pages of one [`Request::Pages`](super::Request::Pages).
pub const MOST_PAGES: usize = 16;

/// A page to be looked at, named as a [`Memory`](crate::Memory) names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedPage {
    /// The object that backs it, such as `task.1.memory`.
    pub object: String,
    /// Its index in that object: address or offset, divided by the page size.
    pub index: u64,
    /// Whether to tell what the checkpoint's images have of it.
    pub before: bool,
    /// Whether to tell what is in it now.
    pub after: bool,
}

/// What was found of a [`WantedPage`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundPage {
    /// Where the task that its object is named after has it, or had it.
    pub address: Option<u64>,
    /// What the checkpoint has of it.
    pub before: PageBytes,
    /// What is in it now.
    pub after: PageBytes,
}

/// The bytes of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PageBytes {
    /// Nobody asked.
    #[default]
    NotWanted,
    /// They are known.
    Known {
        /// All of the page.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        /// Where they were read, such as `pages-1.img at byte 4096`.
        place: String,
    },
    /// They cannot be had.
    Unknown {
        /// Why.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_through_as_it_was() {
        let known = |bytes: &[u8]| PageBytes::Known {
            bytes: bytes.to_vec(),
            place: "pages-1.img at byte 4096".to_owned(),
        };
        let pages = vec![
            FoundPage {
                address: Some(1 << 46),
                before: known(&[7; 4096]),
                after: known(&[8; 4096]),
            },
            FoundPage { before: PageBytes::Unknown { why: "no".to_owned() }, ..Default::default() },
        ];
        let bytes = postcard::to_stdvec(&pages).expect("plain data");
        assert_eq!(postcard::from_bytes::<Vec<FoundPage>>(&bytes).expect("the same"), pages);
    }
}
