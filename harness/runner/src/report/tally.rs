//! Cells of many runs, counted up: how often something went as expected is worth more than once.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{Table, presets};

use super::table::drawn;
use crate::results::Results;
use crate::verdict::Standing;

const HEADER: [&str; 8] =
    ["scenario", "workload", "cells", "as expected", "news", "broken", "kernels", "CRIUs"];

/// Cells of one scenario and workload.
#[derive(Debug, Default)]
struct Count {
    expected: usize,
    news: usize,
    broken: usize,
    kernels: BTreeSet<String>,
    crius: BTreeSet<String>,
}

/// What runs came to, added up.
#[derive(Debug, Default)]
pub struct Tally {
    runs: usize,
    counts: BTreeMap<(String, String), Count>,
    /// Names of cells that were news, with their reason.
    news: Vec<String>,
}

impl Tally {
    /// Takes a run in. Cells of an interrupted run that came to no end do not count.
    pub fn add(&mut self, folder: &str, results: &Results) {
        self.runs += 1;
        for cell in &results.cells {
            if cell.standing == Standing::Interrupted {
                continue;
            }
            let key = (cell.scenario.clone(), cell.workload.clone());
            let count = self.counts.entry(key).or_default();
            match cell.standing {
                Standing::Interrupted => {}
                Standing::Expected => count.expected += 1,
                Standing::Broken => count.broken += 1,
                Standing::Regression | Standing::UnexpectedPass => {
                    count.news += 1;
                    self.news.push(format!("{folder}/cells/{}: {}", cell.name, cell.reason));
                }
            }
            count.kernels.insert(cell.kernel.clone());
            count.crius.insert(cell.criu.clone());
        }
    }

    /// Draws it.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(HEADER);
        let mut all = [0; 4];
        for ((scenario, workload), count) in &self.counts {
            let Count { expected, news, broken, kernels, crius } = count;
            let counts = [expected + news + broken, *expected, *news, *broken];
            all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
            let mut row = vec![scenario.clone(), workload.clone()];
            row.extend(counts.map(|count| count.to_string()));
            row.extend([kernels, crius].map(|versions| versions.len().to_string()));
            table.add_row(row);
        }
        let rows = drawn(table, 2);
        let news: String = self.news.iter().map(|line| format!("\n{line}")).collect();
        let [cells, expected, ..] = all;
        let runs = self.runs;
        format!("{rows}\n{news}\n{expected} of {cells} as expected, in {runs} runs\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn tally_of_a_fixed_run_taken_twice() {
        let results = Results::of(&sample::events());
        let mut tally = Tally::default();
        tally.add("runs/1", &results);
        tally.add("runs/2", &results);
        insta::assert_snapshot!(tally.table());
    }
}
