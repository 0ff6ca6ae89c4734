//! Bringing order into what engines that died have left on a node.
//!
//! What an operation had under way stands in the pod's record. A pod that was only begun is removed:
//! its archive is whole. A pod whose checkpoint has its name is removed as well: the archive is the
//! pod now. Every other pod runs on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::message::{Afterwards, Recovered};

use crate::archive;
use crate::cgroup;
use crate::checks;
use crate::engine::Engine;
use crate::error::{About, Error};
use crate::handover;
use crate::host::Host;
use crate::lazy;
use crate::pre_dump;
use crate::release;
use crate::remove;
use crate::scene;
use crate::store::{Checkpointing, Places, Record, State};

/// How long a CRIU whose engine has died may take to undo what it did, and to end.
const UNDO_LIMIT: Duration = Duration::from_secs(20);

/// What becomes of a pod that is found.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It was only begun.
    Incomplete,
    /// Its archive is the pod.
    Archived,
    /// It runs, and an operation was under way.
    Interrupted,
    /// It runs, as far as is known.
    Runs,
}

impl Engine {
    /// Brings order into what engines that died have left: in the pods of this node, in the folder of
    /// archives, and what their CRIUs have left outside. To be called when no operation is under
    /// way, such as when a node starts and when an engine has died; calling it again changes nothing.
    ///
    /// # Errors
    /// What could not be brought into order, such as the record of a pod that another version of
    /// the engine has written: that pod is left as it is.
    pub fn recover(&self, archives: &Path) -> Result<Recovered, Error> {
        let mut recovered = Recovered::default();
        for pod in self.pods()? {
            self.end_torn(&pod, &mut recovered)?;
        }
        for pid in self.orphans()? {
            recovered.told.push(format!("CRIU {pid} had lost its engine"));
            self.see_off(pid)?;
        }
        for pod in self.pods()? {
            self.recover_pod(&pod, &mut recovered)?;
        }
        scene::clear_yards(self.host(), &[])?;
        look_at_archives(archives, &mut recovered)?;
        remove::remove_tree(&self.config().state.join("serving"))?;
        let strays = archive::clear_strays(archives, None)?;
        if strays > 0 {
            recovered.told.push(format!("{strays} rounds of no checkpoint here are removed"));
        }
        Ok(recovered)
    }

    /// Ends a pod that ran on pages to come: its engine is gone, and nobody knows whether all came.
    fn end_torn(&self, pod: &str, recovered: &mut Recovered) -> Result<(), Error> {
        let places = self.places(pod)?;
        let record = match Record::load(&places, pod) {
            Err(Error::NoPod(_)) => return Ok(()),
            other => other?,
        };
        let Some(awaiting) = record.awaiting else { return Ok(()) };
        if record.state == State::There {
            recovered.told.push(format!(
                "pod {pod} ran on pages that were still to come, and is removed: what it did here is \
                 lost, and its checkpoint is whole on the node that it came from"
            ));
        }
        // Before their daemon ends: nobody is to read zeroes in place of a page.
        cgroup::kill(self.host(), &places.cgroup)?;
        for daemon in awaiting.daemons {
            lazy::end_orphan(self.host(), daemon, UNDO_LIMIT)?;
        }
        self.remove_all(&places)
    }

    fn recover_pod(&self, pod: &str, recovered: &mut Recovered) -> Result<(), Error> {
        let places = self.places(pod)?;
        // What cannot be read may well be a pod that runs: nothing is removed by a guess.
        let record = match Record::load(&places, pod) {
            Err(Error::NoPod(_)) => None,
            other => Some(other?),
        };
        match (fate(record.as_ref())?, record) {
            (Fate::Incomplete, _) | (_, None) => {
                recovered.told.push(format!("pod {pod} was not complete, and is removed"));
                self.remove_all(&places)
            }
            (Fate::Archived, Some(_)) => {
                recovered.told.push(format!("pod {pod} is its archive, and is removed here"));
                self.remove_all(&places)
            }
            (Fate::Interrupted, Some(record)) => {
                recovered.told.push(format!("pod {pod} was held for a checkpoint, and runs on"));
                self.run_on(&places, record, recovered)
            }
            (Fate::Runs, Some(record)) => self.run_on(&places, record, recovered),
        }
    }

