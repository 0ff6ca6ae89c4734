//! `cryolab report`: a run again from its record, or a cell's captures side by side.

use std::path::Path;

use anyhow::anyhow;
use runner::names;
use runner::report;
use runner::results::exit_code;

use crate::arguments::Report;
use crate::print;
use crate::status::Exit;

/// Draws what was asked for.
pub(crate) fn run(wanted: &Report) -> Result<u8, Exit> {
    if wanted.cell.is_none() && wanted.facts.is_none() {
        return again(&wanted.folder);
    }
    let cells = wanted.folder.join("cells");
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
