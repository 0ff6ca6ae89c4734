//! Bad input: exit code 2 within a moment, the thing named, and nothing made or booted.

mod support;

use rstest::rstest;

use support::{cryolab, workload};

const SLEEPER: &str = r#"name = "sleeper"
summary = "sleeps"
binary = "sleeper"
command = ["/sleeper"]
[ready]
line = "ready"
"#;

/// Runs `e2e` with a workload that exists, and returns the exit code and what it said.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let (folder, _) = workload(SLEEPER);
    let sleeper = folder.path().display().to_string();
    let runs = folder.path().join("runs");
    let out = runs.display().to_string();
    let mut words = vec!["e2e", "--workload", &sleeper, "--out", &out];
    words.extend(arguments);
    let output = cryolab(&words).output().expect("cryolab");
    assert!(!runs.exists(), "something was made");
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[rstest]
#[case::kernel(&["--kernel", "trixy"], "unknown kernel `trixy`", "trixie")]
#[case::kernel_path(&["--kernel", "/no/such/bzImage"], "/no/such/bzImage", "no such file")]
#[case::criu(&["--criu", "/no/such/criu"], "/no/such/criu", "no such file")]
#[case::criu_suite(&["--criu", "sidd"], "unknown criu `sidd`", "sid")]
#[case::runtime(&["--runtime", "runk"], "unknown runtime `runk`", "`cryolab`")]
#[case::scenario(&["--scenario", "rebot"], "unknown scenario `rebot`", "`reboot`")]
#[case::observer(&["--scenario", "in-place/wire-cut"], "wants an `observer`", "sleeper")]
#[case::workload(&["--workload", "no-such"], "unknown workload `no-such`", "`node`")]
#[case::phase(&["--hook", "frosen=/bin/true"], "unknown phase `frosen`", "`frozen`")]
#[case::hook_shape(&["--hook", "frozen"], "`frozen` is not PHASE=FILE", "pre-resume")]
#[case::hook_file(&["--hook", "frozen=/no/such/hook"], "hook at frozen", "/no/such/hook")]
#[case::accel(&["--accel", "hvf"], "'hvf'", "tcg")]
#[case::jobs(&["--jobs", "0"], "'0'", "--jobs")]
#[case::option(&["--kernal", "trixie"], "--kernal", "--kernel")]
fn an_unknown_name_is_refused_with_the_nearest(
    #[case] arguments: &[&str],
    #[case] named: &str,
    #[case] nearest: &str,
) {
    let (code, said) = refused(arguments);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(named) && said.contains(nearest), "{said}");
}

#[rstest]
#[case("binary = \"sleeper\"", "binary = \"slepper\"", ":3: `binary`: there is no file")]
#[case("command", "comand", ":4: unknown field `comand`")]
#[case("line", "lines", ":6: unknown field `lines`, expected one of `line`")]
#[case("[ready]\nline = \"ready\"", "", ":1: missing field `ready`")]
#[case("binary", "suite = \"sid\"\nbinary", ":3: `suite` goes with `packages`")]
fn a_broken_workload_is_told_with_file_line_and_field(
    #[case] what: &str,
    #[case] instead: &str,
    #[case] message: &str,
) {
    let (folder, path) = workload(&SLEEPER.replacen(what, instead, 1));
    let (code, said) = refused(&["--workload", &folder.path().display().to_string()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("{}{message}", path.display())), "{said}");
}

#[test]
fn a_folder_that_holds_a_run_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("record.jsonl"), "").expect("a record");
    let out = folder.path().display().to_string();
    let output = cryolab(&["e2e", "--out", &out]).output().expect("cryolab");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("already holds a run"), "{said}");
}

#[test]
fn a_report_of_nothing_names_the_record() {
    let output = cryolab(&["report", "/no/such/run"]).output().expect("cryolab");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/no/such/run/record.jsonl"), "{said}");
}

#[test]
fn facts_are_told_for_people_and_for_programs() {
    let output = cryolab(&["facts", "--json"]).output().expect("cryolab");
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(facts["facts"].as_array().is_some_and(|facts| facts.len() > 20));
    assert!(facts["tolerances"].as_array().is_some_and(|all| {
        all.iter().all(|it| it["reason"].as_str().is_some_and(|reason| !reason.is_empty()))
    }));
    assert!(cryolab(&["facts"]).output().expect("cryolab").status.success());
}
