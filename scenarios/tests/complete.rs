//! The registry is complete: what kernels and CRIUs show is captured, or left out for a reason.
//!
//! Kernels are asked by themselves (`cryolab-agent shows`, in a node where a pod stands frozen after
//! capture A), CRIUs by the descriptors of their images. An entry that the registry has no line for
//! fails the test by its name, as does one that it has a line for and that no capture holds.
//!
//! `cargo xtask test complete` looks at one kernel and one CRIU, `--full` at all of the catalogue.

mod support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use model::Capture;
use state::registry::{Entry, Known, known, matches, within_container};
use support::{Script, cryolab};

/// Kernels and CRIUs that are looked at, and what is put into a pod there.
#[derive(Debug)]
struct Plan {
    kernels: &'static [&'static str],
    crius: &'static [&'static str],
    workloads: &'static [&'static str],
}

const PLAIN: Plan = Plan { kernels: &["trixie"], crius: &["trixie"], workloads: WORKLOADS };

const FULL: Plan = Plan {
    kernels: &[
        "bookworm",
        "trixie",
        "trixie-backports/6.16",
        "trixie-backports/6.18",
        "trixie-backports/7.0",
        "sid",
    ],
    crius: &["bookworm", "trixie", "sid", "experimental"],
    workloads: WORKLOADS,
};

const WORKLOADS: &[&str] = &["counter", "redis"];

/// Set by `cargo xtask test --full`.
const FULL_IS_ASKED: &str = "CRYOLAB_TEST_FULL";

/// Sources of which every entry is to be seen in every pod.
const ALWAYS_SEEN: &[&str] = &[
    "/proc/PID/status",
    "/proc/PID/limits",
    "/proc/PID/auxv",
    "/proc/PID/ns",
    "/proc/sys/*",
    "files of the cgroup",
];

/// Ends the story once the pod stands frozen and was looked at; the node is left standing.
const LOOK: &str = "cryolab-agent shows $CRYOLAB_PIDS > /run/cryolab/shown || exit 1\nexit 77\n";

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn the_registry_is_complete() {
    let plan = if std::env::var_os(FULL_IS_ASKED).is_some() { FULL } else { PLAIN };
    let mut found = Found::default();
    for criu in crius(plan.crius) {
        let descriptors = std::fs::read(&criu).expect("descriptors of a CRIU");
        for entry in Entry::of_images(&descriptors).expect("descriptors") {
            found.take(&criu.display().to_string(), entry, None);
        }
    }
    for kernel in plan.kernels {
        for workload in plan.workloads {
            let looked = Looked::at(kernel, workload);
            for entry in looked.entries {
                found.take(kernel, entry, Some(&looked.capture));
            }
        }
    }
    let told = format!(
        "complete: {} kernels, {} CRIUs, {} entries, {} unknown",
        plan.kernels.len(),
        plan.crius.len(),
        found.known.len() + found.unknown.len(),
        found.unknown.len(),
    );
    // Not by a macro, whose text the test harness would keep to itself.
    writeln!(std::io::stdout(), "\n{told}").expect("standard output");
    let unknown: Vec<String> = found.unknown.into_iter().collect();
    assert!(unknown.is_empty(), "{told}\n{}", unknown.join("\n"));
}

/// Entries so far.
#[derive(Debug, Default)]
struct Found {
    /// Source and word.
    known: BTreeSet<(String, String)>,
    /// In words, with where they were seen.
    unknown: BTreeSet<String>,
}

impl Found {
    fn take(&mut self, place: &str, entry: Entry, capture: Option<&Capture>) {
        let Entry { source, word, sample } = &entry;
        let missing = match known(&entry) {
            None => Some("no line of the registry"),
            Some(Known::Captured(_)) => capture
                .filter(|capture| always_seen(&entry) && !holds(capture, word))
                .filter(|capture| !is_not_offered(capture, word))
                .map(|_| "no fact of the capture"),
            Some(_) => None,
        };
        match missing {
            None => _ = self.known.insert((entry.source, entry.word)),
            Some(why) => {
                _ = self.unknown.insert(format!("{source} {word}: {why} ({place}: {sample})"));
            }
        }
    }
}

