//! Taking a checkpoint: one cut through the whole pod, from which memory, files and unread bytes
//! come alike.
//!
//! CRIU leaves the tasks in place, and the pod stays frozen until its archive has its name. So
//! whatever fails before that, the pod can go on as if nothing had been; from there on the archive
//! is the pod, and what is left of the running one is removed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::message::{Afterwards, CheckpointReport};
use model::pod::{ContainerStatus, PodStatus};
use model::{Phase, Step};

use crate::archive::{self, ContainerRecord, Holds, Manifest, Origin};
use crate::engine::Engine;
use crate::error::{About, Error};
use crate::pre_dump::Tracks;
use crate::store::{Checkpointing, Places, Record, Round};
use crate::watch::{Progress, Watch};
use crate::{
    bound, cgroup, checks, claims, freeze, profile, release, remove, root, sandbox, stdio,
};

impl Engine {
    /// Freezes a pod, dumps it, writes the archive, and removes the pod or lets it run on.
    ///
    /// Steps: `gate`, `freeze`, `dump`, `lock`, `files`, `archive`, `commit`, and `remove` or
    /// `run-on`. Phases: `frozen`, and `post-dump` when CRIU says so.
    /// `deadline` does not count the wait at `frozen`; CRIU's own
    /// deadline goes on while `post-dump` waits.
    ///
    /// # Errors
    /// The step that failed. Before `commit` is done the pod runs on, ungated, and no archive is
    /// there; afterwards the archive is whole.
    pub fn checkpoint(
        &self,
        pod: &str,
        archive: &Path,
        afterwards: Afterwards,
        deadline: Duration,
        watch: &mut dyn Watch,
    ) -> Result<CheckpointReport, Error> {
        let places = self.places(pod)?;
        let mut record = Record::load(&places, pod)?;
        let rounds = std::mem::take(&mut record.rounds);
        let work = places.work.join("checkpoint");
        remove::remove_tree(&work)?;
        fs_err::create_dir_all(&work).about("make", &work)?;
        // A dump that fails breaks the rounds off.
        record.save(&places)?;
        let parents = build_on(&places, archive, &rounds, &work)?;
        let mut progress = Progress::new(watch, self.host(), deadline);
        progress.work_in(&work);
        let status = record.status(&places);
        let (takes, tracks) = (Takes::Everything, Tracks::of_checkpoint(parents.len()));
        let mut cut = Cut { engine: self, places, record, status, work, takes, parents, tracks };
        let report = cut.take(archive, afterwards, &mut progress);
        report.map_err(|error| progress.locate(error))
    }
}

/// Takes the rounds of this archive into the folder of its checkpoint. Their SHA-256.
fn build_on(
    places: &Places,
    archive: &Path,
    rounds: &[Round],
    work: &Path,
) -> Result<Vec<String>, Error> {
    let images = places.rounds();
    if rounds.is_empty() || rounds.iter().any(|round| round.of != archive) {
        return remove::remove_tree(&images).map(|()| Vec::new());
    }
    fs_err::rename(&images, work.join(archive::ROUNDS)).about("rename", &images)?;
    Ok(rounds.iter().map(|round| round.sha256.clone()).collect())
}

/// A pod on its way into an archive.
pub(crate) struct Cut<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) places: Places,
    pub(crate) record: Record,
    pub(crate) status: PodStatus,
    /// Folder in which the archive's members are gathered, beside CRIU's logs.
    pub(crate) work: PathBuf,
    pub(crate) takes: Takes,
    /// The rounds on which it builds, by the SHA-256 of their archives.
    pub(crate) parents: Vec<String>,
    pub(crate) tracks: Tracks,
}

/// What is gathered at a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// All members of an archive.
    Everything,
    /// What CRIU dumps, to be looked at.
    Images,
    /// The same of containers in a pod whose System V objects are others'.
    ImagesBesideObjects,
    /// Memory alone, of a pod that runs.
    Memory,
}

