//! What CRIU's images show, in the same tables.

use state::registry::images::{FIELDS, FILES, FieldRule, FileRule, Judged, Meaning, known_field};

use super::{Fact, NotCaptured, words};

const BEFORE: &str = "CRIU 3.17.1 or before";

/// The files that are compared, then the fields that are not exact.
pub(super) fn facts() -> impl Iterator<Item = Fact> {
    let files = FILES.iter().filter(|file| file.judged != Judged::Not);
    files.map(of_file).chain(FIELDS.iter().map(of_field))
}

fn of_file(file: &FileRule) -> Fact {
    let kind = if matches!(file.judged, Judged::Content(_)) { "content" } else { "exact" };
    Fact {
        pattern: format!("image.{}.*", file.stem).into(),
        kind,
        class: None,
        source: format!("{}*.img of CRIU", file.stem).into(),
        // New files have the plain names of their entries.
        since: since(known_field(&format!("{}_entry", file.stem), "id")),
        reason: file.reason,
    }
}

fn of_field(rule: &FieldRule) -> Fact {
    let (message, field) = rule.field.split_once('.').unwrap_or((rule.field, "*"));
    let (kind, class) = match rule.meaning {
        Meaning::As(kind) => words(kind),
        Meaning::Time { .. } | Meaning::TimeRest | Meaning::Clock => ("clock", None),
        Meaning::InodeOn(_) => ("identity", Some("inode")),
        Meaning::MappedObject | Meaning::RemapTarget => ("identity", Some("by kind")),
    };
    Fact {
        pattern: format!("image.*.{field}").into(),
        kind,
        class,
        source: format!("{message}.{field}; {}", rule.source).into(),
        since: since(known_field(message, field)),
        reason: rule.reason,
    }
}

/// In words, of the first CRIU of the catalogue that knows something.
fn since(known: Option<&str>) -> &'static str {
    match known {
        Some("3.17.1") | None => BEFORE,
        Some("4.1.1") => "CRIU 4.1.1 or a little before",
        Some("4.2.1") => "CRIU 4.2.1 or a little before",
        Some(_) => "CRIU 4.3",
    }
}

/// The files that are not compared.
pub(super) fn not_captured() -> impl Iterator<Item = NotCaptured> {
    let files = FILES.iter().filter(|file| file.judged == Judged::Not);
    files.map(|file| NotCaptured {
        what: format!("{}*.img of CRIU", file.stem).into(),
        reason: file.reason,
    })
}
