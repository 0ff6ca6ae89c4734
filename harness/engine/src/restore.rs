//! Making a pod again out of an archive.
//!
//! Nothing of the pod runs before everything is back: the link is gated from the start, and each
//! container's cgroup is frozen while CRIU still holds its tasks, so that CRIU can let go and leave.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::message::RestoreReport;
use model::pod::{Link, PodIdentity, PodSpec, PodStatus, Stdio};
use model::{Phase, Step};

use crate::archive::{self, ArchiveError, ContainerRecord, Manifest, Opened};
use crate::checkpoint::micros;
use crate::engine::Engine;
use crate::error::{About, Error};
use crate::host::Streams;
use crate::lazy::Lazily;
use crate::scene::Scene;
use crate::stdio::{self, StdioSet};
use crate::store::{Places, Record, State};
use crate::times::Times;
use crate::watch::{Progress, Watch};
use crate::{cgroup, checks, freeze, join, names, profile, remove, root, sandbox};

impl Engine {
    /// Makes the pod of an archive again and lets it run, as who it was or as somebody else.
    ///
    /// Steps: `verify`, `unpack`, `sandbox`, `root`, `restore`, for each container `place`,
    /// `mounts`, `tasks`, `sockets` and `hold`, then `settle`, `adopt`, `resume`. Phases:
    /// `pre-restore`, `pre-resume`, `post-resume`.
    /// `deadline` does not count the waits at phases.
    ///
    /// # Errors
    /// The step that failed; nothing of the pod stays then but CRIU's log and images.
    pub fn restore(
        &self,
        archive: &Path,
        identity: Option<&PodIdentity>,
        deadline: Duration,
        streams: StdioSet,
        watch: &mut dyn Watch,
    ) -> Result<RestoreReport, Error> {
        let mut progress = Progress::new(watch, self.host(), deadline);
        progress.work_in(&self.config().state.join("work"));
        progress.step(Step::Verify);
        let opened = archive::open(archive);
        let opened = opened.map_err(|source| Error::Archive { path: archive.to_owned(), source });
        let report = opened.and_then(|opened| {
            self.restore_from((archive, opened), None, identity, streams, &mut progress)
        });
        report.map_err(|error| progress.locate(error))
    }

    /// Makes the pod again of which the thin archive was taken, and lets it run while most of its
    /// memory is still where it comes from: with [`handover::Serving`](crate::handover::Serving)
    /// at `from`. Returns when all pages are here.
    ///
    /// Steps: as those of [`Engine::restore`], with `own` before `adopt` (the pod is this node's when
    /// that is done, and nobody else's from its begin on), and at last `pages`.
    ///
    /// # Errors
    /// As [`Engine::restore`]; [`Error::Unsupported`] where the kernel does not let pages come later;
    /// [`Error::Pages`] when the pod ran and was ended, because its pages did not come.
    pub fn restore_lazily(
        &self,
        archive: &Path,
        from: SocketAddr,
        deadline: Duration,
        streams: StdioSet,
        watch: &mut dyn Watch,
    ) -> Result<RestoreReport, Error> {
        let mut progress = Progress::new(watch, self.host(), deadline);
        progress.work_in(&self.config().state.join("work"));
        progress.step(Step::Verify);
        let report = Lazily::open(self, archive, from).and_then(|(lazily, opened)| {
            self.restore_from((archive, opened), Some(lazily), None, streams, &mut progress)
        });
        report.map_err(|error| progress.locate(error))
    }

    fn restore_from(
        &self,
        (archive, mut opened): (&Path, Opened),
        lazily: Option<Lazily<'_>>,
        identity: Option<&PodIdentity>,
        streams: StdioSet,
        progress: &mut Progress<'_>,
    ) -> Result<RestoreReport, Error> {
        let refused = |source| Error::Archive { path: archive.to_path_buf(), source };
        check_origin(&opened).map_err(refused)?;
        profile::check(self.host(), &opened.manifest.containers)?;
        if let Some(identity) = identity {
            become_another(&mut opened.manifest, identity)?;
        }
        let scene = Scene::before(self.host())?;
        let places = self.claim(&opened.manifest.pod.name)?;
        let work = places.work.join("restore");
        progress.work_in(&work);
        let report = (|| {
            remove::remove_tree(&work)?;
            fs_err::create_dir_all(&work).about("make", &work)?;
            archive::check_space(&opened, &work)?;
            progress.step(Step::Unpack);
            let manifest = archive::unpack(opened, &work).map_err(refused)?;
            let record = Record::new(&manifest.pod);
            let into = None;
            Return { engine: self, places: &places, manifest, record, work, lazily, into }
                .run(streams, progress)
        })();
        if report.is_err() {
            // The first failure is the one to tell.
            let _ = remove::clear(self.host(), &places);
            let _ = scene.clear(self.host());
        }
        report
    }
}

