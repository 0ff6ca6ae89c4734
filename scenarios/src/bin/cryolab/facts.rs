//! `cryolab facts`: what is captured, from which source, compared how, tolerated why.

mod images;

use std::borrow::Cow;
use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Serialize;
use state::registry::{Kind, NOT_CAPTURED, RULES};
use state::tolerance;

use crate::print;
use crate::status::Exit;

/// The tables of the room `state`, for people and programs.
#[derive(Serialize)]
struct Facts {
    /// The first line whose pattern fits says how a fact is compared; without one, exactly.
    facts: Vec<Fact>,
    tolerances: Vec<Tolerance>,
    not_captured: Vec<NotCaptured>,
}

#[derive(Serialize)]
struct Fact {
    #[serde(rename = "name")]
    pattern: Cow<'static, str>,
    kind: &'static str,
    /// The class within which ids are renamed.
    class: Option<&'static str>,
    source: Cow<'static, str>,
    /// The kernel (or CRIU) since which it is shown.
    since: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct Tolerance {
    #[serde(rename = "fact")]
    pattern: &'static str,
    reason: &'static str,
    source: &'static str,
}

#[derive(Serialize)]
struct NotCaptured {
    what: Cow<'static, str>,
    reason: &'static str,
}

/// Prints the tables.
pub(crate) fn run(json: bool) -> Result<u8, Exit> {
    let facts = facts();
    let text = if json {
        serde_json::to_string_pretty(&facts).context("facts as JSON")? + "\n"
    } else {
        for_people(&facts)
    };
    print(&text)?;
    Ok(0)
}

fn facts() -> Facts {
    let fact = |rule: &state::registry::Rule| {
        let (kind, class) = words(rule.kind);
        let since = if rule.since.is_empty() { "before 6.1" } else { rule.since };
        let (source, reason) = (rule.source.into(), rule.reason);
        Fact { pattern: rule.pattern.into(), kind, class, source, since, reason }
    };
    let tolerance = |it: &state::tolerance::Tolerance| Tolerance {
        pattern: it.pattern,
        reason: it.reason,
        source: it.source,
    };
    let not_captured =
        |it: &state::registry::NotCaptured| NotCaptured { what: it.what.into(), reason: it.reason };
    Facts {
        facts: RULES.iter().map(fact).chain(images::facts()).collect(),
        tolerances: tolerance::all().map(tolerance).collect(),
        not_captured: NOT_CAPTURED.iter().map(not_captured).chain(images::not_captured()).collect(),
    }
}

fn words(kind: Kind) -> (&'static str, Option<&'static str>) {
    match kind {
        Kind::Exact => ("exact", None),
        Kind::Identity(class) => ("identity", Some(class)),
        Kind::Content => ("content", None),
        Kind::Clock => ("clock", None),
        Kind::Moment => ("moment", None),
    }
}

fn for_people(facts: &Facts) -> String {
    let mut text = "Facts (what no line names is compared exactly):\n".to_owned();
    for fact in &facts.facts {
        let class = fact.class.map(|class| format!(" {class}")).unwrap_or_default();
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "  {:<44} {}{class}; from {}, since {}; {}",
            fact.pattern, fact.kind, fact.source, fact.since, fact.reason
        );
    }
    text.push_str("\nTolerated, because it is right:\n");
    for it in &facts.tolerances {
        let _ = writeln!(text, "  {:<44} {} ({})", it.pattern, it.reason, it.source);
    }
    text.push_str("\nNot captured:\n");
    for it in &facts.not_captured {
        let _ = writeln!(text, "  {}: {}", it.what, it.reason);
    }
    text
}
