//! The level *images*: what CRIU wrote about a pod, field by field, as facts.
//!
//! [`read`] walks every file of a dump by the descriptors of the CRIU that wrote it, and makes every
//! field of every entry a fact `image.FILE.KEY.FIELD...` with CRIU's own names; bytes that follow an
//! entry are `content`. Numbers that CRIU and the kernel choose are identities, and a thing that is
//! known by such a number only is named after the first who refers to it. What is not exact stands in
//! [`registry::images`](crate::registry::images).
//!
//! A file, message or field that nobody knows cannot be judged: [`compare`] calls it a difference
//! even where both sides have it.

mod folder;
mod mapped;
mod names;
mod page;
mod value;
mod vmas;
mod walk;

use std::path::PathBuf;

use criu::image::Schema;
use model::{Capture, Value};

use crate::capture::SCHEMA;
use crate::compare::{Difference, facts};
use crate::error::Result;
use crate::kernel::{self, KERNEL};

pub(crate) use self::page::{Dumped, Pages, Why};

/// Last part of the name of a fact that says what could not be understood.
const UNKNOWN: &str = "@unknown";

/// The outcome for images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImagesLevel {
    /// How many fields were compared.
    pub fields: usize,
    /// What differs, or could not be judged.
    pub differences: Vec<Difference>,
    /// What differs as a rule permits; `rule` is the reason.
    pub tolerated: Vec<Difference>,
}

/// What the images of a pod's containers say, by the containers in order, each with the folder of
/// its images; on the node that has made them.
///
/// # Errors
/// When a folder or a file cannot be read. What cannot be *understood* is a fact.
pub fn read(containers: &[(String, PathBuf)], schema: &Schema) -> Result<Capture> {
    let mut capture = Capture { schema: SCHEMA, ..Capture::default() };
    for (index, (container, folder)) in containers.iter().enumerate() {
        let container = (index > 0).then_some(container.as_str());
        folder::read(container, folder, schema, &mut capture.facts)?;
    }
    capture.facts.insert(KERNEL.to_owned(), Value::Moment(kernel::running()?));
    Ok(capture)
}

/// Compares what the images of two dumps say. `passed_ns` is how much time may have passed for the
/// pod between them.
#[must_use]
pub fn compare(before: &Capture, after: &Capture, passed_ns: u64) -> ImagesLevel {
    let level = facts::compare(before, after, passed_ns);
    let mut differences = level.differences;
    differences.extend(before.facts.iter().filter_map(|(name, value)| {
        let same = after.facts.get(name) == Some(value);
        (same && name.ends_with(UNKNOWN)).then(|| unjudged(name, value))
    }));
    ImagesLevel { fields: level.facts, differences, tolerated: level.tolerated }
}

fn unjudged(name: &str, value: &Value) -> Difference {
    let what = match value {
        Value::Exact(text) => text.clone(),
        other => format!("{other:?}"),
    };
    Difference {
        fact: name.to_owned(),
        before: what,
        after: "the same, and nobody knows what it means".to_owned(),
        rule: None,
    }
}
