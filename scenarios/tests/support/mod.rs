//! Running the `cryolab` command and reading what it wrote.

#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The command with arguments.
pub(crate) fn cryolab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cryolab"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// An `e2e` that has ended, and its folder.
pub(crate) struct Run {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) results: Value,
}

/// A run that was started.
pub(crate) struct Started {
    folder: tempfile::TempDir,
    pub(crate) child: Child,
}

impl Run {
    pub(crate) fn of(arguments: &[&str]) -> Run {
        Started::with(arguments).end()
    }

    /// The cells of `results.json`.
    pub(crate) fn cells(&self) -> &[Value] {
        self.results["cells"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The one cell of `results.json`.
    pub(crate) fn cell(&self) -> &Value {
        assert_eq!(self.cells().len(), 1, "{}", self.stderr);
        &self.cells()[0]
    }

    pub(crate) fn reason(&self) -> &str {
        self.cell()["reason"].as_str().unwrap_or_default()
    }
}

impl Started {
    pub(crate) fn with(arguments: &[&str]) -> Started {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().display().to_string();
        let child = cryolab(&["e2e", "--out", &out]).args(arguments).spawn().expect("cryolab");
        Started { folder, child }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn end(self) -> Run {
        let Output { status, stdout, stderr } = self.child.wait_with_output().expect("its output");
        let results = std::fs::read(self.folder.path().join("results.json"));
        let results = results.map(|text| serde_json::from_slice(&text).expect("JSON"));
        Run {
            folder: self.folder,
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            results: results.unwrap_or(Value::Null),
        }
    }
}

/// A file with a text, in a folder that goes away with the value.
pub(crate) struct Script(tempfile::TempDir);

impl Script {
    pub(crate) fn new(text: &str) -> Script {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("hook"), text).expect("a script");
        Script(folder)
    }

    pub(crate) fn at(&self, phase: &str) -> String {
        format!("{phase}={}", self.0.path().join("hook").display())
    }
}

/// A folder with a workload of this text, and an empty program `sleeper`.
pub(crate) fn workload(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("workload.toml");
    std::fs::write(&path, text).expect("a workload");
    std::fs::write(folder.path().join("sleeper"), "").expect("a program");
    (folder, path)
}

/// Facts that differ and are not known to.
pub(crate) fn unknown_differences(cell: &Value) -> Vec<&str> {
    let levels = cell["levels"].as_object().expect("levels").values();
    let all = levels.flat_map(|level| level["differences"].as_array().expect("a list"));
    let unknown = all.filter(|difference| difference["known"].is_null());
    unknown.filter_map(|difference| difference["fact"].as_str()).collect()
}

/// Its observer has seen nothing wrong.
pub(crate) fn unbroken(cell: &Value) {
    let outside = &cell["levels"]["outside"];
    assert_eq!(outside["outcome"], "equivalent", "{outside}");
    for count in ["resets", "lost_bytes", "doubled_bytes"] {
        assert_eq!(outside[count], 0, "{outside}");
    }
}

/// Cells of a run in which faults strike; each came through, by these words.
pub(crate) fn recovered(words: &[&str]) -> Vec<String> {
    let run = Run::of(words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for cell in run.cells() {
        assert_eq!(unknown_differences(cell), [""; 0], "{}: {}", cell["name"], cell["reason"]);
    }
    let how = run.cells().iter().map(|cell| cell["options"]["recovered"].as_str());
    how.map(|how| how.unwrap_or("no fault").to_owned()).collect()
}
