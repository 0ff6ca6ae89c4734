//! Laws of the comparison, over captures that were made up.

use std::collections::BTreeMap;

use model::{Capture, Digest, Memory, PageLabel, PageObject, PageRun, Value};
use proptest::prelude::*;
use proptest::sample::Index;

const CLASSES: [&str; 3] = ["socket", "mount", "ns"];

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-z0-9 ]{0,6}".prop_map(Value::Exact),
        (0..3usize, 0..6u8).prop_map(|(class, id)| Value::Identity {
            class: CLASSES[class].to_owned(),
            id: id.to_string(),
        }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(digest, length)| Value::Content { digest: Digest(digest), length }),
        any::<i64>().prop_map(|ns| Value::Clock { ns }),
        "[a-z]{0,3}".prop_map(Value::Moment),
    ]
}

fn run() -> impl Strategy<Value = (u64, PageRun)> {
    let zero = (0..3u64, 0..5u64).prop_map(|(gap, count)| (gap, PageRun::Zero { first: 0, count }));
    let pages = (0..3u64, prop::collection::vec(any::<u64>().prop_map(Digest), 0..5))
        .prop_map(|(gap, digests)| (gap, PageRun::Pages { first: 0, digests }));
    prop_oneof![zero, pages]
}

/// Runs in order, each with a gap in front of it.
fn object() -> impl Strategy<Value = PageObject> {
    prop::collection::vec(run(), 0..6).prop_map(|parts| {
        let mut next = 0;
        let mut runs = Vec::new();
        for (gap, mut run) in parts {
            let begin = next + gap;
            next = match &mut run {
                PageRun::Zero { first, count } => {
                    *first = begin;
                    begin + *count
                }
                PageRun::Pages { first, digests } => {
                    *first = begin;
                    begin + digests.len() as u64
                }
            };
            runs.push(run);
        }
        let text = "[heap]".to_owned();
        PageObject {
            labels: vec![PageLabel { first: 0, count: next, text, droppable: false }],
            runs,
        }
    })
}

fn capture() -> impl Strategy<Value = Capture> {
    let facts =
        prop::collection::btree_map("task\\.[1-3]\\.(fd|x)\\.[0-9]\\.[a-c]", value(), 1..40);
    let objects = prop::collection::btree_map("task\\.[1-3]\\.memory", object(), 0..3);
    (facts, objects).prop_map(|(facts, objects)| Capture {
        schema: 1,
        facts,
        memory: Memory { page_bytes: 4096, objects },
        ..Capture::default()
    })
}

/// Every id of every class under another name, no two under one.
fn renamed(capture: &Capture) -> Capture {
    let mut renamed = capture.clone();
    for value in renamed.facts.values_mut() {
        if let Value::Identity { id, .. } = value {
            *id = format!("new-{}", 9 - id.parse::<i32>().expect("made up as a number"));
        }
    }
    renamed
}

fn changed(value: &Value) -> Value {
    match value {
        Value::Exact(text) => Value::Exact(format!("{text}!")),
        Value::Content { digest, length } => {
            Value::Content { digest: Digest(!digest.0), length: *length }
        }
        Value::Clock { ns } => Value::Clock { ns: ns.wrapping_add(i64::MAX / 2) },
        Value::Identity { .. } | Value::Moment(_) => Value::Exact("of another kind".to_owned()),
    }
}

