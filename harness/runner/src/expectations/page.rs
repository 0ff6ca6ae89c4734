//! `docs/losses.md`: what is known to go wrong, for whoever is going to mend it.

use std::fmt::Write as _;

use super::{Expectations, KnownCell, Loss, Place, When};
use crate::version::Versions;

/// What stands before the list.
const HEAD: &str = "\
# What CRIU loses

Made from [`scenarios/expectations.toml`](../scenarios/expectations.toml) by
`cargo run --package scenarios --example losses`; a test says when it is out of date.

Each of these is wrong and stays visible in every run: CRIU succeeds, and something of the pod has
not come back as it was. A pattern's `*` spans dots; facts that begin with `image.` are fields of
CRIU's images. *Always* means: wherever the fact was there before. Each is reproduced by the
command below it; the second command then shows the fact before and after.
";

/// Suites by the versions that they have, the default first: where a range is to be had.
const KERNELS: [(&str, &str); 6] = [
    ("trixie", "6.12"),
    ("bookworm", "6.1"),
    ("trixie-backports/6.16", "6.16"),
    ("trixie-backports/6.18", "6.18"),
    ("trixie-backports", "7.3"),
    ("sid", "7.1"),
];
const CRIUS: [(&str, &str); 4] =
    [("trixie", "4.1.1"), ("bookworm", "3.17.1"), ("sid", "4.2.1"), ("experimental", "4.3")];

/// Draws the page.
#[must_use]
pub fn losses_page(known: &Expectations) -> String {
    let mut page = HEAD.to_owned();
    for losses in sections(&known.losses) {
        section(&mut page, losses);
    }
    page.push_str("\n# What fails as a whole\n");
    for cell in &known.cells {
        failure(&mut page, cell);
    }
    page
}

/// Losses that have one reason: those that follow with the same one, or that say `the same`.
fn sections(losses: &[Loss]) -> Vec<&[Loss]> {
    let mut sections = Vec::new();
    let mut from = 0;
    for at in 1..=losses.len() {
        let goes_on = losses.get(at).is_some_and(|loss| {
            loss.reason == losses[from].reason || loss.reason.starts_with("the same")
        });
        if !goes_on {
            sections.push(&losses[from..at]);
            from = at;
        }
    }
    sections
}

fn section(page: &mut String, losses: &[Loss]) {
    let Some(first) = losses.first() else { return };
    // Writing to a text cannot fail.
    let _ = writeln!(page, "\n## {}\n", capital(&first.reason));
    page.push_str(
        "| fact | before | after | kernel | CRIU | happens |\n|---|---|---|---|---|---|\n",
    );
    for loss in losses {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} |",
            loss.fact,
            value(loss.before.as_deref(), "any"),
            value(loss.after.as_deref(), "another"),
            kernels(&loss.place),
            versions(loss.place.criu.as_ref()),
            happens(loss.when)
        );
    }
    page.push('\n');
    for note in losses[1..].iter().filter(|loss| loss.reason != first.reason) {
        let _ = writeln!(page, "- `{}`: {}", note.fact, note.reason);
    }
    let fact = first.fact.trim_start_matches('*');
    let _ = writeln!(page, "- Where CRIU keeps it: {}", state::registry::kept(fact));
    source(page, first.link.as_deref());
    let facts = Some(first.fact.as_str());
    reproduction(page, &first.place, first.shown_by.as_deref(), facts);
}

fn failure(page: &mut String, cell: &KnownCell) {
    let _ = writeln!(page, "\n## {}\n", capital(&cell.reason));
    let _ = writeln!(page, "- {} with `{}`", capital(cell.outcome.name()), cell.cause);
    let (kernel, criu) = (kernels(&cell.place), versions(cell.place.criu.as_ref()));
    let _ = writeln!(page, "- Kernel {kernel}, CRIU {criu}, {}", happens(cell.when));
    source(page, cell.link.as_deref());
    reproduction(page, &cell.place, None, None);
}

fn source(page: &mut String, link: Option<&str>) {
    if let Some(link) = link {
        let _ = writeln!(page, "- In the source: {link}");
    }
}

/// How it is seen: one command, and for a fact another one that shows it.
fn reproduction(page: &mut String, place: &Place, shown_by: Option<&str>, fact: Option<&str>) {
    let name = |given: &Option<String>, other: &str| {
        given.clone().filter(|name| !name.contains('*')).unwrap_or_else(|| other.to_owned())
    };
    let mut command = "cargo xtask e2e".to_owned();
    for (option, known, range) in
        [("kernel", KERNELS.as_slice(), &place.kernel), ("criu", &CRIUS, &place.criu)]
    {
        if let Some(selector) = suite(known, range.as_ref()) {
            let _ = write!(command, " --{option} {selector}");
        }
    }
    let target = place.target_kernel.as_ref();
    let target = target.and_then(|range| KERNELS.iter().find(|(_, it)| range.contain(it)));
    if let Some((selector, _)) = target {
        let _ = write!(command, " --target-kernel {selector}");
    }
    let scenario = if target.is_some() { "reboot" } else { "in-place" };
    let _ = write!(command, " --scenario {}", name(&place.scenario, scenario));
    let _ = write!(
        command,
        " --workload {}",
        name(&place.workload, shown_by.unwrap_or("counter,redis"))
    );
    if let Some(crash) = &place.crash {
        let _ = write!(command, " --crash {crash}");
    }
    let _ = writeln!(page, "\n```\n{command}");
    if let Some(fact) = fact {
        let _ = writeln!(page, "cargo xtask report target/cryolab/runs/latest --facts '{fact}'");
    }
    page.push_str("```\n");
}

/// The first suite that has a version of the range; none where the default has.
fn suite<'a>(known: &[(&'a str, &str)], range: Option<&Versions>) -> Option<&'a str> {
    let range = range?;
    let at = known.iter().position(|(_, version)| range.contain(version))?;
    (at > 0).then(|| known[at].0)
}

/// The kernel, and where it counts, the one to which the pod goes.
fn kernels(place: &Place) -> String {
    let from = versions(place.kernel.as_ref());
    match &place.target_kernel {
        Some(target) => format!("{from} to {target}"),
        None => from,
    }
}

fn versions(range: Option<&Versions>) -> String {
    range.map_or_else(|| "all".to_owned(), ToString::to_string)
}

fn value(pattern: Option<&str>, other: &str) -> String {
    match pattern {
        None => other.to_owned(),
        Some("") => "nothing".to_owned(),
        Some(pattern) => format!("`{pattern}`"),
    }
}

fn happens(when: When) -> &'static str {
    match when {
        When::Always => "always",
        When::Sometimes => "sometimes",
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default()
        + letters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_fact_versions_source_and_command() {
        let known: Expectations = toml::from_str(
            r#"
            [[loss]]
            fact = "*task.*.ioprio"
            after = "class 0 level 0"
            reason = "CRIU has no I/O priority in its images"
            link = "images/core.proto"
            [[loss]]
            fact = "*image.core.*.ioprio"
            when = "sometimes"
            reason = "the same in the images"
            [[loss]]
            fact = "*task.*.map.*.accounted"
            before = "all"
            kernel = "..6.6"
            criu = "..3.18"
            workload = "counter"
            reason = "it is accounted"
            [[cell]]
            kernel = "6.16..7.0"
            criu = "..4.1"
            workload = "redis"
            outcome = "failed"
            cause = "Can't get 1:16 opt"
            reason = "refused"
            "#,
        )
        .expect("right");
        insta::assert_snapshot!(losses_page(&known));
    }
}
