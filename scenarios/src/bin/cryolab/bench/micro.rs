//! Benches of what runs without machines: criterion's, run by cargo, beside no peer.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use serde::Deserialize;

use super::figure::{Better, Figure, Sample, What};
use crate::places;

/// One of them: the target of a package.
#[derive(Clone, Copy, Debug)]
pub(super) struct Micro {
    pub(super) package: &'static str,
    pub(super) target: &'static str,
}

/// The runs of one of criterion's benchmarks.
#[derive(Debug, Deserialize)]
struct Runs {
    iters: Vec<f64>,
    times: Vec<f64>,
}

#[derive(Debug, Deserialize)]
struct Benchmark {
    full_id: String,
}

impl Micro {
    /// Runs it and passes on what it prints.
    pub(super) fn show(self) -> anyhow::Result<()> {
        self.run(Stdio::inherit())
    }

    /// Runs it, prints nothing on standard output, and reads what criterion has written down.
    pub(super) fn measure(self) -> anyhow::Result<Vec<Figure>> {
        let began = SystemTime::now();
        self.run(Stdio::null())?;
        figures(began)
    }

    fn run(self, stdout: Stdio) -> anyhow::Result<()> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["bench", "--quiet", "--package", self.package, "--bench", self.target]);
        cargo.arg("--target-dir").arg(target()).current_dir(places::repository());
        let status = cargo.stdout(stdout).status().context("start cargo")?;
        ensure!(status.success(), "cargo bench of {}: {status}", self.package);
        Ok(())
    }
}

fn target() -> PathBuf {
    places::repository().join("target")
}

/// What was measured since then: `target/criterion/GROUP/NAME/new/`.
fn figures(began: SystemTime) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut folders = vec![target().join("criterion")];
    while let Some(folder) = folders.pop() {
        let file = folder.join("new/sample.json");
        if file.is_file() {
            if fs::metadata(&file)?.modified()? >= began {
                let named = fs::read(folder.join("new/benchmark.json"))?;
                let named: Benchmark = serde_json::from_slice(&named).context("criterion")?;
                let runs: Runs = serde_json::from_slice(&fs::read(&file)?).context("criterion")?;
                figures.push(figure(named.full_id, &runs));
            }
            continue;
        }
        let inside = fs::read_dir(&folder)?.collect::<Result<Vec<_>, _>>()?;
        folders.extend(inside.into_iter().map(|it| it.path()).filter(|path| path.is_dir()));
    }
    figures.sort_by(|one, other| one.what.name.cmp(&other.what.name));
    Ok(figures)
}

/// Nanoseconds of each run. Criterion lets a run repeat the work many times.
fn figure(name: String, runs: &Runs) -> Figure {
    let sample: Sample = runs.times.iter().zip(&runs.iters).map(|(time, n)| time / n).collect();
    Figure::alone(What { name: name.into(), unit: "ns", better: Better::Less }, &sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_repeats_its_work_counts_once() {
        let runs = Runs { iters: vec![1.0, 2.0, 4.0], times: vec![10.0, 22.0, 36.0] };
        assert_eq!(figure("decode".to_owned(), &runs).ours.median(), 10.0);
    }
}