/// Files that show nothing, such as those that can only be written, make no fact.
fn always_seen(entry: &Entry) -> bool {
    let shows = !entry.word.is_empty() && !entry.sample.is_empty();
    shows && ALWAYS_SEEN.iter().any(|source| matches(source, &entry.source))
}

/// Whether a fact has these last words, with names and numbers in between.
fn holds(capture: &Capture, word: &str) -> bool {
    let pattern = format!("*.{}", word.replace('.', ".*"));
    capture.facts.keys().any(|fact| matches(&pattern, within_container(fact)))
}

/// Whether the capture says that this kernel cannot show it of a pod, though it does of the node.
fn is_not_offered(capture: &Capture, word: &str) -> bool {
    let end = format!(".{word}");
    capture.not_offered.keys().any(|pattern| pattern.ends_with(&end))
}

/// What a kernel shows of a workload's pod, and what a capture of the same moment holds.
#[derive(Debug)]
struct Looked {
    entries: Vec<Entry>,
    capture: Capture,
}

impl Looked {
    fn at(kernel: &str, workload: &str) -> Looked {
        let folder = tempfile::tempdir().expect("a folder");
        let lab = Lab(folder.path().join("lab"));
        let (out, hook) = (folder.path().join("run"), Script::new(LOOK));
        let ran = lab.run(&[
            "e2e",
            "--scenario",
            "in-place",
            "--workload",
            workload,
            "--kernel",
            kernel,
            "--hook",
            &hook.at("frozen"),
            "--stand",
            "always",
            "--keep",
            "always",
            "--out",
            &out.display().to_string(),
        ]);
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(said.contains("code 77"), "{kernel}: {said}{}", text(&ran.stderr));
        let shown = folder.path().join("shown");
        let copied =
            lab.run(&["lab", "cp", "node:/run/cryolab/shown", &shown.display().to_string()]);
        assert!(copied.status.success(), "{kernel}: {}", text(&copied.stderr));
        let shown = std::fs::read_to_string(shown).expect("what the kernel shows");
        let entries = shown.lines().map(|line| line.parse().expect("an entry")).collect();
        Looked { entries, capture: capture(&out.join("cells")) }
    }
}

/// Capture A of the only cell.
fn capture(cells: &Path) -> Capture {
    let mut cells = std::fs::read_dir(cells).expect("cells");
    let cell = cells.next().expect("a cell").expect("a cell").path();
    let text = std::fs::read(cell.join("capture-a.json")).expect("a capture");
    serde_json::from_slice(&text).expect("a capture")
}

/// Where the descriptors of CRIUs are, made first where they are not in the cache.
fn crius(suites: &[&str]) -> Vec<PathBuf> {
    let built = cryolab(&["images", "build", "--workload", "counter", "--criu", &suites.join(",")]);
    let built = { built }.output().expect("cryolab");
    assert!(built.status.success(), "{}", text(&built.stderr));
    let said = text(&built.stdout);
    let paths = said.lines().filter(|line| line.starts_with("criu "));
    let paths = paths.filter_map(|line| line.split_whitespace().last());
    let paths: Vec<PathBuf> =
        paths.map(|path| Path::new(path).with_file_name("schema.binpb")).collect();
    assert_eq!(paths.len(), suites.len(), "{said}");
    paths
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A place for the lab that a cell leaves standing.
#[derive(Debug)]
struct Lab(PathBuf);

impl Lab {
    fn run(&self, words: &[&str]) -> Output {
        cryolab(words).env("CRYOLAB_LAB", &self.0).output().expect("cryolab")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // There may be none.
        self.run(&["lab", "down"]);
    }
}
