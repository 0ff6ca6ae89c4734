//! `rerun.sh`: a cell again, with the same versions, seed and hooks.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use runner::cell::Cell;
use runner::hook::Hook;

use crate::places;

/// Writes the script and copies of the hooks into a cell's folder.
pub(crate) fn write(
    folder: &Path,
    cell: &Cell,
    workload: &str,
    settings: &[String],
    hooks: &[Hook],
) -> std::io::Result<()> {
    let mut words: Vec<String> = [
        ("--kernel", cell.kernel.selector.as_str()),
        ("--criu", &cell.criu.selector),
        ("--runtime", &cell.runtime),
        ("--scenario", &cell.scenario),
        ("--workload", workload),
        ("--seed", &cell.seed.to_string()),
    ]
    .iter()
    .flat_map(|(option, value)| [(*option).to_owned(), quoted(value)])
    .collect();
    if let Some(target) = &cell.target {
        let selectors = [&target.kernel.selector, &target.criu.selector].map(|it| quoted(it));
        let [kernel, criu] = selectors;
        words.extend(["--target-kernel".to_owned(), kernel, "--target-criu".to_owned(), criu]);
    }
    if let Some(crash) = &cell.crash {
        words.extend(["--crash".to_owned(), quoted(&crash.selector())]);
    }
    words.extend(settings.iter().map(|word| quoted(word)));
    for (index, hook) in hooks.iter().enumerate() {
        let copy = format!("hook-{}-{}", hook.phase, index + 1);
        fs_err::write(folder.join(&copy), &hook.content)?;
        words.extend(["--hook".to_owned(), format!("\"{}=$cell/{copy}\"", hook.phase)]);
    }
    let path = folder.join("rerun.sh");
    fs_err::write(&path, script(&words))?;
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
}

/// Paths of the caller stay true, since the script does not leave the caller's folder.
fn script(words: &[String]) -> String {
    let manifest = quoted(&places::repository().join("Cargo.toml").display().to_string());
    format!(
        "#!/bin/sh\n\
         # Runs this cell again. Takes further arguments of `cargo xtask e2e`, such as --out DIR.\n\
         set -eu\n\
         cell=$(cd \"$(dirname \"$0\")\" && pwd)\n\
         exec cargo run --quiet --manifest-path {manifest} --package xtask -- e2e \\\n    {} \"$@\"\n",
        words.join(" ")
    )
}

/// A word as the shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.,=+:".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_reads_words_back_as_they_were() {
        assert_eq!(quoted("trixie/6.12"), "trixie/6.12");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn hooks_are_copied_so_that_the_cell_can_be_run_again_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let pick = runner::cell::Pick {
            selector: "trixie/6.12.57".to_owned(),
            version: "6.12.57".to_owned(),
            source: String::new(),
        };
        let axes = runner::cell::Axes {
            kernels: vec![pick.clone()],
            crius: vec![pick],
            runtimes: vec!["cryolab".to_owned()],
            scenarios: vec!["reboot".to_owned()],
            workloads: vec!["counter".to_owned()],
            repeat: 1,
            seed: 7,
            ..Default::default()
        };
        let hook = Hook {
            phase: model::Phase::PreResume,
            file: "/tmp/spoil".into(),
            content: b"true".to_vec(),
        };
        let settings = ["--accel".to_owned(), "tcg".to_owned()];
        write(folder.path(), &axes.cells()[0], "counter", &settings, &[hook]).expect("written");
        let script = std::fs::read_to_string(folder.path().join("rerun.sh")).expect("a script");
        let words = "--kernel trixie/6.12.57 --criu trixie/6.12.57 --runtime cryolab \
                     --scenario reboot --workload counter --seed 7 --accel tcg \
                     --hook \"pre-resume=$cell/hook-pre-resume-1\" \"$@\"";
        assert!(script.contains(words), "{script}");
        assert!(folder.path().join("hook-pre-resume-1").exists());
    }
}
