//! `cryolab bench verify`: what the verdict costs, beside the checkpoint and restore that it is
//! about.
//!
//! Cells of the scenario `in-place` are run one after the other, with the workload `counter`, which
//! has 64 MiB of memory. Each is measured against itself: the same machine dumps, restores and is
//! captured.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::figure::{Figure, Sample, What};

/// Cells. What else the host does falls upon some of them only.
const RUNS: u32 = 5;

/// Milliseconds that all cells have under some names, added up for each.
fn sums(cells: &[Value], names: &[&str]) -> Sample {
    let ms = |cell: &Value, name: &str| cell["times_ms"][name].as_f64();
    let sum = |cell: &Value| names.iter().map(|name| ms(cell, name)).sum::<Option<f64>>();
    cells.iter().filter_map(sum).collect()
}

/// Runs the cells and reads what they took out of their results.
pub(super) fn measure() -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let cells = run(&folder.path().join("run"))?;
    Ok(figures(&cells))
}

fn figures(cells: &[Value]) -> Vec<Figure> {
    let round = || Ok(sums(cells, &["dump", "restore"]));
    let verdict = sums(cells, &["capture", "compare"]);
    let mut figures = vec![
        Figure::beside(What::ms("verdict"), &verdict, "dump and restore", round()),
        Figure::alone(What::ms("both captures"), &sums(cells, &["capture"])),
        Figure::alone(What::ms("comparison"), &sums(cells, &["compare"])),
        Figure::alone(What::ms("cell"), &sums(cells, &["total"])),
    ];
    let again = sums(cells, &["images"]);
    if again.runs() > 0 {
        let what = What::ms("second dump and its comparison");
        figures.push(Figure::beside(what, &again, "dump and restore", round()));
    }
    figures
}

/// The cells of a run. Whether they are as expected is a test's business.
fn run(out: &Path) -> anyhow::Result<Vec<Value>> {
    let this = std::env::current_exe().context("find this program")?;
    let mut e2e = Command::new(this);
    e2e.args(["e2e", "--scenario", "in-place", "--workload", "counter", "--jobs", "1", "--json"]);
    e2e.args(["--keep", "never", "--repeat", &RUNS.to_string(), "--out"]).arg(out);
    let output = e2e.stderr(Stdio::inherit()).output().context("run cells")?;
    let results: Value = serde_json::from_slice(&output.stdout).context("read the results")?;
    let mut cells = results["cells"].as_array().cloned().unwrap_or_default();
    cells.retain(|cell| cell["times_ms"]["compare"].is_number());
    ensure!(!cells.is_empty(), "no cell came to a comparison: {}", output.status);
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench::figure::json_lines;

    #[test]
    fn captures_and_comparison_are_held_against_dump_and_restore() {
        let cell = |capture: u32, dump: u32| {
            json!({"times_ms": {"capture": capture, "compare": 10, "dump": dump, "restore": 500,
                                "total": 9000, "images": null}})
        };
        let figures = figures(&[cell(490, 500), cell(490, 700), cell(390, 600)]);
        let lines = json_lines("verify", &figures);
        let first: Value =
            serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
        assert_eq!(
            (&first["figure"], &first["peer_name"]),
            (&"verdict".into(), &"dump and restore".into())
        );
        assert_eq!((first["ours"].as_f64(), first["ratio"].as_f64()), (Some(500.0), Some(2.2)));
        assert_eq!(figures.len(), 4, "no second dump was taken");
    }
}
