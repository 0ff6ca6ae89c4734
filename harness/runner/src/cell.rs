//! A cell: one point of the matrix.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::crash::Crash;

/// So many repeats of a cell begin in the same way, with the same seed: only their timing differs.
pub const FROM_ONE_START: u32 = 10;

/// A value on the axis of kernels or of CRIUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// How a user selects exactly this one again.
    pub selector: String,
    /// Its version, as far as it is known before a guest reports it.
    pub version: String,
    /// Where it comes from: suite, package and its version, or path.
    pub source: String,
}

/// What the node runs to which a pod goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The kernel.
    pub kernel: Pick,
    /// The CRIU.
    pub criu: Pick,
}

/// One point of kernel x CRIU x runtime x scenario x workload x repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Its number in the run, from 0.
    pub index: usize,
    /// A flat name, unique in the run; the name of its folder.
    pub name: String,
    /// The kernel.
    pub kernel: Pick,
    /// The CRIU.
    pub criu: Pick,
    /// What the node runs to which the pod goes, where that is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The runtime.
    pub runtime: String,
    /// The scenario, with its variant where that is not the default.
    pub scenario: String,
    /// The workload.
    pub workload: String,
    /// Which of the repetitions, from 1.
    pub repeat: u32,
    /// What is drawn at random in the cell is drawn from this.
    pub seed: u64,
    /// Options of the cell, such as its hooks.
    pub options: BTreeMap<String, String>,
    /// The fault that strikes in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crash: Option<Crash>,
}

impl Cell {
    /// Cells for which this is the same begin in the same way.
    #[must_use]
    pub fn beginning(&self) -> impl Ord + use<> {
        let axes = [&self.kernel.selector, &self.criu.selector, &self.runtime, &self.scenario];
        let group = (self.repeat.max(1) - 1) / FROM_ONE_START;
        let target = self.target.as_ref();
        let target = target.map(|it| [&it.kernel, &it.criu].map(|pick| pick.selector.clone()));
        (axes.map(Clone::clone), target, self.workload.clone(), group)
    }
}

/// The axes of a matrix.
#[derive(Clone, Debug, Default)]
pub struct Axes {
    /// Kernels.
    pub kernels: Vec<Pick>,
    /// CRIUs.
    pub crius: Vec<Pick>,
    /// Kernels of the node to which the pod goes; none: the same.
    pub target_kernels: Vec<Pick>,
    /// CRIUs of that node; none: the same.
    pub target_crius: Vec<Pick>,
    /// Runtimes.
    pub runtimes: Vec<String>,
    /// Scenarios.
    pub scenarios: Vec<String>,
    /// Workloads, by name.
    pub workloads: Vec<String>,
    /// Pairs of scenario and workload that make no sense.
    pub left_out: BTreeSet<(String, String)>,
    /// How often each cell runs.
    pub repeat: u32,
    /// The seed of the run.
    pub seed: u64,
    /// Options of every cell.
    pub options: BTreeMap<String, String>,
    /// Faults that strike in a scenario, one in each of its cells.
    pub crashes: BTreeMap<String, Vec<Crash>>,
}

