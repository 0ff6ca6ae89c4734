//! Ids that the kernel chose anew: one renaming of all ids of a class, both ways.

use std::collections::HashMap;

use super::Difference;

/// What the facts seen so far say about who is who.
#[derive(Debug, Default)]
pub(super) struct Renaming {
    /// By class and id before: the id after, and the fact that said so first.
    forth: HashMap<(String, String), (String, String)>,
    /// The same by the id after.
    back: HashMap<(String, String), (String, String)>,
}

impl Renaming {
    /// Takes a pair of ids. They are in conflict when either has another partner already: then
    /// two things that were one are no longer, or two that were apart have become one.
    pub(super) fn conflict(
        &mut self,
        fact: &str,
        class: &str,
        before: &str,
        after: &str,
    ) -> Option<Difference> {
        let was = (class.to_owned(), before.to_owned());
        let is = (class.to_owned(), after.to_owned());
        match (self.forth.get(&was), self.back.get(&is)) {
            (None, None) => {
                self.forth.insert(was, (after.to_owned(), fact.to_owned()));
                self.back.insert(is, (before.to_owned(), fact.to_owned()));
                None
            }
            (Some((partner, _)), _) if partner == after => None,
            (forth, back) => Some(Difference {
                fact: fact.to_owned(),
                before: place(class, forth),
                after: place(class, back),
                rule: None,
            }),
        }
    }
}

/// Whether a difference is such a conflict.
pub(super) fn is_conflict(difference: &Difference) -> bool {
    [&difference.before, &difference.after].iter().any(|place| place.starts_with(SAME))
}

/// How a place begins that is told by the first fact that has the id.
const SAME: &str = "the same ";

fn place(class: &str, known: Option<&(String, String)>) -> String {
    match known {
        Some((_, fact)) => format!("{SAME}{class} as {fact}"),
        None => format!("another {class} than all before"),
    }
}
