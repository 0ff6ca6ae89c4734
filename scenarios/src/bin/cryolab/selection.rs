//! What the user selected: every name is looked up before anything is built or booted.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use anyhow::anyhow;
use runner::cell::{Axes, Cell};
use runner::hook::Hook;
use runner::names::{self, Unknown};
use runner::scenario::{self, Story};
use runner::workload::Workload;

use crate::arguments::E2e;
use crate::places;
use crate::status::Exit;
use crate::supply::Catalogue;

/// The runtimes that there are.
const RUNTIMES: [&str; 1] = ["cryolab"];

/// What is going to run.
#[derive(Debug)]
pub(crate) struct Selection {
    /// All cells, in order.
    pub(crate) cells: Vec<Cell>,
    /// The stories of the cells' scenarios.
    pub(crate) stories: BTreeMap<String, Story>,
    /// The cells' workloads.
    pub(crate) workloads: BTreeMap<String, Chosen>,
    /// Hooks of all cells.
    pub(crate) hooks: Rc<[Hook]>,
}

/// A workload, and how it is selected again.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// Its name, or the path of its folder.
    pub(crate) selector: String,
    /// The workload.
    pub(crate) workload: Rc<Workload>,
}

/// Looks everything up, what is cheap first.
pub(crate) fn select(wanted: &E2e, catalogue: &mut Catalogue) -> Result<Selection, Exit> {
    let hooks = wanted.hook.iter().map(|text| Hook::read(text));
    let hooks: Vec<Hook> = hooks.collect::<Result<_, _>>().map_err(Exit::usage)?;
    let runtimes = runtimes(&wanted.runtime).map_err(Exit::usage)?;
    let stories = stories(&wanted.scenario).map_err(Exit::usage)?;
    let workloads = workloads(&wanted.workload)?;
    let modules = wanted.modules.as_deref();
    let (kernels, crius) = catalogue.look_up(&wanted.kernel, modules, &wanted.criu)?;
    let axes = Axes {
        kernels,
        crius,
        runtimes,
        scenarios: stories.iter().map(|(name, _)| name.clone()).collect(),
        workloads: workloads.iter().map(|(name, _)| name.clone()).collect(),
        repeat: wanted.repeat,
        seed: wanted.seed.unwrap_or_else(another_seed),
        options: options(&hooks),
    };
    Ok(Selection {
        cells: axes.cells(),
        stories: stories.into_iter().collect(),
        workloads: workloads.into_iter().collect(),
        hooks: hooks.into(),
    })
}

fn runtimes(patterns: &[String]) -> Result<Vec<String>, Unknown> {
    let mut chosen = Vec::new();
    for pattern in patterns {
        let names = names::select("runtime", pattern, RUNTIMES)?;
        chosen.extend(names.into_iter().map(str::to_owned));
    }
    Ok(once_each(chosen, String::as_str))
}

fn stories(patterns: &[String]) -> Result<Vec<(String, Story)>, Unknown> {
    let mut chosen = Vec::new();
    for pattern in patterns {
        let selected = scenario::select(scenarios::ALL, pattern)?;
        chosen.extend(selected.into_iter().map(|it| (it.name, it.story)));
    }
    Ok(once_each(chosen, |(name, _)| name))
}

/// Looks workloads up by name or path.
pub(crate) fn workloads(selectors: &[String]) -> Result<Vec<(String, Chosen)>, Exit> {
    let mut chosen = Vec::new();
    for selector in selectors {
        chosen.extend(workload(selector)?);
    }
    let chosen = once_each(chosen, |(_, chosen): &(String, Chosen)| &chosen.selector);
    for (index, (name, _)) in chosen.iter().enumerate() {
        if chosen[..index].iter().any(|(other, _)| other == name) {
            return Err(Exit::usage(anyhow!("two workloads are named `{name}`")));
        }
    }
    Ok(chosen)
}

/// What contains a `/`, or is `.` or `..`, is a path; all else a name or a glob.
fn workload(selector: &str) -> Result<Vec<(String, Chosen)>, Exit> {
    let sources = places::workloads();
    let loaded = |selector: String, workload: Workload| {
        (workload.name.clone(), Chosen { selector, workload: Rc::new(workload) })
    };
    if selector.contains('/') || selector.starts_with('.') {
        let folder = std::path::absolute(Path::new(selector)).map_err(Exit::usage)?;
        let workload = sources.load(&folder).map_err(Exit::usage)?;
        return Ok(vec![loaded(folder.display().to_string(), workload)]);
    }
    let known = sources.names();
    let names = names::select("workload", selector, known.iter().map(String::as_str));
    let named = names.map_err(Exit::usage)?.into_iter().map(|name| {
        sources.named(name).map(|workload| loaded(name.to_owned(), workload)).map_err(Exit::usage)
    });
    named.collect()
}

/// The first of those with the same key.
fn once_each<T, K: Ord + ?Sized>(all: Vec<T>, key: fn(&T) -> &K) -> Vec<T> {
    let mut kept: Vec<T> = Vec::new();
    for item in all {
        if !kept.iter().any(|other| key(other) == key(&item)) {
            kept.push(item);
        }
    }
    kept
}

fn options(hooks: &[Hook]) -> BTreeMap<String, String> {
    let mut options: BTreeMap<String, String> = BTreeMap::new();
    for hook in hooks {
        let of_phase = options.entry(format!("hook.{}", hook.phase)).or_default();
        if !of_phase.is_empty() {
            of_phase.push_str(", ");
        }
        of_phase.push_str(&hook.name());
    }
    options
}

/// A seed that a person can type again.
pub(crate) fn another_seed() -> u64 {
    u64::from(jiff::Timestamp::now().subsec_nanosecond().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_twice_runs_once() {
        let names = ["in-place", "reboot", "*"].map(str::to_owned);
        let chosen = stories(&names).expect("known");
        let chosen: Vec<&str> = chosen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(chosen, ["in-place", "reboot"]);
    }

    #[test]
    fn the_repository_has_the_default_workloads() {
        let known = places::workloads().names();
        assert!(known.iter().any(|name| name == "counter"), "{known:?}");
        assert!(known.iter().any(|name| name == "redis"), "{known:?}");
    }
}