impl Axes {
    /// The cross product, repetitions outermost, workloads innermost.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for repeat in 1..=self.repeat.max(1) {
            for (kernel, criu) in pairs(&self.kernels, &self.crius) {
                for (runtime, scenario) in pairs(&self.runtimes, &self.scenarios) {
                    let pair = |workload: &String| (scenario.clone(), workload.clone());
                    let fitting = |it: &&String| !self.left_out.contains(&pair(it));
                    for workload in self.workloads.iter().filter(fitting) {
                        let cell = Cell {
                            index: 0,
                            name: String::new(),
                            kernel: kernel.clone(),
                            criu: criu.clone(),
                            target: None,
                            runtime: runtime.clone(),
                            scenario: scenario.clone(),
                            workload: workload.clone(),
                            repeat,
                            seed: self.seed.wrapping_add(u64::from((repeat - 1) / FROM_ONE_START)),
                            options: self.options.clone(),
                            crash: None,
                        };
                        let to = self.targets(kernel, criu);
                        let cells_of = to.into_iter().map(|to| Cell { target: to, ..cell.clone() });
                        cells.extend(cells_of.flat_map(|cell| self.with_crashes(cell)));
                    }
                }
            }
        }
        for (index, cell) in cells.iter_mut().enumerate() {
            cell.index = index;
        }
        name(&mut cells, self.repeat > 1);
        cells
    }

    /// What the pod may go to from this kernel and CRIU.
    fn targets(&self, kernel: &Pick, criu: &Pick) -> Vec<Option<Target>> {
        if self.target_kernels.is_empty() && self.target_crius.is_empty() {
            return vec![None];
        }
        let or = |given: &[Pick], same: &Pick| match given {
            [] => vec![same.clone()],
            given => given.to_vec(),
        };
        let (kernels, crius) = (or(&self.target_kernels, kernel), or(&self.target_crius, criu));
        let targets = pairs(&kernels, &crius);
        targets
            .map(|(kernel, criu)| Some(Target { kernel: kernel.clone(), criu: criu.clone() }))
            .collect()
    }

    /// The cell, or one for each fault that strikes in its scenario.
    fn with_crashes(&self, cell: Cell) -> Vec<Cell> {
        let Some(crashes) = self.crashes.get(&cell.scenario) else { return vec![cell] };
        let struck = crashes.iter().map(|crash| {
            let mut cell = cell.clone();
            cell.options.insert("crash".to_owned(), crash.to_string());
            Cell { crash: Some(crash.clone()), ..cell }
        });
        struck.collect()
    }
}

fn pairs<'a, A, B>(left: &'a [A], right: &'a [B]) -> impl Iterator<Item = (&'a A, &'a B)> {
    left.iter().flat_map(move |a| right.iter().map(move |b| (a, b)))
}

/// Gives every cell a name of what a person tells cells apart by; the runtime only when it is not
/// the engine itself, a number only when there are several.
fn name(cells: &mut [Cell], repeated: bool) {
    let mut taken = BTreeSet::new();
    for cell in cells {
        let mut name = format!(
            "{}-{}-{}-criu-{}",
            cell.scenario, cell.workload, cell.kernel.version, cell.criu.version
        );
        if let Some(target) = &cell.target {
            name = format!("{name}-to-{}-criu-{}", target.kernel.version, target.criu.version);
        }
        if cell.runtime != "cryolab" {
            name = format!("{name}-{}", cell.runtime);
        }
        if let Some(crash) = &cell.crash {
            name = format!("{name}-{}", crash.selector());
        }
        if repeated {
            name = format!("{name}-{}", cell.repeat);
        }
        cell.name = flat(&name);
        if !taken.insert(cell.name.clone()) {
            cell.name = format!("{}-cell{}", cell.name, cell.index);
            taken.insert(cell.name.clone());
        }
    }
}

fn flat(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || ".+-".contains(c) { c } else { '-' };
    name.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(version: &str) -> Pick {
        let text = version.to_owned();
        Pick { selector: text.clone(), version: text.clone(), source: text }
    }

    #[test]
    fn several_values_make_the_cross_product_under_flat_unique_names() {
        let axes = Axes {
            kernels: vec![pick("6.1.0-50"), pick("6.12.57")],
            crius: vec![pick("4.1.1"), pick("4.2.1"), pick("4.2.1")],
            runtimes: vec!["cryolab".to_owned()],
            scenarios: vec!["reboot/power-cut".to_owned()],
            workloads: vec!["counter".to_owned(), "redis".to_owned()],
            repeat: 11,
            seed: 7,
            ..Axes::default()
        };
        let cells = axes.cells();
        assert_eq!(cells.len(), 132);
        assert_eq!(cells[0].name, "reboot-power-cut-counter-6.1.0-50-criu-4.1.1-1");
        assert_eq!((cells[119].seed, cells[120].seed), (7, 8));
        let names: BTreeSet<_> = cells.iter().map(|cell| &cell.name).collect();
        assert_eq!(names.len(), 132);
    }
}
