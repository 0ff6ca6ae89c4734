//! Taking memory ahead of a checkpoint, while the pod runs on, so that the checkpoint has little left
//! to take.
//!
//! The first round takes all of it, and the kernel notes from then on which pages are written to. Each
//! further round, and then the checkpoint, takes those alone and finds the others in the images before.
//! A dump that does not come to its end breaks this off: the kernel has forgotten by then what changed
//! since the round before. So the pod's record names its rounds only while none is under way, and
//! whoever finds none begins anew.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Step;
use model::message::RoundReport;
use model::pod::ContainerSpec;

use crate::archive::{self, Holds};
use crate::checkpoint::{Cut, Takes, micros};
use crate::engine::Engine;
use crate::error::{About, Error};
use crate::store::{Places, Record, Round};
use crate::watch::{Progress, Watch};
use crate::{checks, release, remove};

/// So few pages (4 MiB) are not worth another round, which takes CRIU longer than the checkpoint takes
/// to carry them. A single write to a huge page makes 512 of them.
const FEW: u64 = 1024;

/// Most rounds: each begins with the one before, and a restore reads them all.
const MOST_ROUNDS: usize = 8;

/// Bytes of a page, on every machine that this engine knows.
const PAGE: u64 = 4096;

/// Whether a dump has the kernel note what is written to, and what it builds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tracks {
    /// It takes all, and what was noted stays noted.
    Nothing,
    /// A round after so many.
    Round(usize),
    /// A checkpoint after so many rounds, at least one.
    Checkpoint(usize),
}

impl Tracks {
    pub(crate) fn of_checkpoint(rounds: usize) -> Tracks {
        if rounds == 0 { Tracks::Nothing } else { Tracks::Checkpoint(rounds) }
    }

    /// Whether CRIU tracks memory, and where it finds the images before.
    pub(crate) fn since(self, spec: &ContainerSpec) -> (bool, Option<String>) {
        let link = |before, is_round| Some(archive::link_before(&spec.name, before, is_round));
        match self {
            Tracks::Nothing => (false, None),
            Tracks::Round(0) => (true, None),
            Tracks::Round(before) => (true, link(before, true)),
            Tracks::Checkpoint(before) => (true, link(before, false)),
        }
    }
}

impl Engine {
    /// Takes a round of an archive: the memory that a running pod has changed since the round before, or
    /// all of it in the first. The next [`Engine::checkpoint`] of that archive builds on it. The round
    /// is an archive of its own beside the one to be.
    ///
    /// Steps: `pre-dump`, `round` (the round is there when that is done). No phases.
    ///
    /// # Errors
    /// The step that failed; [`Error::Unsupported`] before anything is touched where the kernel does not
    /// note what is written to. The pod runs on, and the next round is a first one again.
    pub fn pre_dump(
        &self,
        pod: &str,
        archive: &Path,
        deadline: Duration,
        watch: &mut dyn Watch,
    ) -> Result<RoundReport, Error> {
        let places = self.places(pod)?;
        let mut record = Record::load(&places, pod)?;
        let mut before = std::mem::take(&mut record.rounds);
        before.retain(|round| round.of == archive);
        if before.is_empty() {
            self.check_tracking(&record.spec.containers[0].name)?;
            remove::remove_tree(&places.rounds())?;
            archive::clear_strays(archive::folder_of(archive), Some(archive))?;
        }
        record.save(&places)?;
        let work = places.rounds().join((before.len() + 1).to_string());
        remove::remove_tree(&work)?;
        fs_err::create_dir_all(&work).about("make", &work)?;
        let mut progress = Progress::new(watch, self.host(), deadline);
        progress.work_in(&work);
        let cut = Cut {
            engine: self,
            status: record.status(&places),
            record,
            places,
            work,
            takes: Takes::Memory,
            parents: before.iter().map(|round| round.sha256.clone()).collect(),
            tracks: Tracks::Round(before.len()),
        };
        let report = cut.round(archive, before, &mut progress);
        report.map_err(|error| progress.locate(error))
    }

    /// Whether the kernel notes what is written to.
    fn check_tracking(&self, container: &str) -> Result<(), Error> {
        let named = |source| Error::Criu { container: container.to_owned(), source };
        if self.host().criu_features(&self.criu()).map_err(named)?.mem_track {
            return Ok(());
        }
        let why = "this kernel does not note which pages are written to (soft-dirty, CRIU's \
                   `mem_dirty_track`): memory cannot be taken ahead";
        Err(Error::Unsupported { container: container.to_owned(), why: why.to_owned() })
    }
}