    fn run_on(
        &self,
        places: &Places,
        mut record: Record,
        recovered: &mut Recovered,
    ) -> Result<(), Error> {
        if self.recover_joining(places, &record)? {
            let pod = &record.spec.name;
            recovered.told.push(format!("containers were on their way into pod {pod}"));
        }
        release::release(self.host(), places, &record)?;
        let had_rounds = pre_dump::take_back(places, &mut record)?;
        if record.checkpoint.take().is_some() || had_rounds {
            record.save(places)?;
        }
        recovered.pods.push(record.status(places));
        Ok(())
    }

    /// CRIUs that were started by an engine and are now children of nobody who would know them.
    fn orphans(&self) -> Result<Vec<i32>, Error> {
        let (host, proc) = (self.host(), Path::new("/proc"));
        let pids = host.list(proc).about("list", proc)?;
        let pids = pids.iter().filter_map(|name| name.parse::<i32>().ok());
        Ok(pids.filter(|pid| is_orphan(host, *pid, &self.config().criu)).collect())
    }

    /// Lets a CRIU end by itself, by which it undoes what it did, or ends it.
    fn see_off(&self, pid: i32) -> Result<(), Error> {
        let (host, process) = (self.host(), Path::new("/proc").join(pid.to_string()));
        if !host.await_gone(pid, UNDO_LIMIT).about("wait for", &process)? {
            host.signal(pid, libc::SIGKILL).about("kill", &process)?;
            host.await_gone(pid, UNDO_LIMIT).about("wait for", &process)?;
        }
        Ok(())
    }
}

/// Whether a process is a CRIU, or a task that it has begun to make, and its parent is gone. CRIU
/// overwrites its command line, so it is known by the program that it maps, which may be called by a
/// script beside it. A process that may have ended meanwhile is none.
fn is_orphan(host: &dyn Host, pid: i32, program: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let text = |name: &str| {
        host.read(&process.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let (Ok(maps), Ok(status)) = (text("maps"), text("status")) else { return false };
    let folder = program.parent().unwrap_or(Path::new("/"));
    let is_criu = |line: &str| {
        let path = Path::new(checks::map_name(line));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.starts_with(folder) && name.starts_with("criu")
    };
    maps.lines().any(is_criu) && status.lines().any(|line| line == "PPid:\t1")
}

fn fate(record: Option<&Record>) -> Result<Fate, Error> {
    let Some(record) = record.filter(|record| record.state == State::There) else {
        return Ok(Fate::Incomplete);
    };
    match &record.checkpoint {
        None => Ok(Fate::Runs),
        Some(note) if note.afterwards == Afterwards::Remove && is_committed(note)? => {
            Ok(Fate::Archived)
        }
        Some(_) => Ok(Fate::Interrupted),
    }
}

/// Whether the archive that was written has its name: an older one of that name may be there.
fn is_committed(note: &Checkpointing) -> Result<bool, Error> {
    let path = &note.archive;
    let Some(expected) = note.sha256.as_ref().filter(|_| path.exists()) else { return Ok(false) };
    let mut file = File::open(path).about("open", path)?;
    Ok(archive::sha256(&mut file).about("read", path)? == *expected)
}

/// Removes archives that are not whole, and tells those that are.
fn look_at_archives(folder: &Path, recovered: &mut Recovered) -> Result<(), Error> {
    let entries = fs_err::read_dir(folder).about("list", folder)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).about("list", folder));
    let mut paths = paths.collect::<Result<Vec<PathBuf>, Error>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".partial") {
            recovered.told.push(format!("{name} was not complete, and is removed"));
            fs_err::remove_file(&path).about("remove", &path)?;
        } else if handover::is_given(&name) {
            recovered.given.push(path);
        } else if name.ends_with(".tar.zst") {
            recovered.archives.push(path);
        }
    }
    Ok(())
}
