//! The project's own rules. A test that fails here says what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;

/// Rooms, their folders, and the rooms that they may use (ARCHITECTURE.md draws the same).
const ROOMS: [(&str, &str, &[&str]); 19] = [
    ("model", "harness/model", &[]),
    ("criu", "harness/criu", &[]),
    ("engine", "harness/engine", &["model", "criu"]),
    ("state", "harness/state", &["model", "criu"]),
    ("agent", "harness/agent", &["model", "engine", "state", "criu"]),
    ("vm", "harness/vm", &["model"]),
    ("runner", "harness/runner", &["model", "vm", "state"]),
    ("vm-images", "vm-images", &["criu"]),
    ("scenarios", "scenarios", &["runner", "vm-images", "vm", "model", "state", "engine"]),
    ("confined", "workloads/confined", &[]),
    ("counter", "workloads/counter", &["witness"]),
    ("lossy", "workloads/lossy", &[]),
    ("http-client", "workloads/http-client", &["observer"]),
    ("observer", "workloads/observer", &[]),
    ("postgresql-client", "workloads/postgresql/client", &["observer"]),
    ("probe", "workloads/probe", &[]),
    ("redis-client", "workloads/redis/client", &["observer"]),
    ("witness", "workloads/witness", &[]),
    ("xtask", "xtask", &[]),
];

/// Folders of crates that several workloads share.
const SHARED: [&str; 4] =
    ["workloads/confined", "workloads/http-client", "workloads/observer", "workloads/witness"];

/// What may stand at the top level.
const TOP: [&str; 25] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    ".cargo",
    ".ci",
    ".config",
    ".editorconfig",
    ".gitattributes",
    ".github",
    ".gitignore",
    "clippy.toml",
    "deny.toml",
    "harness",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "scenarios",
    "docs",
    "vm-images",
    "workloads",
    "xtask",
];

/// Most lines of a Rust file.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask stands in the repository").to_owned()
}

/// Files that are or would be committed, relative to the root.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .expect("git lists files");
    assert!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("names in UTF-8");
    let names = names.split('\0').filter(|name| !name.is_empty());
    names.map(PathBuf::from).filter(|name| root().join(name).is_file()).collect()
}

fn text(file: &Path) -> Option<String> {
    fs::read_to_string(root().join(file)).ok()
}

fn manifest(folder: &str) -> toml::Table {
    let path = root().join(folder).join("Cargo.toml");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of all dependencies of a manifest, of every sort.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let sorts = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = sorts.iter().filter_map(|sort| manifest.get(*sort)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

#[test]
fn rooms_use_only_the_rooms_that_they_may() {
    let rooms: BTreeSet<&str> = ROOMS.iter().map(|(name, ..)| *name).collect();
    let mut wrong = Vec::new();
    for (name, folder, may_use) in ROOMS {
        for used in dependencies(&manifest(folder)) {
            if rooms.contains(used.as_str()) && !may_use.contains(&used.as_str()) {
                wrong.push(format!("{folder}/Cargo.toml: {name} uses {used}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "take the dependency out, and say what is needed in the words of `model`; or, when the \
         design has changed, draw the edge in ARCHITECTURE.md and in ROOMS of this test:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn every_member_of_the_workspace_is_a_known_room() {
    let workspace = manifest(".");
    let members = workspace["workspace"]["members"].as_array().expect("a list");
    let members: BTreeSet<&str> = members.iter().filter_map(toml::Value::as_str).collect();
    let known: BTreeSet<&str> = ROOMS.iter().map(|(_, folder, _)| *folder).collect();
    assert_eq!(members, known, "add a new crate to ROOMS of this test and to ARCHITECTURE.md");
}

#[test]
fn dependencies_are_chosen_in_one_place() {
    let mut wrong = Vec::new();
    for (_, folder, _) in ROOMS {
        let manifest = manifest(folder);
        for sort in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(table) = manifest.get(sort).and_then(toml::Value::as_table) else { continue };
            let own = table.iter().filter(|(_, value)| value.get("workspace").is_none());
            wrong.extend(own.map(|(name, _)| format!("{folder}/Cargo.toml: {name}")));
        }
    }
    assert!(
        wrong.is_empty(),
        "put the version into [workspace.dependencies] of the root and write `{{name}}.workspace = \
         true`:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_top_level_stays_as_it_was_asked_for() {
    let found: BTreeSet<String> = files()
        .iter()
        .filter_map(|file| Some(file.iter().next()?.to_string_lossy().into_owned()))
        .collect();
    let stray: Vec<_> = found.iter().filter(|name| !TOP.contains(&name.as_str())).collect();
    assert!(stray.is_empty(), "move {stray:?} into one of the folders, or into .gitignore");
}

#[test]
fn every_workload_is_described() {
    let folders = fs::read_dir(root().join("workloads"))
        .expect("workloads")
        .map(|it| it.expect("an entry").path());
    let bare: Vec<_> = folders
        .filter(|folder| folder.is_dir() && !folder.join("workload.toml").is_file())
        .filter(|folder| !SHARED.iter().any(|shared| folder.ends_with(shared)))
        .collect();
    assert!(bare.is_empty(), "write a workload.toml (CONTRIBUTING.md tells how) into {bare:?}");
}

#[test]
fn rust_files_are_short_enough_to_be_read() {
    let is_rust = |file: &&PathBuf| file.extension().is_some_and(|it| it == "rs");
    let long: Vec<String> = files()
        .iter()
        .filter(is_rust)
        .filter_map(|file| {
            let lines = text(file)?.lines().count();
            (lines > LONGEST).then(|| format!("{}: {lines} lines", file.display()))
        })
        .collect();
    assert!(long.is_empty(), "split what has more than {LONGEST} lines:\n{}", long.join("\n"));
}

#[test]
fn nothing_names_a_mirror_or_somebodys_home() {
    let mut wrong = Vec::new();
    for file in files() {
        for (number, line) in text(&file).unwrap_or_default().lines().enumerate() {
            if let Some(what) = foreign(line) {
                wrong.push(format!("{}:{}: {what}", file.display(), number + 1));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "mirrors come from the host's own apt configuration, paths from variables:\n{}",
        wrong.join("\n")
    );
}

/// What a line names that is only on somebody's machine.
fn foreign(line: &str) -> Option<&'static str> {
    let mirrors = ["deb", "ftp", "security", "snapshot"];
    if mirrors.iter().any(|host| line.contains(&format!("{host}.{}", "debian.org"))) {
        return Some("a mirror host");
    }
    let begins_path = |at: usize| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !"._-/}>*$".contains(c))
    };
    let homes = [concat!("/", "home", "/"), concat!("/", "root", "/"), concat!("/", "work", "/")];
    let mut found = homes.iter().flat_map(|home| line.match_indices(home));
    found.any(|(at, _)| begins_path(at)).then_some("an absolute path of somebody's machine")
}

#[rstest]
#[case("deb http://ftp.{}/debian sid main", true)]
#[case("see https://packages.{}/criu", false)]
#[case("File::open(\"/{}/me/x\")", true)]
#[case("the container's overlay/{}/x", false)]
#[case("format!(\"/proc/{pid}/{}/dev\")", false)]
fn foreign_names_are_told_from_others(#[case] line: &str, #[case] is_foreign: bool) {
    let line = line.replace("{}/debian", concat!("debian", ".org/debian"));
    let line =
        line.replace("{}/criu", concat!("debian", ".org/criu")).replace("{}", concat!("ro", "ot"));
    assert_eq!(foreign(&line).is_some(), is_foreign, "{line}");
}