impl Cut<'_> {
    fn take(
        &mut self,
        archive: &Path,
        afterwards: Afterwards,
        progress: &mut Progress<'_>,
    ) -> Result<CheckpointReport, Error> {
        let host = self.engine.host();
        let (archive_name, reusing) = (archive.to_path_buf(), Vec::new());
        let note = Checkpointing { archive: archive_name, sha256: None, afterwards, reusing };
        self.note(Some(note))?;
        let report = self.while_noted(archive, progress);
        if report.is_err() {
            // The first failure is the one to tell.
            let _ = release::release(host, &self.places, &self.record);
            let _ = self.note(None);
            let _ = remove::remove_tree(&self.work.join(archive::ROUNDS));
            return report;
        }
        match afterwards {
            Afterwards::Remove => {
                progress.step(Step::Remove);
                remove::clear(host, &self.places)?;
            }
            Afterwards::Run => {
                progress.step(Step::RunOn);
                release::resume(host, &self.places, &self.record)?;
                self.note(None)?;
            }
        }
        progress.done();
        archive::forget_members(&self.work, &self.status)?;
        report
    }

    /// Notes for whoever comes after this engine what is being done to the pod.
    fn note(&mut self, checkpoint: Option<Checkpointing>) -> Result<(), Error> {
        self.record.checkpoint = checkpoint;
        self.record.save(&self.places)
    }

    fn amend(&mut self, change: impl FnOnce(&mut Checkpointing)) -> Result<(), Error> {
        self.record.checkpoint.as_mut().map(change);
        self.record.save(&self.places)
    }

    /// Notes what CRIU changes in sockets and, if it dies, cannot change back.
    fn note_sockets(&mut self) -> Result<(), Error> {
        let host = self.engine.host();
        let pids = release::tasks(host, &self.status)?;
        let sockets = |pid: &i32| host.reusing_sockets(*pid).about("look at", proc(*pid));
        let reusing = pids.iter().map(sockets).collect::<Result<Vec<_>, _>>()?.concat();
        self.amend(|note| note.reusing = reusing)
    }

    fn while_noted(
        &mut self,
        archive: &Path,
        progress: &mut Progress<'_>,
    ) -> Result<CheckpointReport, Error> {
        let host = self.engine.host();
        progress.step(Step::Gate);
        sandbox::gate(host, &self.places, &self.record.spec, false)?;
        progress.step(Step::Freeze);
        let began = progress.elapsed();
        freeze::freeze(host, &self.status, progress.left()?)?;
        let frozen = progress.elapsed();
        checks::running(host, &self.status.containers)?;
        progress.phase(Phase::Frozen, &self.main_pids()?, None)?;

        self.note_sockets()?;
        progress.step(Step::Dump);
        let mut manifest = self.manifest()?;
        let names = self.dump(progress)?;
        self.check_frozen(progress)?;
        let dumped = progress.elapsed();

        progress.step(Step::Archive);
        manifest.members = archive::digest_members(&self.work, names)?;
        let written = archive::write(archive, &manifest, &self.work)?;
        self.amend(|note| note.sha256 = Some(written.sha256.clone()))?;
        progress.step(Step::Commit);
        progress.left()?;
        written.commit()?;
        let archived = progress.elapsed();

        let images = manifest.members.iter().filter(|(name, _)| name.contains("/images/"));
        Ok(CheckpointReport {
            freeze_us: micros(frozen - began),
            dump_us: micros(dumped - frozen),
            archive_us: micros(archived - dumped),
            images_bytes: images.map(|(_, member)| member.bytes).sum(),
            archive_bytes: written.bytes,
            archive_sha256: written.sha256,
            tasks: manifest.containers.swap_remove(0).tasks,
            work: self.work.clone(),
        })
    }

    /// Node pids of the main container's tasks.
    pub(crate) fn main_pids(&self) -> Result<Vec<i32>, Error> {
        let tasks = cgroup::tasks(self.engine.host(), &self.status.containers[0].cgroup)?;
        Ok(tasks.into_iter().map(|(pid, _)| pid).collect())
    }

    /// CRIU thaws a cgroup while it holds the tasks, and freezes it again before it lets them go.
    pub(crate) fn check_frozen(&self, progress: &Progress<'_>) -> Result<(), Error> {
        for container in &self.status.containers {
            freeze::settle(self.engine.host(), &container.cgroup, true, progress.left()?)?;
        }
        Ok(())
    }

    /// What is known of the frozen pod, its members not yet.
    fn manifest(&self) -> Result<Manifest, Error> {
        let host = self.engine.host();
        let carrier = checks::sysv_carrier(host, &self.status)?;
        let (places, pod) = (&self.places, &self.record.spec);
        let mut containers = Vec::new();
        for (index, spec) in self.record.spec.containers.iter().enumerate() {
            let status = &self.status.containers[index];
            containers.push(ContainerRecord {
                streams: self.record.streams[index].clone(),
                masked: root::masked_files(spec, &status.root),
                image_files: checks::image_files(host, status, &spec.image)?,
                profiles: profile::of_container(host, status)?,
                claims: claims::of_container(host, places, pod, status, carrier == Some(index))?,
                ..self.tasks_of(status)?
            });
        }
        let bound = bound::sockets(host, &self.places, &self.record.spec)?;
        Ok(Manifest { bound, ..self.bare_manifest(Holds::Checkpoint, containers)? })
    }

    /// What is known of any archive, its members not yet.
    pub(crate) fn bare_manifest(
        &self,
        holds: Holds,
        containers: Vec<ContainerRecord>,
    ) -> Result<Manifest, Error> {
        let release = Path::new("/proc/sys/kernel/osrelease");
        let kernel = self.engine.host().read(release).about("read", release)?;
        let origin = Origin {
            kernel: String::from_utf8_lossy(&kernel).trim().to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            criu: self.criu_version()?,
        };
        Ok(Manifest {
            format: archive::FORMAT,
            holds,
            origin,
            pod: self.record.spec.clone(),
            containers,
            bound: Vec::new(),
            parents: self.parents.clone(),
            members: Default::default(),
        })
    }

    /// A container by its name and its tasks alone.
    pub(crate) fn tasks_of(&self, status: &ContainerStatus) -> Result<ContainerRecord, Error> {
        let tasks = cgroup::tasks(self.engine.host(), &status.cgroup)?;
        Ok(ContainerRecord {
            name: status.name.clone(),
            tasks: tasks.into_iter().map(|(_, inner)| inner).collect(),
            streams: Default::default(),
            masked: Vec::new(),
            image_files: Default::default(),
            profiles: Default::default(),
            claims: Default::default(),
        })
    }

    fn criu_version(&self) -> Result<String, Error> {
        let main = self.status.containers[0].name.clone();
        let version = self.engine.criu_version();
        version.map_err(|source| Error::Criu { container: main, source })
    }

    /// Gathers what CRIU does not carry, from the same instant. The names of all members.
    pub(crate) fn gather(&self) -> Result<Vec<String>, Error> {
        if self.takes != Takes::Everything {
            return Ok(Vec::new());
        }
        let mut names = vec![archive::SHM.to_owned()];
        self.pack(&self.status.shm, archive::SHM)?;
        for (index, container) in self.status.containers.iter().enumerate() {
            let name = archive::root_member(&container.name);
            self.pack(&container.upper, &name)?;
            names.push(name);
            let keys = &self.record.streams[index];
            for unread in stdio::unread(self.engine.host(), container, keys)? {
                let name = archive::stream_member(&container.name, unread.stream);
                let path = self.work.join(&name);
                fs_err::write(&path, unread.bytes).about("write", &path)?;
                names.push(name);
            }
            names.extend(self.image_names(container)?);
        }
        Ok(names)
    }

    /// Names of the members that are CRIU's images. Where those before them stand is no member.
    pub(crate) fn image_names(&self, container: &ContainerStatus) -> Result<Vec<String>, Error> {
        let images = archive::image_folder(&container.name);
        let folder = self.work.join(&images);
        let mut names = Vec::new();
        for entry in fs_err::read_dir(&folder).about("list", &folder)? {
            let file = entry.about("list", &folder)?.file_name();
            if file != archive::PARENT {
                names.push(format!("{images}/{}", file.to_string_lossy()));
            }
        }
        Ok(names)
    }

    fn pack(&self, folder: &Path, name: &str) -> Result<(), Error> {
        let path = self.work.join(name);
        let file = fs_err::File::create(&path).about("create", &path)?;
        archive::pack(folder, std::io::BufWriter::new(file))
    }
}

/// What the kernel shows of a task.
pub(crate) fn proc(pid: i32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// Whole microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
