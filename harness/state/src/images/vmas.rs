//! Mappings in images: neighbours that are alike count as one, as they do in what the kernel shows.
//!
//! Where the kernel cuts a range depends on its history: a page that was written to and made
//! read-only again stays apart, and is joined with its neighbours when all of it is mapped anew.

use criu::image::field::number;
use prost_reflect::{DynamicMessage, ReflectMessage, Value};

/// The message of a mapping.
const MAPPING: &str = "vma_entry";

/// Fields in which pieces of one range differ.
const PLACE: [&str; 3] = ["start", "end", "pgoff"];

/// The items of a list; of mappings, those that are alike joined.
pub(super) fn joined(values: &[Value]) -> Vec<Value> {
    let mut joined: Vec<Value> = Vec::with_capacity(values.len());
    for value in values {
        if let (Some(Value::Message(last)), Value::Message(next)) = (joined.last_mut(), value)
            && joins(last, next)
            && let Some(end) = next.get_field_by_name("end")
        {
            last.set_field_by_name("end", end.into_owned());
        } else {
            joined.push(value.clone());
        }
    }
    joined
}

/// Whether `next` goes on where `last` ends and is alike.
fn joins(last: &DynamicMessage, next: &DynamicMessage) -> bool {
    if [last, next].iter().any(|it| it.descriptor().name() != MAPPING) {
        return false;
    }
    let length = number(last, "end").wrapping_sub(number(last, "start"));
    let offsets = [number(last, "pgoff"), number(next, "pgoff")];
    let is_of_nothing = number(last, "shmid") == 0 && offsets == [0, 0];
    number(last, "end") == number(next, "start")
        && (is_of_nothing || offsets[0].wrapping_add(length) == offsets[1])
        && without_place(last) == without_place(next)
}

fn without_place(mapping: &DynamicMessage) -> DynamicMessage {
    let mut rest = mapping.clone();
    for field in PLACE {
        rest.clear_field_by_name(field);
    }
    rest
}
