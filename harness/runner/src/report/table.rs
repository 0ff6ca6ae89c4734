//! The table at the end of a run: 120 columns at most, read at a glance.

use comfy_table::{CellAlignment, Table, presets};

use crate::results::{CellResult, Results};
use crate::verdict::{Judged, LevelVerdict};

const HEADER: [&str; 11] = [
    "cell", "outcome", "levels", "facts", "pages", "boot", "ready", "freeze", "dump", "restore",
    "downtime",
];

/// Draws the table, a line for each cell that is not simply equivalent, and where to look.
#[must_use]
pub fn table(results: &Results, folder: &str) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(HEADER);
    for cell in &results.cells {
        table.add_row(row(cell));
    }
    format!("{}\n{}{}", drawn(table, 3), remarks(results), footer(results, folder))
}

/// A table without lines, whose columns from this one on are numbers.
pub(super) fn drawn(mut table: Table, numbers: usize) -> String {
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 1));
        if index >= numbers {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let rows = table.to_string();
    rows.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn row(cell: &CellResult) -> Vec<String> {
    let count = |level: &str, name: &str| {
        let verdict = cell.levels.iter().find(|(it, _)| it.name() == level);
        let counted = verdict.and_then(|(_, verdict)| verdict.counts.get(name).copied().flatten());
        counted.filter(|count| *count > 0).map_or_else(|| "-".to_owned(), |count| count.to_string())
    };
    let mut row = vec![cell.name.clone(), cell.told(), levels(cell)];
    row.extend([count("kernel", "facts"), count("memory", "pages")]);
    row.extend(HEADER[5..].iter().map(|name| seconds(cell, name)));
    row
}

/// The first letter of each level and what it came to: `=`, the number of differences, or `-`.
fn levels(cell: &CellResult) -> String {
    let mark = |verdict: &LevelVerdict| match verdict.outcome {
        Judged::Equivalent => "=".to_owned(),
        Judged::Diverged => verdict.differences.len().to_string(),
        Judged::NotRun => "-".to_owned(),
    };
    let marks = cell
        .levels
        .iter()
        .map(|(level, verdict)| format!("{}{}", &level.name()[..1], mark(verdict)));
    marks.collect::<Vec<_>>().join(" ")
}

fn seconds(cell: &CellResult, name: &str) -> String {
    match cell.times_ms.get(name).copied().flatten() {
        Some(ms) => format!("{}.{:02}", ms / 1000, ms % 1000 / 10),
        None => "-".to_owned(),
    }
}

fn remarks(results: &Results) -> String {
    let remark = |cell: &CellResult| {
        let reason = cell.remark()?;
        Some(format!("\n{}: {}: {reason}", cell.name, cell.told()))
    };
    let remarks: String = results.cells.iter().filter_map(remark).collect();
    if remarks.is_empty() { remarks } else { format!("{remarks}\n") }
}

fn footer(results: &Results, folder: &str) -> String {
    let good = results.cells.iter().filter(|cell| cell.as_expected()).count();
    let all = results.cells.len();
    let [images, cells] =
        [results.spent_ms.images, results.spent_ms.cells].map(|ms| ms.div_ceil(1000));
    format!(
        "\n{good} of {all} as expected, after {images} s for images and {cells} s for cells.\n\
         Times in seconds. Levels: self, kernel, memory, images, outside; = equal, - not run, \
         else differences.\n\
         Where to look: {folder}/cells/CELL, again by its rerun.sh\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn table_of_a_fixed_run() {
        let drawn = table(&Results::of(&sample::events()), "target/cryolab/runs/1");
        let widest = drawn.lines().take(5).map(|line| line.chars().count()).max();
        assert!(widest <= Some(120), "{widest:?} columns");
        insta::assert_snapshot!(drawn);
    }
}
