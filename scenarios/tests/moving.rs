//! The ways to move a pod to another node, in real machines. `cargo xtask test` builds what they need.

mod support;

use support::{Run, cryolab, recovered, unbroken, unknown_differences};

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn redis_moves_to_another_node_and_its_connection_goes_on() {
    let run = Run::of(&["--scenario", "migration", "--workload", "redis"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let cell = run.cell();
    assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
    assert_eq!(cell["levels"]["self"]["outcome"], "equivalent", "{}", cell["levels"]["self"]);
    unbroken(cell);
    let nodes = cell["evidence"]["nodes"].as_array().expect("boots").iter();
    let names: std::collections::BTreeSet<_> = nodes.map(|node| node["name"].as_str()).collect();
    assert_eq!(names, ["client", "source", "target"].map(Some).into());
    let (all, moved) = (&cell["evidence"]["wire_bytes"], &cell["sizes"]["transferred_bytes"]);
    assert!(all.as_u64() >= moved.as_u64() && moved.as_u64() > Some(1 << 20), "{moved} of {all}");
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn redis_runs_before_its_pages_and_its_connection_goes_on() {
    let run = Run::of(&["--scenario", "migration/post-copy", "--workload", "redis"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let cell = run.cell();
    assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
    for level in ["self", "memory"] {
        assert_eq!(cell["levels"][level]["outcome"], "equivalent", "{}", cell["levels"][level]);
    }
    unbroken(cell);
    let (all, moved) = (&cell["evidence"]["wire_bytes"], &cell["sizes"]["transferred_bytes"]);
    assert!(all.as_u64() >= moved.as_u64() && moved.as_u64() > Some(1 << 20), "{moved} of {all}");
    let ran = cell["times_ms"]["post_copy"].as_u64();
    assert!(ran > Some(500), "the pod ran for {ran:?} ms on pages to come: all were there before");
}

/// TCP sends again what a wire has lost: whoever waits for a page waits longer, and nothing is lost.
#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_wire_that_is_cut_while_pages_come_costs_time_alone() {
    let words = ["--scenario", "migration/post-copy", "--workload", "redis"];
    let cut = [&words[..], &["--crash", "before-pages:cut-wire"]].concat();
    assert_eq!(recovered(&cut), ["the operation went on"]);
}

/// The kernel fills in zeroes when the daemon that brings pages dies: its guard ends the pod before.
#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_pod_whose_pages_cannot_come_is_ended_and_its_checkpoint_is_whole() {
    let words = ["--scenario", "migration/post-copy", "--workload", "redis"];
    let run = Run::of(&[&words[..], &["--crash", "pages:kill-criu"]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let cell = run.cell();
    assert_eq!(cell["options"]["recovered"], "restored from its archive, which was on its way");
    assert!(run.stderr.contains("ended before it could read zeroes"), "{}", run.stderr);
    assert_eq!(cell["levels"]["memory"]["outcome"], "equivalent", "{}", cell["levels"]["memory"]);
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn redis_goes_over_in_rounds_while_it_runs_and_its_connection_goes_on() {
    let words = ["--scenario", "migration/pre-copy", "--workload", "redis", "--keep", "always"];
    let run = Run::of(&words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let cell = run.cell();
    assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
    for level in ["self", "memory"] {
        assert_eq!(cell["levels"][level]["outcome"], "equivalent", "{}", cell["levels"][level]);
    }
    unbroken(cell);
    let rounds = cell["evidence"]["rounds"].as_array().expect("rounds");
    let pages: Vec<u64> = rounds.iter().filter_map(|round| round["pages"].as_u64()).collect();
    assert!(pages.len() >= 2 && pages[0] > 2 * pages[1], "{rounds:?}");
    assert!(rounds.last().is_some_and(|round| round["last"].is_string()), "{rounds:?}");
    let carried: u64 = rounds.iter().filter_map(|round| round["bytes"].as_u64()).sum();
    let moved = cell["sizes"]["transferred_bytes"].as_u64();
    assert!(moved > Some(carried) && cell["evidence"]["wire_bytes"].as_u64() >= moved, "{cell}");
    let folder = run.folder.path().join("cells").join(cell["name"].as_str().expect("a name"));
    let archive = folder.join("checkpoint.tar.zst").display().to_string();
    let verify = || cryolab(&["archive", "verify", &archive]).output().expect("an answer");
    assert_eq!(verify().status.code(), Some(0));
    let entries = folder.read_dir().expect("listed").flatten().map(|entry| entry.path());
    let round = entries.into_iter().find(|path| path.to_string_lossy().contains(".round-"));
    std::fs::remove_file(round.expect("rounds stand beside it")).expect("removed");
    let refused = verify();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("round ") && said.contains("No such file"), "{said}");
}
