//! Two captures side by side, later, from the files of a cell: no machine is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use comfy_table::{Table, presets};
use model::{Capture, Value};
use serde::Deserialize;

use super::hexdump::hexdump;
use crate::names;
use crate::verdict::{Difference, Level, LevelVerdict, brief, causes, value_in_words};

/// The captures that a cell may have, in pairs.
const PAIRS: [(&str, &str); 2] =
    [("capture-a.json", "capture-b.json"), ("capture-images-a.json", "capture-images-b.json")];

/// A cell's captures cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum SideBySideError {
    /// A file is missing or cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A file is no capture of a format that is known.
    #[error("{}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: state::StoredError,
    },
    /// What was found to differ cannot be read.
    #[error("{}", path.display())]
    Differences {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// `differences.json`, as far as it is needed here.
#[derive(Deserialize)]
struct Found {
    levels: BTreeMap<Level, LevelVerdict>,
    tolerated: Vec<Difference>,
    not_offered: BTreeMap<String, String>,
}

/// A fact in two captures, and how that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    fact: String,
    before: String,
    after: String,
    judged: String,
}

/// Draws what both captures of a cell's folder say of each fact, and how it was judged: what
/// differs first, causes before what follows them, then what is tolerated or moved within its
/// rule. Facts that are equal are shown where they fit `pattern`, else counted. Below stand the bytes
/// of pages that differ.
///
/// # Errors
/// When the captures are missing, damaged or of an unknown format.
pub fn side_by_side(folder: &Path, pattern: Option<&str>) -> Result<String, SideBySideError> {
    let path = folder.join("differences.json");
    let found: Found = serde_json::from_slice(&fs_err::read(&path)?)
        .map_err(|source| SideBySideError::Differences { path, source })?;
    let mut pairs = Vec::new();
    for (before, after) in PAIRS {
        if folder.join(before).exists() && folder.join(after).exists() {
            pairs.push((read(&folder.join(before))?, read(&folder.join(after))?));
        }
    }
    if pairs.is_empty() {
        fs_err::metadata(folder.join(PAIRS[0].0))?;
    }
    Ok(draw(&found, &pairs, pattern))
}

fn read(path: &Path) -> Result<Capture, SideBySideError> {
    let path = path.to_owned();
    state::read_capture(&fs_err::read(&path)?)
        .map_err(|source| SideBySideError::Capture { path, source })
}

fn draw(found: &Found, pairs: &[(Capture, Capture)], pattern: Option<&str>) -> String {
    let mut rows: Vec<Row> = differing(found);
    let told: BTreeSet<String> = rows.iter().map(|row| row.fact.clone()).collect();
    let mut rest: Vec<(bool, Row)> = Vec::new();
    for (before, after) in pairs {
        rest.extend(others(before, after, &told, &found.not_offered));
    }
    rest.sort_by_key(|(is_equal, _)| *is_equal);
    let wanted = |fact: &str| pattern.is_none_or(|pattern| names::fits(pattern, fact));
    rows.retain(|row| wanted(&row.fact));
    rest.retain(|(_, row)| wanted(&row.fact));
    let equal = rest.iter().filter(|(is_equal, _)| *is_equal).count();
    let shown = rest.into_iter().filter(|(is_equal, _)| pattern.is_some() || !is_equal);
    rows.extend(shown.map(|(_, row)| row));
    let hidden = if pattern.is_some() { 0 } else { equal };
    format!("{}{}{}", table(&rows), counted(hidden), pages(found, wanted))
}

/// The bytes of pages that differ.
fn pages(found: &Found, wanted: impl Fn(&str) -> bool) -> String {
    let differences = found.levels.values().flat_map(|level| &level.differences);
    let pages = differences.filter(|it| wanted(&it.fact)).filter_map(hexdump);
    pages.map(|page| format!("\n{page}")).collect()
}

fn counted(hidden: usize) -> String {
    match hidden {
        0 => String::new(),
        hidden => {
            format!("\n{hidden} facts are equal or never compared; --facts '*' shows them, too.\n")
        }
    }
}

/// What differs, of all levels, and what is tolerated.
fn differing(found: &Found) -> Vec<Row> {
    let mut rows = Vec::new();
    for level in found.levels.values() {
        for group in causes(&level.differences) {
            rows.push(row(group.cause, &lost(group.cause)));
            let cause = &group.cause.fact;
            let follows = |it: &&Difference| row(it, &format!("  follows {cause}"));
            rows.extend(group.follow.iter().map(follows));
        }
    }
    let tolerated = |it: &Difference| {
        row(it, &format!("tolerated: {}", it.rule.as_deref().unwrap_or_default()))
    };
    rows.extend(found.tolerated.iter().map(tolerated));
    rows
}

fn lost(difference: &Difference) -> String {
    let kept = difference.kept.as_ref().map(|place| format!(" [{place}]")).unwrap_or_default();
    match (&difference.known, &difference.whole) {
        (Some(reason), _) => format!("known: {reason}{kept}"),
        (None, Some(whole)) => format!("lost: all of {whole}{kept}"),
        (None, None) => format!("lost{kept}"),
    }
}

