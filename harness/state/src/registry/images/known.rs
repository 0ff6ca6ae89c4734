//! Every field of every message of CRIU's images, with the CRIU in which it was seen first.
//!
//! The list is ours and is read by people and by the completeness test: a field that it does not
//! have is one that nobody has looked at yet. The example `image_fields` makes it from schemas.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use criu::image::Schema;

/// Lines `MESSAGE.FIELD VERSION`, in order.
const LIST: &str = include_str!("known.txt");

/// Since which CRIU of the catalogue a field exists, if it is known.
#[must_use]
pub fn known_field(message: &str, field: &str) -> Option<&'static str> {
    static KNOWN: LazyLock<HashMap<&str, &str>> =
        LazyLock::new(|| LIST.lines().filter_map(|line| line.split_once(' ')).collect());
    KNOWN.get(format!("{message}.{field}").as_str()).copied()
}

/// Every field of every message of a CRIU's images, as `MESSAGE.FIELD`.
#[must_use]
pub fn fields_of(schema: &Schema) -> BTreeSet<String> {
    let fields = schema.messages().flat_map(|message| {
        let name = message.name().to_owned();
        message.fields().map(|field| format!("{name}.{}", field.name())).collect::<Vec<_>>()
    });
    fields.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_known_with_the_version_that_brought_it() {
        assert_eq!(known_field("core_entry", "tc"), Some("3.17.1"));
        assert_eq!(known_field("thread_core_entry", "timerslack_ns"), Some("4.3"));
        assert_eq!(known_field("core_entry", "a_field_of_next_year"), None);
    }
}