impl Cut<'_> {
    fn round(
        mut self,
        archive: &Path,
        mut rounds: Vec<Round>,
        progress: &mut Progress<'_>,
    ) -> Result<RoundReport, Error> {
        progress.step(Step::PreDump);
        let began = progress.elapsed();
        if let Err(error) = self.take_memory(progress) {
            // The first failure is the one to tell.
            let _ = release::resume(self.engine.host(), &self.places, &self.record);
            return Err(error);
        }
        let dumped = progress.elapsed();
        progress.step(Step::Round);
        let (path, sha256, archive_bytes) = self.keep(archive)?;
        rounds.push(Round { of: archive.to_path_buf(), sha256, pages: self.pages()? });
        let (number, pages) = (rounds.len(), self.pages()?);
        let last = is_last(&rounds);
        self.record.rounds = rounds;
        self.record.save(&self.places)?;
        progress.done();
        Ok(RoundReport {
            number: u32::try_from(number).unwrap_or(u32::MAX),
            pages,
            dump_us: micros(dumped - began),
            archive_us: micros(progress.elapsed() - dumped),
            archive_bytes,
            archive: path,
            last,
            work: self.work,
        })
    }

    /// Has CRIU take memory, one container after the other: the cut is made by the checkpoint.
    fn take_memory(&self, progress: &mut Progress<'_>) -> Result<(), Error> {
        let host = self.engine.host();
        checks::running(host, &self.status.containers)?;
        let carrier = checks::sysv_carrier(host, &self.status)?;
        for (index, container) in self.status.containers.iter().enumerate() {
            let spec = &self.record.spec.containers[index];
            let (images, work) = self.folders(container)?;
            let options = self.options(spec, container, &images, &work)?;
            let command = self.command(spec, carrier == Some(index))?;
            let taken = host.pre_dump(&command, &options, progress.left()?);
            taken.map_err(|source| Error::Criu { container: spec.name.clone(), source })?;
        }
        Ok(())
    }

    /// Makes an archive of the round. Where it is, its SHA-256 and its length.
    fn keep(&self, archive: &Path) -> Result<(PathBuf, String, u64), Error> {
        let containers = self.status.containers.iter();
        let records = containers.clone().map(|it| self.tasks_of(it)).collect::<Result<_, _>>()?;
        let mut manifest = self.bare_manifest(Holds::Round, records)?;
        let names = containers.map(|it| self.image_names(it)).collect::<Result<Vec<_>, _>>()?;
        manifest.members = archive::digest_members(&self.work, names.concat())?;
        let written = archive::write(archive, &manifest, &self.work)?;
        let path = archive::round_beside(archive, &written.sha256);
        let (sha256, bytes) = (written.sha256.clone(), written.bytes);
        written.called(path.clone()).commit()?;
        Ok((path, sha256, bytes))
    }

    /// Pages that CRIU took.
    fn pages(&self) -> Result<u64, Error> {
        let mut bytes = 0;
        for container in &self.status.containers {
            for name in self.image_names(container)? {
                let file = name.rsplit('/').next().unwrap_or_default();
                if file.starts_with("pages-") {
                    let path = self.work.join(&name);
                    bytes += fs_err::metadata(&path).about("look at", &path)?.len();
                }
            }
        }
        Ok(bytes / PAGE)
    }
}

/// Why there is to be no round after these, if so.
fn is_last(rounds: &[Round]) -> Option<String> {
    let pages = rounds.last()?.pages;
    let before = rounds.iter().rev().nth(1).map(|round| round.pages);
    if pages <= FEW {
        return Some(format!("{pages} pages are few"));
    }
    // What the pod writes to while a round is taken and carried over is what the next round has: it
    // shrinks with the rounds until they take as long for what is always written to.
    if let Some(before) = before.filter(|before| pages.saturating_mul(4) > before.saturating_mul(3))
    {
        return Some(format!("{pages} pages after {before}: they no longer shrink by a quarter"));
    }
    (rounds.len() >= MOST_ROUNDS).then(|| format!("{MOST_ROUNDS} rounds are the most"))
}

/// Takes back the rounds of a pod on which no checkpoint builds; whether there were any. Their archives
/// are strays from then on.
pub(crate) fn take_back(places: &Places, record: &mut Record) -> Result<bool, Error> {
    remove::remove_tree(&places.rounds())?;
    Ok(!std::mem::take(&mut record.rounds).is_empty())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::all_of_it(&[9000], None)]
    #[case::a_small_pod(&[1000], Some("few"))]
    #[case::it_shrinks(&[9000, 3000, 1900], None)]
    #[case::few_are_left(&[9000, 900, 40], Some("few"))]
    #[case::it_does_not_shrink(&[9000, 8000], Some("no longer shrink"))]
    #[case::endless(&[90000, 60000, 40000, 26000, 17000, 11000, 7000, 4000], Some("the most"))]
    fn rounds_end_when_another_gains_nothing(#[case] pages: &[u64], #[case] last: Option<&str>) {
        let round = |pages: &u64| Round { of: "a".into(), sha256: String::new(), pages: *pages };
        let rounds: Vec<Round> = pages.iter().map(round).collect();
        let told = is_last(&rounds);
        assert_eq!(told.is_some(), last.is_some(), "{told:?}");
        assert!(last.is_none_or(|words| told.unwrap_or_default().contains(words)));
    }

    #[test]
    fn images_are_found_from_the_next_round_and_from_the_checkpoint() {
        let seen = |from: &str, link: String| {
            let mut parts: Vec<&str> = from.split('/').collect();
            for part in link.split('/') {
                match part {
                    ".." => parts.truncate(parts.len() - 1),
                    part => parts.push(part),
                }
            }
            parts.join("/")
        };
        let images = "containers/main/images";
        let link = |before, is_round| archive::link_before("main", before, is_round);
        let from = format!("w/rounds/3/{images}");
        assert_eq!(seen(&from, link(2, true)), format!("w/rounds/2/{images}"));
        let from = format!("w/{images}");
        assert_eq!(seen(&from, link(3, false)), format!("w/rounds/3/{images}"));
    }
}
