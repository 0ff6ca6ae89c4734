//! `cryolab mutants`: the verifier proves itself. A restored pod is spoiled in hundreds of ways,
//! one at a time, and each of them must be noticed.
//!
//! The story is played once for each workload: checkpoint, stop, restore. Where the restore waits,
//! the machine is branched: before CRIU is asked for the spoiling of images, and when all is
//! restored and frozen for the spoiling of the pod and its memory. Each mutant then has a fork of
//! its own, so that no spoiling hides another one.

mod bed;
mod choice;
mod equivalent;
mod judge;
mod report;
mod scene;
mod trial;
mod work;

use std::path::Path;
use std::rc::Rc;

use runner::perform::{self, Interrupts};

use self::bed::Bed;
use self::report::Report;
use self::work::Work;
use crate::arguments::Mutants;
use crate::folder::Folder;
use crate::print;
use crate::status::Exit;

/// The file with what became of every mutant.
const FILE: &str = "mutants.json";

/// Exit code after an interrupt.
const INTERRUPTED: u8 = 130;

/// Spoils, judges and reports; returns the exit code.
pub(crate) fn run(wanted: &Mutants) -> Result<u8, Exit> {
    let prepared = bed::Prepared::look_up(wanted)?;
    let folder = Folder::make(wanted.out.as_deref())?;
    // The machines die with the thread that started them, which is this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Exit::lab)?;
    runtime.block_on(async {
        let mut interrupts = Interrupts::listen().map_err(Exit::lab)?;
        let report = Rc::new(Report::new(&folder.path));
        let done = tokio::select! {
            biased;
            signal = interrupts.next() => Err(signal),
            done = all(wanted, prepared, &folder.path, Rc::clone(&report)) => Ok(done),
        };
        match done {
            Ok(done) => done?,
            Err(signal) => {
                eprintln!("interrupted by {signal}: taking the machines down");
                perform::settled().await;
                report.write().map_err(Exit::lab)?;
                return Ok(INTERRUPTED);
            }
        }
        report.write().map_err(Exit::lab)?;
        print(&if wanted.json { report.json().map_err(Exit::lab)? } else { report.table() })?;
        Ok(report.code())
    })
}

async fn all(
    wanted: &Mutants,
    prepared: bed::Prepared,
    folder: &Path,
    report: Rc<Report>,
) -> Result<(), Exit> {
    let bed = Bed::make(wanted, prepared).await?;
    for play in bed.plays(folder)? {
        let work = Work::begin(play, wanted, Rc::clone(&report)).await?;
        work.through().await?;
    }
    Ok(())
}