fn row(difference: &Difference, judged: &str) -> Row {
    let shown = |value: &Option<String>| value.as_deref().map_or("-".to_owned(), brief);
    Row {
        fact: difference.fact.clone(),
        before: shown(&difference.before),
        after: shown(&difference.after),
        judged: judged.to_owned(),
    }
}

/// All that nobody found to differ, and whether it is plainly equal or never compared.
fn others(
    before: &Capture,
    after: &Capture,
    told: &BTreeSet<String>,
    not_offered: &BTreeMap<String, String>,
) -> Vec<(bool, Row)> {
    let names: BTreeSet<&String> = before.facts.keys().chain(after.facts.keys()).collect();
    let untold = names.into_iter().filter(|fact| !told.contains(*fact));
    let judged = untold.map(|fact| {
        let (was, is) = (before.facts.get(fact), after.facts.get(fact));
        let judged = match not_offered.get(fact) {
            Some(why) => format!("not offered: {why}"),
            None => passed(was, is).to_owned(),
        };
        let shown = |value: Option<&Value>| {
            value.map_or("-".to_owned(), |value| brief(&value_in_words(value)))
        };
        let row = Row { fact: fact.clone(), before: shown(was), after: shown(is), judged };
        let is_moment = matches!(was.or(is), Some(Value::Moment(_)));
        (was == is || is_moment, row)
    });
    judged.collect()
}

/// How values pass that nobody found to differ.
fn passed(was: Option<&Value>, is: Option<&Value>) -> &'static str {
    match was.or(is) {
        _ if was == is => "equal",
        Some(Value::Identity { .. }) => "renamed: the same under another id",
        Some(Value::Clock { .. }) => "moved within its rule",
        Some(Value::Moment(_)) => "a moment: not compared",
        _ => "equal by its rule",
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["fact", "before", "after", "judged"]);
    for Row { fact, before, after, judged } in rows {
        table.add_row([fact, before, after, judged]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let drawn = table.to_string();
    drawn.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(facts: &[(&str, Value)]) -> Capture {
        let facts = facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Capture { schema: 2, facts: facts.collect(), ..Capture::default() }
    }

    fn exact(text: &str) -> Value {
        Value::Exact(text.to_owned())
    }

    fn differs(fact: &str, before: &str, after: &str) -> Difference {
        Difference {
            fact: fact.to_owned(),
            before: Some(before.to_owned()),
            after: Some(after.to_owned()),
            ..Difference::default()
        }
    }

    fn folder() -> tempfile::TempDir {
        let socket = |id: &str| Value::Identity { class: "socket".into(), id: id.into() };
        let before = capture(&[
            ("clock.boottime", Value::Clock { ns: 1_000 }),
            ("pod.addr", exact("10.88.0.2")),
            ("pod.route", exact("10.88.0.2")),
            ("task.1.fd.3.ino", socket("77")),
            ("task.1.nice", exact("5")),
            ("task.1.umask", exact("022")),
        ]);
        let mut after = before.clone();
        let changed = [
            ("clock.boottime", Value::Clock { ns: 9_000 }),
            ("pod.addr", exact("10.88.0.3")),
            ("pod.route", exact("10.88.0.3")),
            ("task.1.fd.3.ino", socket("91")),
            ("task.1.nice", exact("0")),
        ];
        after.facts.extend(changed.map(|(name, value)| (name.to_owned(), value)));
        let follows = Some("pod.addr".to_owned());
        let differences = vec![
            Difference {
                kept: Some("nowhere".to_owned()),
                ..differs("pod.addr", "10.88.0.2", "10.88.0.3")
            },
            Difference { follows, ..differs("pod.route", "10.88.0.2", "10.88.0.3") },
            Difference {
                known: Some("CRIU forgets it".to_owned()),
                ..differs("task.1.nice", "5", "0")
            },
        ];
        let levels: BTreeMap<Level, LevelVerdict> =
            [(Level::Kernel, LevelVerdict::judged(Level::Kernel, differences))].into();
        let found = serde_json::json!({ "levels": levels, "tolerated": [], "not_offered": {} });
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("written");
        };
        write("capture-a.json", serde_json::to_string(&before).expect("plain data"));
        write("capture-b.json", serde_json::to_string(&after).expect("plain data"));
        write("differences.json", found.to_string());
        folder
    }

    #[test]
    fn what_differs_comes_first_and_what_is_equal_is_counted() {
        let folder = folder();
        insta::assert_snapshot!(side_by_side(folder.path(), None).expect("drawn"));
    }

    #[test]
    fn a_pattern_shows_equal_facts_too() {
        let folder = folder();
        insta::assert_snapshot!(side_by_side(folder.path(), Some("task.*")).expect("drawn"));
    }

    #[test]
    fn a_capture_of_an_unknown_format_is_refused_by_name() {
        let folder = folder();
        std::fs::write(folder.path().join("capture-b.json"), "{\"schema\": 9}").expect("written");
        let error = side_by_side(folder.path(), None).expect_err("refused");
        assert!(error.to_string().ends_with("capture-b.json"), "{error}");
        let why = std::error::Error::source(&error).map(ToString::to_string);
        assert!(why.is_some_and(|why| why.contains("format 9")));
    }
}
