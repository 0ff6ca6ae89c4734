//! What the user selected: every name is looked up before anything is built or booted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use anyhow::anyhow;
use runner::cell::{Axes, Cell};
use runner::crash::{Crash, Crashes};
use runner::hook::Hook;
use runner::names::{self, Unknown};
use runner::scenario::{self, Selected, Story};
use runner::workload::Workload;

use crate::arguments::E2e;
use crate::places;
use crate::status::Exit;
use crate::supply::Catalogue;

/// The runtimes that there are.
const RUNTIMES: [&str; 1] = ["cryolab"];

/// The workloads that run when the user names none.
const WORKLOADS: [&str; 2] = ["counter", "redis"];

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
    let named = !wanted.workload.is_empty();
    let defaults = || WORKLOADS.map(str::to_owned).to_vec();
    let workloads = workloads(&if named { wanted.workload.clone() } else { defaults() })?;
    let crashes = crashes(wanted, &stories)?;
    let left_out = left_out(&stories, &workloads, named)?;
    let modules = wanted.modules.as_deref();
    check_target(wanted, &stories)?;
    let (kernels, crius) = catalogue.look_up(&wanted.kernel, modules, &wanted.criu)?;
    let (target_kernels, target_crius) =
        catalogue.look_up(&wanted.target_kernel, modules, &wanted.target_criu)?;
    let axes = Axes {
        kernels,
        crius,
        target_kernels,
        target_crius,
        runtimes,
        scenarios: stories.iter().map(|(story, _)| story.name.clone()).collect(),
        workloads: workloads.iter().map(|(name, _)| name.clone()).collect(),
        left_out,
        repeat: wanted.repeat,
        seed: wanted.seed.unwrap_or_else(another_seed),
        options: options(&hooks),
        crashes,
    };
    Ok(Selection {
        cells: axes.cells(),
        stories: stories.into_iter().map(|(it, _)| (it.name, it.story)).collect(),
        workloads: workloads.into_iter().collect(),
        hooks: hooks.into(),
    })
}

/// A target is something else only where the pod goes to another node, or comes back on another boot.
fn check_target(wanted: &E2e, stories: &[(Selected, bool)]) -> Result<(), Exit> {
    if wanted.target_kernel.is_empty() && wanted.target_criu.is_empty() {
        return Ok(());
    }
    match stories.iter().find(|(story, _)| !story.has_target) {
        None => Ok(()),
        Some((story, _)) => Err(Exit::usage(anyhow!(
            "scenario {} has no target that could run another kernel or CRIU",
            story.name
        ))),
    }
}

/// The faults of each scenario, where any are wanted.
fn crashes(
    wanted: &E2e,
    stories: &[(Selected, bool)],
) -> Result<BTreeMap<String, Vec<Crash>>, Exit> {
    let Some(text) = &wanted.crash else { return Ok(BTreeMap::new()) };
    let crashes: Crashes = text.parse().map_err(Exit::usage)?;
    let mut all = BTreeMap::new();
    for (story, _) in stories {
        let here = crashes.among(story.activities);
        if here.is_empty() {
            let name = &story.name;
            return Err(Exit::usage(anyhow!("scenario {name} has no step where `{text}` strikes")));
        }
        all.insert(story.name.clone(), here);
    }
    Ok(all)
}

fn runtimes(patterns: &[String]) -> Result<Vec<String>, Unknown> {
    let mut chosen = Vec::new();
    for pattern in patterns {
        let names = names::select("runtime", pattern, RUNTIMES)?;
        chosen.extend(names.into_iter().map(str::to_owned));
    }
    Ok(once_each(chosen, String::as_str))
}

/// The stories, and whether each was asked for by its name.
fn stories(patterns: &[String]) -> Result<Vec<(Selected, bool)>, Unknown> {
    let mut chosen = Vec::new();
    for pattern in patterns {
        let selected = scenario::select(scenarios::ALL, pattern)?;
        chosen.extend(selected.into_iter().map(|it| (it, !names::is_glob(pattern))));
    }
    // By its name goes before by a glob.
    chosen.sort_by_key(|(_, by_name)| !by_name);
    Ok(once_each(chosen, |(it, _)| it.name.as_str()))
}

/// What makes no sense together is left out of a glob, and refused when both were named.
fn left_out(
    stories: &[(Selected, bool)],
    workloads: &[(String, Chosen)],
    named: bool,
) -> Result<BTreeSet<(String, String)>, Exit> {
    let mut left_out = BTreeSet::new();
    for (story, by_name) in stories {
        let wants = story.wants;
        for (name, _) in workloads.iter().filter(|(_, it)| !wants.is_met(&it.workload)) {
            if *by_name && named {
                let scenario = &story.name;
                return Err(Exit::usage(anyhow!(
                    "scenario {scenario} wants {wants}, and workload {name} has none"
                )));
            }
            left_out.insert((story.name.clone(), name.clone()));
        }
    }
    if left_out.len() == stories.len() * workloads.len() {
        return Err(Exit::usage(anyhow!("none of these workloads has what these scenarios want")));
    }
    Ok(left_out)
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
        let chosen: Vec<&str> = chosen.iter().map(|(it, _)| it.name.as_str()).collect();
        let rest = [
            "reboot/power-cut",
            "reboot/into-pod",
            "reboot/node",
            "reboot/profile-missing",
            "quick-start",
            "migration",
            "migration/pre-copy",
            "migration/post-copy",
            "forensic",
            "in-place/wire-cut",
        ];
        assert_eq!(chosen, [&["in-place", "reboot"], &rest[..]].concat());
    }

    #[test]
    fn a_workload_without_observer_is_left_out_of_a_glob_and_refused_by_name() {
        // Of their own: the repository's have binaries, which need not be built yet.
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, rest: &str| {
            let of_it = folder.path().join(name);
            let text = format!("name = {name:?}\nsummary = \"-\"\ncommand = [\"/{name}\"]\n{rest}");
            std::fs::create_dir(&of_it).expect("a folder");
            std::fs::write(of_it.join("client"), "#!/bin/sh\n").expect("written");
            std::fs::write(of_it.join("workload.toml"), text).expect("written");
            of_it.display().to_string()
        };
        let plain = "packages = [\"dash\"]\n[ready]\nport = 80\n";
        let watched = format!("{plain}[observer]\nbinary = \"client\"\ncommand = []\n");
        let both = [write("plain", plain), write("watched", &watched)];
        let workloads = workloads(&both).expect("known");
        let left_out = |scenario: &str, named| {
            super::left_out(&stories(&[scenario.to_owned()]).expect("known"), &workloads, named)
        };
        let pair = ("in-place/wire-cut".to_owned(), "plain".to_owned());
        assert_eq!(left_out("in-place/*", true).expect("a glob"), [pair.clone()].into());
        assert_eq!(left_out("in-place/wire-cut", false).expect("a default"), [pair].into());
        let error = left_out("in-place/wire-cut", true).expect_err("by name").error.to_string();
        assert!(error.contains("workload plain has none"), "{error}");
        assert!(left_out("in-place", true).expect("no observer wanted").is_empty());
    }

    #[test]
    fn the_repository_has_the_default_workloads() {
        let known = places::workloads().names();
        assert!(known.iter().any(|name| name == "counter"), "{known:?}");
        assert!(known.iter().any(|name| name == "redis"), "{known:?}");
    }
}
