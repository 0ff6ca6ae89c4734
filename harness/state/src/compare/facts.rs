//! Facts by their kinds.

use std::collections::BTreeSet;

use model::{Capture, Value};

use super::kinds;
use super::renaming::Renaming;
use super::{Difference, KernelLevel};
use crate::tolerance::{self, Question};
use crate::{kernel, registry};

/// Clocks are read at slightly different moments of a capture, and timers in ticks.
const GRANULARITY_NS: u64 = 10_000_000;

pub(crate) fn compare(before: &Capture, after: &Capture, passed_ns: u64) -> KernelLevel {
    let mut level = KernelLevel::default();
    let mut renaming = Renaming::default();
    let mut kinds = BTreeSet::new();
    let names: BTreeSet<&String> = before.facts.keys().chain(after.facts.keys()).collect();
    // What the node has stays as it is: of two namespaces that were one, the pod's is the other.
    let (nodes, pods): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| name.starts_with("node."));
    for name in nodes.into_iter().chain(pods) {
        let (was, is) = (before.facts.get(name), after.facts.get(name));
        if moments(was, is) {
            continue;
        }
        if let Some(reason) = cannot_be_shown(name, (before, was), (after, is)) {
            level.not_offered.push((name.clone(), reason));
            continue;
        }
        level.facts += 1;
        kinds.insert(kinds::kind(name));
        let Some(difference) = differ(name, was, is, passed_ns, &mut renaming) else { continue };
        let question = Question {
            fact: registry::within_container(name),
            full_name: name,
            before: was,
            after: is,
            capture_before: before,
            capture_after: after,
            passed_ns: passed_ns.saturating_add(GRANULARITY_NS),
        };
        match tolerance::find(&question) {
            Some(rule) => {
                let rule = Some(rule.reason.to_owned());
                level.tolerated.push(Difference { rule, ..difference });
            }
            None => level.differences.push(difference),
        }
    }
    level.kinds = kinds.len();
    level
}

fn moments(was: Option<&Value>, is: Option<&Value>) -> bool {
    [was, is].into_iter().flatten().all(|value| matches!(value, Value::Moment(_)))
}

/// The reason why a fact is missing on the side whose kernel cannot show it.
fn cannot_be_shown(
    name: &str,
    (before, was): (&Capture, Option<&Value>),
    (after, is): (&Capture, Option<&Value>),
) -> Option<String> {
    let (side, other) = match (was, is) {
        (None, Some(_)) => (before, after),
        (Some(_), None) => (after, before),
        _ => return None,
    };
    let within = registry::within_container(name);
    let says =
        |pattern: &str| registry::matches(pattern, name) || registry::matches(pattern, within);
    let told = side.not_offered.iter().find(|(pattern, _)| says(pattern));
    told.map(|(_, why)| why.clone()).or_else(|| kernel::cannot_show(name, side, other))
}

fn differ(
    name: &str,
    was: Option<&Value>,
    is: Option<&Value>,
    passed_ns: u64,
    renaming: &mut Renaming,
) -> Option<Difference> {
    match (was, is) {
        (
            Some(Value::Identity { class, id: before }),
            Some(Value::Identity { class: after_class, id: after }),
        ) if class == after_class => renaming.conflict(name, class, before, after),
        (Some(Value::Clock { ns: before }), Some(Value::Clock { ns: after })) => {
            let bound = passed_ns.saturating_add(GRANULARITY_NS);
            let rule = if *before == 0 && *after != 0 {
                // A timer that is off says zero; an armed one never does, see timerfd_gettime(2).
                Some("what is off does not start by itself".to_owned())
            } else {
                let far = before.abs_diff(*after) > bound;
                far.then(|| format!("may move by at most {}", seconds(bound)))
            };
            rule.map(|rule| Difference { rule: Some(rule), ..plain(name, was, is) })
        }
        _ => (was != is).then(|| plain(name, was, is)),
    }
}

fn plain(name: &str, was: Option<&Value>, is: Option<&Value>) -> Difference {
    Difference { fact: name.to_owned(), before: words(was), after: words(is), rule: None }
}

fn words(value: Option<&Value>) -> String {
    match value {
        None => "absent".to_owned(),
        Some(Value::Exact(text) | Value::Moment(text)) if text.is_empty() => "empty".to_owned(),
        Some(Value::Exact(text) | Value::Moment(text)) => text.clone(),
        Some(Value::Identity { class, id }) => format!("{class} {id}"),
        Some(Value::Content { digest, length }) => format!("{length} bytes with digest {digest}"),
        Some(Value::Clock { ns }) => seconds(*ns),
    }
}

fn seconds(ns: impl Into<i128>) -> String {
    let ns: i128 = ns.into();
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    format!("{sign}{}.{:09} s", ns / 1_000_000_000, ns % 1_000_000_000)
}