/// Flips one digest of the capture's memory, if it has one.
fn with_a_page_changed(capture: &Capture, which: Index) -> Option<Capture> {
    let mut changed = capture.clone();
    let mut digests: Vec<&mut Digest> = changed
        .memory
        .objects
        .values_mut()
        .flat_map(|object| &mut object.runs)
        .filter_map(|run| match run {
            PageRun::Pages { digests, .. } => Some(digests),
            PageRun::Zero { .. } => None,
        })
        .flatten()
        .collect();
    if digests.is_empty() {
        return None;
    }
    let at = which.index(digests.len());
    digests[at].0 ^= 1;
    Some(changed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_capture_equals_itself(one in capture()) {
        let found = state::compare(&one, &one, 0);
        prop_assert!(found.equivalent(), "{found:?}");
        prop_assert_eq!(found.kernel.tolerated.len() + found.memory.tolerated.len(), 0);
    }

    #[test]
    fn a_consistent_renaming_changes_nothing(one in capture()) {
        let found = state::compare(&one, &renamed(&one), 0);
        prop_assert!(found.equivalent(), "{found:?}");
    }

    #[test]
    fn a_fact_that_changed_is_found_by_name(one in capture(), which in any::<Index>()) {
        let comparable: Vec<&String> = one
            .facts
            .iter()
            .filter(|(_, value)| !matches!(value, Value::Moment(_)))
            .map(|(name, _)| name)
            .collect();
        prop_assume!(!comparable.is_empty());
        let name = comparable[which.index(comparable.len())];
        let mut other = one.clone();
        let value = changed(&one.facts[name]);
        other.facts.insert(name.clone(), value);
        let found = state::compare(&one, &other, 0);
        prop_assert_eq!(found.kernel.differences.len(), 1);
        prop_assert_eq!(&found.kernel.differences[0].fact, name);
    }

    #[test]
    fn a_fact_that_is_missing_is_found_on_either_side(one in capture(), which in any::<Index>()) {
        let mut other = one.clone();
        let name = other.facts.keys().nth(which.index(one.facts.len())).cloned().expect("not empty");
        let gone = other.facts.remove(&name).expect("it was there");
        let expected = usize::from(!matches!(gone, Value::Moment(_)));
        prop_assert_eq!(state::compare(&one, &other, 0).kernel.differences.len(), expected);
        prop_assert_eq!(state::compare(&other, &one, 0).kernel.differences.len(), expected);
    }

    #[test]
    fn both_directions_find_as_many_facts_and_pages(a in capture(), b in capture()) {
        let (forth, back) = (state::compare(&a, &b, 5), state::compare(&b, &a, 5));
        prop_assert_eq!(forth.kernel.differences.len(), back.kernel.differences.len());
        prop_assert_eq!(forth.memory.differing, back.memory.differing);
        prop_assert_eq!(forth.kernel.facts, back.kernel.facts);
        prop_assert_eq!(forth.memory.pages, back.memory.pages);
    }

    #[test]
    fn a_page_that_changed_is_found_alone(one in capture(), which in any::<Index>()) {
        let other = with_a_page_changed(&one, which);
        prop_assume!(other.is_some());
        let found = state::compare(&one, &other.expect("assumed"), 0);
        prop_assert_eq!(found.memory.differing, 1);
        prop_assert_eq!(found.memory.differences.len(), 1);
    }

    #[test]
    fn runs_in_no_order_never_panic(
        runs in prop::collection::vec((any::<u64>(), any::<u64>(), any::<bool>()), 0..8),
    ) {
        let runs = runs.into_iter().map(|(first, count, zero)| match zero {
            true => PageRun::Zero { first, count },
            false => PageRun::Pages { first, digests: vec![Digest(1); (count % 4) as usize] },
        });
        let labels = vec![PageLabel {
            first: u64::MAX,
            count: u64::MAX,
            text: String::new(),
            droppable: true,
        }];
        let object = PageObject { labels, runs: runs.collect() };
        let objects = BTreeMap::from([("task.1.memory".to_owned(), object)]);
        let odd = Capture {
            memory: Memory { page_bytes: u32::MAX, objects },
            ..Capture::default()
        };
        let _ = state::compare(&odd, &Capture::default(), u64::MAX);
        prop_assert!(state::compare(&odd, &odd, u64::MAX).equivalent());
    }
}

#[test]
fn two_swapped_sockets_are_named() {
    let of = |first: &str, second: &str| {
        let identity = |id: &str| Value::Identity { class: "socket".to_owned(), id: id.to_owned() };
        let facts = [
            ("pod.net.tcp.a.inode", identity("1")),
            ("pod.net.tcp.b.inode", identity("2")),
            ("task.1.fd.3.socket.ino", identity(first)),
            ("task.1.fd.4.socket.ino", identity(second)),
        ];
        let facts = facts.map(|(name, value)| (name.to_owned(), value)).into();
        Capture { facts, ..Capture::default() }
    };
    let found = state::compare(&of("1", "2"), &of("2", "1"), 0);
    let told: Vec<String> =
        found.kernel.differences.iter().map(state::Difference::sentence).collect();
    assert_eq!(
        told,
        [
            "task.1.fd.3.socket.ino was the same socket as pod.net.tcp.a.inode, \
             is the same socket as pod.net.tcp.b.inode",
            "task.1.fd.4.socket.ino was the same socket as pod.net.tcp.b.inode, \
             is the same socket as pod.net.tcp.a.inode",
        ]
    );
}

#[test]
fn a_timer_that_was_off_may_not_run_and_one_that_ran_may_have_ended() {
    let timer = |ns| {
        let facts = BTreeMap::from([("task.1.fd.3.it_value".to_owned(), Value::Clock { ns })]);
        Capture { facts, ..Capture::default() }
    };
    let differences = |before, after| {
        state::compare(&timer(before), &timer(after), 1_000_000_000).kernel.differences
    };
    assert_eq!(differences(0, 1)[0].fact, "task.1.fd.3.it_value");
    assert!(differences(5, 0).is_empty() && differences(0, 0).is_empty());
}