/// Gives the pod of an archive another name, hostname and link.
fn become_another(manifest: &mut Manifest, identity: &PodIdentity) -> Result<(), Error> {
    let PodIdentity { name, hostname, link } = identity.clone();
    check_address(manifest, &name, link.as_ref())?;
    manifest.pod = PodSpec { name, hostname, link, ..manifest.pod.clone() };
    names::check(&manifest.pod)
}

/// Whoever has sockets that are bound to the pod's address finds it in this pod.
pub(crate) fn check_address(
    manifest: &Manifest,
    name: &str,
    link: Option<&Link>,
) -> Result<(), Error> {
    let address = |link: &Link| link.address.clone();
    let (had, has) = (manifest.pod.link.as_ref().map(address), link.map(address));
    if had != has
        && let Some(socket) = manifest.bound.first()
    {
        let others = manifest.bound.len() - 1;
        let has = has.unwrap_or_else(|| "no address".to_owned());
        return Err(Error::Unsupported {
            container: manifest.containers[0].name.clone(),
            why: format!("pod {name} would have {has}, but {socket} and {others} more are bound"),
        });
    }
    Ok(())
}

pub(crate) fn check_origin(opened: &Opened) -> Result<(), ArchiveError> {
    let (made, here) = (&opened.manifest.origin.arch, std::env::consts::ARCH);
    if made == here {
        return Ok(());
    }
    Err(ArchiveError::Manifest(format!("made on {made}, this node is {here}")))
}

/// A pod on its way out of an archive.
pub(crate) struct Return<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) places: &'a Places,
    pub(crate) manifest: Manifest,
    pub(crate) record: Record,
    /// Folder of the archive's members, and of CRIU's logs.
    pub(crate) work: PathBuf,
    /// The pages that come later.
    pub(crate) lazily: Option<Lazily<'a>>,
    /// The pod that runs, when its containers come into one.
    pub(crate) into: Option<Places>,
}

