//! `cryolab report`: a run again from its record, a cell's captures side by side, or many runs
//! counted up.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use runner::names;
use runner::report::{self, Tally};
use runner::results::{Results, exit_code};

use crate::arguments::Report;
use crate::print;
use crate::status::Exit;

/// Draws what was asked for.
pub(crate) fn run(wanted: &Report) -> Result<u8, Exit> {
    let is_drawn = wanted.cell.is_none() && wanted.facts.is_none();
    let folder = match wanted.folders.as_slice() {
        [folder] if !is_drawn || runner::record::is_in(folder) => folder,
        folders if is_drawn => return counted_up(folders),
        _ => return Err(Exit::usage(anyhow!("cells are shown of one run only"))),
    };
    if is_drawn {
        return again(folder);
    }
    let cells = folder.join("cells");
    let known = folders(&cells)?;
    let pattern = wanted.cell.as_deref().unwrap_or("*");
    let chosen = names::select("cell", pattern, known.iter().map(String::as_str));
    for cell in chosen.map_err(Exit::usage)? {
        let facts = wanted.facts.as_deref();
        let drawn = report::side_by_side(&cells.join(cell), facts).map_err(Exit::usage)?;
        print(&format!("{cell}\n\n{drawn}\n"))?;
    }
    Ok(0)
}

/// Draws the reports of a run again.
fn again(folder: &Path) -> Result<u8, Exit> {
    let events = runner::record::read(folder).map_err(Exit::usage)?;
    let results = report::write(folder, &events).map_err(Exit::lab)?;
    print(&report::table(&results, &folder.display().to_string()))?;
    Ok(exit_code(&results))
}

/// Counts up the cells of these runs, or of those in these folders.
fn counted_up(folders: &[PathBuf]) -> Result<u8, Exit> {
    let mut tally = Tally::default();
    for folder in folders {
        for run in runs(folder)? {
            match runner::record::read(&run) {
                Ok(events) => tally.add(&run.display().to_string(), &Results::of(&events)),
                Err(error) => eprintln!("not counted: {:#}", anyhow::Error::from(error)),
            }
        }
    }
    print(&tally.table())?;
    Ok(0)
}

/// The run's folder itself, or all folders of runs in it; what is linked to counts once.
fn runs(folder: &Path) -> Result<Vec<PathBuf>, Exit> {
    if runner::record::is_in(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    // What is no folder holds no runs, either.
    let entries = fs_err::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut runs: Vec<PathBuf> =
        paths.filter(|path| !path.is_symlink() && runner::record::is_in(path)).collect();
    runs.sort();
    if runs.is_empty() {
        let record = folder.join(runner::record::FILE);
        let record = record.display();
        return Err(Exit::usage(anyhow!("no run: there is no {record}, nor one a folder below")));
    }
    Ok(runs)
}

/// The names of the cells of a run, in order.
fn folders(cells: &Path) -> Result<Vec<String>, Exit> {
    let entries = fs_err::read_dir(cells).map_err(Exit::usage)?;
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    if names.is_empty() {
        return Err(Exit::usage(anyhow!("{} holds no cell", cells.display())));
    }
    Ok(names)
}
