//! A lab left standing: refusals within a moment, and one short life of a real one.

mod support;

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::Value;
use support::cryolab;

/// A place for labs of one test.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Lab {
        Lab { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = cryolab(&[&["lab"], words].concat());
        command.env("CRYOLAB_LAB", self.path().join("lab"));
        command
    }

    fn run(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.command(words).output().expect("cryolab");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (status.code(), text(stdout), text(stderr))
    }

    /// Runs what must succeed, and returns what it printed.
    fn well(&self, words: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(words);
        assert_eq!(code, Some(0), "{words:?}: {stderr}");
        stdout
    }

    fn machines(&self) -> Vec<u64> {
        let status: Value = serde_json::from_str(&self.well(&["status", "--json"])).expect("JSON");
        let nodes = status["nodes"].as_array().expect("nodes");
        nodes.iter().filter_map(|node| node["pid"].as_u64()).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // There may be none.
        let _ = self.command(&["down"]).output();
    }
}

#[rstest]
#[case::no_lab(&["exec", "a", "--", "true"], "no lab stands here", "lab up")]
#[case::no_lab_to_end(&["down"], "no lab stands here", "lab up")]
#[case::no_terminal(&["enter", "a"], "not a terminal", "lab exec")]
#[case::none(&["up", "--nodes", "0"], "'0'", "1..=26")]
#[case::too_many(&["up", "--nodes", "27"], "'27'", "1..=26")]
#[case::kernel(&["up", "--kernel", "trixy"], "unknown kernel `trixy`", "trixie")]
#[case::share(&["wire", "a", "b", "--loss", "20"], "`20` is no share", "20%")]
#[case::nothing(&["wire", "a", "b"], "--delay", "--clear")]
#[case::both(&["wire", "a", "b", "--clear", "--loss", "1%"], "--clear", "cannot be used with")]
#[case::nowhere(&["cp", "x", "y"], "neither `x` nor `y`", "NODE:PATH")]
#[case::elsewhere(&["cp", "a:x", "b:y"], "both on nodes", "copy to here first")]
fn what_cannot_be_is_refused_with_what_could(
    #[case] words: &[&str],
    #[case] named: &str,
    #[case] instead: &str,
) {
    let lab = Lab::new();
    let (code, stdout, said) = lab.run(words);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{said}");
    assert!(!lab.path().join("lab").exists(), "something was made");
    assert!(said.contains(named) && said.contains(instead), "{said}");
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_lab_outlives_its_command_and_leaves_nothing_but_logs_and_captures() {
    let lab = Lab::new();
    lab.well(&["up", "--nodes", "2", "--pcap"]);
    let (code, _, said) = lab.run(&["up"]);
    assert_eq!(code, Some(2), "a second one: {said}");
    let told = lab.run(&["exec", "b", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(told, (Some(7), "out\n".to_owned(), "err\n".to_owned()));
    let (code, _, said) = lab.run(&["exec", "z", "--", "true"]);
    assert!(code == Some(2) && said.contains("there are: a, b"), "{said}");
    lab.well(&["exec", "a", "--", "ping", "-c", "1", "-W", "20", "b"]);
    lab.well(&["cut", "a", "b"]);
    assert_eq!(lab.run(&["exec", "a", "--", "ping", "-c", "1", "-W", "2", "b"]).0, Some(1));
    lab.well(&["heal", "a", "b"]);
    assert!(!lab.well(&["logs", "b"]).is_empty());
    let machines = lab.machines();
    let down: Value = serde_json::from_str(&lab.well(&["down", "--json"])).expect("JSON");
    assert_eq!(down["nodes"], serde_json::json!(["a", "b"]));
    assert!(Path::new(down["pcap"][0].as_str().expect("a capture")).exists());
    assert_eq!(machines.len(), 2);
    assert_all_gone(&machines);
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn files_and_folders_come_back_from_a_node_as_they_went() {
    let lab = Lab::new();
    lab.well(&["up"]);
    let (source, copy) = (lab.path().join("source"), lab.path().join("copy"));
    std::fs::create_dir_all(source.join("closed")).expect("a folder");
    std::fs::write(source.join("closed/tool"), vec![7; 300_000]).expect("a file");
    symlink("closed/tool", source.join("link")).expect("a link");
    let set = |name: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(source.join(name), mode).expect(name);
    };
    set("closed/tool", 0o751);
    set("closed", 0o500);
    lab.well(&["cp", &source.display().to_string(), "a:/data/there"]);
    lab.well(&["cp", "a:/data/there", &copy.display().to_string()]);
    set("closed", 0o700);
    let mode = |name: &str| copy.join(name).metadata().expect(name).permissions().mode() & 0o7777;
    assert_eq!((mode("closed"), mode("closed/tool")), (0o500, 0o751));
    assert_eq!(std::fs::read(copy.join("closed/tool")).expect("a copy"), vec![7; 300_000]);
    let link = std::fs::read_link(copy.join("link")).expect("a link");
    assert_eq!(link, Path::new("closed/tool"));
    // So that the folder can be removed by whoever is not root.
    let open = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(copy.join("closed"), open).expect("opened");
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn what_a_killed_supervisor_leaves_is_cleared() {
    let lab = Lab::new();
    lab.well(&["up"]);
    let machines = lab.machines();
    let status: Value = serde_json::from_str(&lab.well(&["status", "--json"])).expect("JSON");
    let supervisor = i32::try_from(status["supervisor"].as_i64().expect("a pid")).expect("a pid");
    let supervisor = nix::unistd::Pid::from_raw(supervisor);
    nix::sys::signal::kill(supervisor, nix::sys::signal::Signal::SIGKILL).expect("killed");
    assert_all_gone(&machines);
    let (code, _, said) = lab.run(&["status"]);
    assert!(code == Some(3) && said.contains("lab down"), "{said}");
    lab.well(&["down"]);
    assert_eq!(lab.run(&["status"]).0, Some(2));
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_command_that_is_killed_before_the_lab_stands_leaves_none() {
    let lab = Lab::new();
    let mut child = lab.command(&["up"]).spawn().expect("cryolab");
    std::thread::park_timeout(Duration::from_millis(100));
    child.kill().expect("killed");
    child.wait().expect("its end");
    let deadline = Instant::now() + Duration::from_secs(10);
    while lab.run(&["status"]).2.contains("coming up") {
        assert!(Instant::now() < deadline, "something is still there");
    }
    assert!(lab.run(&["status"]).2.contains("no lab stands here"));
}

fn assert_all_gone(machines: &[u64]) {
    let lives = |pid: &u64| {
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.starts_with("qemu-system")
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while machines.iter().any(lives) {
        assert!(Instant::now() < deadline, "{machines:?} were left");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
