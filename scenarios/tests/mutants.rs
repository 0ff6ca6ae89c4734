//! Mutants in real machines: a handful of each family is killed, and controls are judged equal.

mod support;

use serde_json::Value;
use support::cryolab;

/// What became of the mutants that a filter means.
fn mutants(filter: &str, most: &str) -> (Option<i32>, Vec<Value>) {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    let arguments =
        ["mutants", filter, "--most", most, "--workload", "counter", "--out", &out, "--json"];
    let done = cryolab(&arguments).output().expect("cryolab runs");
    let text = std::fs::read_to_string(folder.path().join("mutants.json"));
    let text = text.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
    let all: Value = serde_json::from_str(&text).expect("JSON");
    (done.status.code(), all["mutants"].as_array().expect("a list").clone())
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn each_family_is_killed_by_name_and_controls_cry_no_wolf() {
    let (code, all) = mutants("*", "3");
    assert_eq!(code, Some(0), "{all:#?}");
    for family in ["image", "live", "memory"] {
        let of = |outcome: &str| {
            let found = all.iter().filter(|it| it["family"] == family && it["outcome"] == outcome);
            found.collect::<Vec<_>>()
        };
        assert!(of("control").len() >= 3, "{family}: {all:#?}");
        assert!(of("control").iter().all(|it| it["by"] == serde_json::json!([])));
        let idle = [of("equivalent"), of("refused")].concat();
        assert!(idle.iter().all(|it| it["why"] != ""), "{idle:#?}");
        assert!(of("killed").iter().all(|it| it["by"][0].is_string()), "{all:#?}");
    }
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_limit_is_killed_by_the_limit() {
    let (code, all) = mutants("limit/task.1/core", "0");
    assert_eq!(code, Some(0), "{all:#?}");
    let killed: Vec<&Value> = all.iter().filter(|it| it["outcome"] == "killed").collect();
    assert_eq!(killed.len(), 1, "{all:#?}");
    assert_eq!(killed[0]["by"], serde_json::json!(["task.1.limits.core"]));
}
