//! A run's folder: where it is, and that it is this run's alone.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use jiff::Zoned;

use crate::places;
use crate::status::Exit;

/// A run's folder and the run's name.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) run: String,
    pub(crate) path: PathBuf,
}

impl Folder {
    /// Makes the folder that was asked for, or a new one below `target/cryolab/runs`.
    pub(crate) fn make(out: Option<&Path>) -> Result<Self, Exit> {
        let run = Zoned::now().strftime("%Y%m%dT%H%M%S").to_string();
        match out {
            Some(out) => Folder::given(run, out),
            None => Ok(Folder::new(&run)?),
        }
    }

    /// Refuses a folder that holds a run, before anything is made.
    pub(crate) fn check(out: Option<&Path>) -> Result<(), Exit> {
        match out {
            Some(out) if out.join(runner::record::FILE).exists() => {
                let out = out.display();
                Err(Exit::usage(anyhow!("--out: {out} already holds a run; choose another")))
            }
            _ => Ok(()),
        }
    }

    fn given(run: String, out: &Path) -> Result<Self, Exit> {
        fs_err::create_dir_all(out).context("--out").map_err(Exit::usage)?;
        let path = fs_err::canonicalize(out).context("--out").map_err(Exit::usage)?;
        Ok(Folder { run, path })
    }

    /// Two runs may begin in the same second: the folder that did not exist before is ours.
    fn new(time: &str) -> anyhow::Result<Self> {
        let runs = places::runs();
        fs_err::create_dir_all(&runs)?;
        for attempt in 1.. {
            let run = if attempt == 1 { time.to_owned() } else { format!("{time}-{attempt}") };
            let path = runs.join(&run);
            match fs_err::create_dir(&path) {
                Ok(()) => {
                    point_latest(&runs, &run)?;
                    return Ok(Folder { run, path });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("there are numbers enough")
    }

    /// Makes the folder of a cell.
    pub(crate) fn cell(&self, name: &str) -> std::io::Result<PathBuf> {
        let path = self.path.join("cells").join(name);
        fs_err::create_dir_all(&path)?;
        Ok(path)
    }

    /// As a person who stands in the current folder would name it.
    pub(crate) fn shown(&self) -> String {
        let here = std::env::current_dir().ok();
        let below = here.as_ref().and_then(|here| self.path.strip_prefix(here).ok());
        below.unwrap_or(&self.path).display().to_string()
    }
}

/// Lets `latest` point to a run, in one step.
fn point_latest(runs: &Path, run: &str) -> anyhow::Result<()> {
    let new = runs.join(format!(".latest-{run}"));
    symlink(run, &new).with_context(|| format!("link {}", new.display()))?;
    Ok(fs_err::rename(new, runs.join("latest"))?)
}