impl Return<'_> {
    pub(crate) fn run(
        mut self,
        streams: StdioSet,
        progress: &mut Progress<'_>,
    ) -> Result<RestoreReport, Error> {
        let host = self.engine.host();
        let spec = self.record.spec.clone();
        progress.step(Step::Sandbox);
        self.record.save(self.places)?;
        match self.into {
            Some(_) => self.enter_sandbox()?,
            None => {
                sandbox::make(host, self.places, &spec)?;
                self.unpack_tree(&self.places.shm, archive::SHM)?;
            }
        }
        progress.step(Step::Root);
        self.make_roots()?;
        let streams = self.connect(streams)?;
        let images = self.images(0);
        let unpacked = progress.elapsed();
        progress.phase(Phase::PreRestore, &[], Some(&images))?;

        progress.step(Step::Restore);
        let mut times = Times::of(self.places, &spec)?;
        if self.into.is_some() {
            times.keep_shared(&self.record.brought.files);
        }
        self.revive(&streams, progress)?;
        drop(streams);
        progress.step(Step::Settle);
        let status = self.record.status(self.places);
        self.settle(&status, progress)?;
        times.put_back()?;
        let restored = progress.elapsed();
        let tasks = cgroup::tasks(host, &status.containers[0].cgroup)?;
        let pids: Vec<i32> = tasks.iter().map(|(pid, _)| *pid).collect();
        progress.phase(Phase::PreResume, &pids, Some(&images))?;

        if let Some(lazily) = &self.lazily {
            progress.step(Step::Own);
            lazily.own()?;
        }
        progress.step(Step::Adopt);
        match &self.into {
            Some(pod) => self.move_in(pod)?,
            None => {
                self.record.state = State::There;
                self.record.save(self.places)?;
            }
        }
        progress.step(Step::Resume);
        sandbox::gate(host, self.places, &spec, true)?;
        freeze::thaw(host, &status)?;
        progress.done();
        progress.phase(Phase::PostResume, &pids, Some(&images))?;
        self.await_pages(progress)?;
        archive::forget_members(&self.work, &status)?;
        Ok(RestoreReport {
            unpack_us: micros(unpacked),
            restore_us: micros(restored - unpacked),
            pod: status,
            tasks: tasks.into_iter().map(|(_, inner)| inner).collect(),
            work: self.work,
        })
    }

    /// Waits until the pod has all that it had, where some of it comes later.
    fn await_pages(&mut self, progress: &mut Progress<'_>) -> Result<(), Error> {
        let Some(mut lazily) = self.lazily.take() else { return Ok(()) };
        progress.step(Step::Pages);
        lazily.await_all(progress)?;
        self.record.awaiting = None;
        self.record.save(self.places)?;
        lazily.finish()?;
        progress.done();
        Ok(())
    }

    /// Folder of a container's images.
    pub(crate) fn images(&self, index: usize) -> PathBuf {
        self.work.join(archive::image_folder(&self.record.spec.containers[index].name))
    }

    fn unpack_tree(&self, folder: &Path, member: &str) -> Result<(), Error> {
        let path = self.work.join(member);
        let file = fs_err::File::open(&path).about("open", &path)?;
        let unpacked = archive::unpack_tree(folder, std::io::BufReader::new(file));
        unpacked.map_err(|source| Error::Archive { path, source })
    }

    fn make_roots(&self) -> Result<(), Error> {
        let host = self.engine.host();
        for (spec, record) in self.record.spec.containers.iter().zip(&self.manifest.containers) {
            let container = self.places.container(&spec.name);
            checks::same_image(&spec.name, &spec.image, &record.image_files)?;
            fs_err::create_dir_all(&container.upper).about("make", &container.upper)?;
            self.unpack_tree(&container.upper, &archive::root_member(&spec.name))?;
            root::mount(host, spec, &container)?;
            cgroup::make_container(host, &container.cgroup, spec)?;
        }
        Ok(())
    }

    /// Takes the new standard streams and puts in what was unread.
    fn connect(&mut self, mut streams: StdioSet) -> Result<Vec<Streams>, Error> {
        let mut connected = Vec::new();
        for (spec, record) in self.record.spec.containers.iter().zip(&self.manifest.containers) {
            let given = match spec.stdio {
                Stdio::Pipe => streams.take(&spec.name),
                Stdio::Null => Streams::default(),
            };
            self.refill(&given, record)?;
            self.record.streams.push(stdio::keys(&given));
            connected.push(given);
        }
        Ok(connected)
    }

    fn refill(&self, given: &Streams, record: &ContainerRecord) -> Result<(), Error> {
        use std::os::fd::AsFd;
        for (index, stream) in given.0.iter().enumerate() {
            if record.streams[index].is_some() && stream.is_none() {
                return Err(Error::Spec {
                    pod: self.record.spec.name.clone(),
                    field: format!("container {}", record.name),
                    why: format!("had a pipe as standard stream {index}, and was given none"),
                });
            }
            let member = archive::stream_member(&record.name, index);
            if let (Some(stream), true) = (stream, self.manifest.members.contains_key(&member)) {
                let path = self.work.join(member);
                let bytes = fs_err::read(&path).about("read", &path)?;
                self.engine.host().fill_pipe(stream.as_fd(), &bytes).about("fill from", &path)?;
            }
        }
        Ok(())
    }

    /// Waits until all is frozen and CRIU's work can be looked at.
    fn settle(&self, status: &PodStatus, progress: &mut Progress<'_>) -> Result<(), Error> {
        let host = self.engine.host();
        for container in &status.containers {
            freeze::settle(host, &container.cgroup, true, progress.left()?)?;
            checks::namespaces(host, status, container)?;
        }
        join::settle_pod(host, self.places, &self.record)
    }
}
