//! Bringing the containers of an archive into a pod that runs.
//!
//! Hostname, link, System V objects, `/dev/shm` and the other containers of that pod stay as they are:
//! what comes must find its place between them, and whatever has no place there is told before CRIU is
//! asked. What has come in until something fails is taken back.

mod shared;

use std::path::Path;
use std::time::Duration;

use model::message::RestoreReport;
use model::pod::{Namespace, PodSpec, PodStatus};

use self::shared::Shared;
use crate::archive::{self, Manifest};
use crate::claims::{self, Settings};
use crate::engine::Engine;
use crate::error::{About, Error};
use crate::host::Host;
use crate::restore::{Return, check_address, check_origin};
use crate::scene::Scene;
use crate::stdio::StdioSet;
use crate::store::{Places, Record, State};
use crate::watch::{Progress, Watch};
use crate::{cgroup, names, profile, remove, sandbox};

/// How long a killed process may take to end.
const END_LIMIT: Duration = Duration::from_secs(20);

impl Engine {
    /// Makes the containers of an archive again in a pod that runs, and lets them run there.
    ///
    /// Steps and phases are those of [`Engine::restore`]. The pod runs on meanwhile; where connections
    /// come with the containers, nothing crosses its link until they are there. The report tells the
    /// pod with the containers that came.
    ///
    /// # Errors
    /// The step that failed; [`Error::Taken`] when a name, a pid, the name of a socket, a System V
    /// object, a file of `/dev/shm` or a lock on one is the pod's already. Nothing of the containers
    /// stays then but CRIU's logs and images, and the pod runs on.
    pub fn restore_into(
        &self,
        archive: &Path,
        pod: &str,
        deadline: Duration,
        streams: StdioSet,
        watch: &mut dyn Watch,
    ) -> Result<RestoreReport, Error> {
        let mut progress = Progress::new(watch, self.host(), deadline);
        progress.work_in(&self.config().state.join("work"));
        let report = self.join(archive, pod, streams, &mut progress);
        report.map_err(|error| progress.locate(error))
    }

    fn join(
        &self,
        archive: &Path,
        pod: &str,
        streams: StdioSet,
        progress: &mut Progress<'_>,
    ) -> Result<RestoreReport, Error> {
        let host = self.host();
        let refused = |source| Error::Archive { path: archive.to_path_buf(), source };
        progress.step(model::Step::Verify);
        let mut opened = archive::open(archive).map_err(refused)?;
        check_origin(&opened).map_err(refused)?;
        profile::check(host, &opened.manifest.containers)?;
        let pod_places = self.places(pod)?;
        let record = Record::load(&pod_places, pod)?;
        enter(&mut opened.manifest, &record)?;
        claims::check(host, &pod_places, &record.spec, &opened.manifest.containers)?;
        let scene = Scene::before(host)?;
        let places = pod_places.joining();
        let work = places.work.join("restore");
        progress.work_in(&work);
        let mut joining = Record::new(&opened.manifest.pod);
        let report = (|| {
            remove::remove_tree(&work)?;
            fs_err::create_dir_all(&work).about("make", &work)?;
            archive::check_space(&opened, &work)?;
            progress.step(model::Step::Unpack);
            let manifest = archive::unpack(opened, &work).map_err(refused)?;
            joining.brought = bring(host, &places, &manifest, &work)?;
            let coming = joining.clone();
            let into = Some(pod_places.clone());
            let lazily = None;
            Return { engine: self, places: &places, manifest, record: coming, work, lazily, into }
                .run(streams, progress)
        })();
        if report.is_err() {
            // The first failure is the one to tell.
            let _ = record.save(&pod_places);
            let _ = take_back(host, &pod_places, &joining);
            let _ = scene.clear(host);
        }
        report
    }

    /// Finishes, for a pod, what an engine that died has begun with containers which were to come into
    /// it. Whether there was anything of that kind.
    pub(crate) fn recover_joining(&self, places: &Places, pod: &Record) -> Result<bool, Error> {
        let joining = match Record::load(&places.joining(), &pod.spec.name) {
            Err(Error::NoPod(_)) => return Ok(false),
            other => other?,
        };
        match joining.spec.containers.iter().all(|container| pod.has(&container.name)) {
            true => settle(self.host(), places, &joining)?,
            false => take_back(self.host(), places, &joining)?,
        }
        Ok(true)
    }
}

/// Makes the manifest one of the pod that its containers come into.
fn enter(manifest: &mut Manifest, pod: &Record) -> Result<(), Error> {
    let (container, spec) = (&manifest.containers[0].name, &pod.spec);
    let unsupported = |why| Err(Error::Unsupported { container: container.clone(), why });
    if pod.state != State::There || pod.checkpoint.is_some() {
        return unsupported(format!("pod {} is not done yet with what it is at", spec.name));
    }
    if manifest.pod.share != spec.share {
        let (had, has) = (shared(&manifest.pod), shared(spec));
        return unsupported(format!(
            "pod {} shares {has}, and it was in one with {had}",
            spec.name
        ));
    }
    check_address(manifest, &spec.name, spec.link.as_ref())?;
    let containers = std::mem::take(&mut manifest.pod.containers);
    manifest.pod = PodSpec { containers, ..spec.clone() };
    names::check(&manifest.pod)
}

fn shared(spec: &PodSpec) -> String {
    let names: Vec<&str> = spec.share.iter().map(|kind| kind.name()).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// What is going to come in, and what there was before.
fn bring(
    host: &dyn Host,
    places: &Places,
    manifest: &Manifest,
    work: &Path,
) -> Result<crate::store::Brought, Error> {
    let shared = look_at_shared(places, manifest, work)?;
    let claims = manifest.containers.iter().map(|container| &container.claims);
    let objects: Vec<_> = claims.flat_map(|claims| claims.objects.iter().copied()).collect();
    let settings = match objects.is_empty() {
        true => Settings::default(),
        false => Settings::of(host, &places.pin(Namespace::Ipc))?,
    };
    Ok(crate::store::Brought { files: shared.new, objects, settings })
}

fn look_at_shared(places: &Places, manifest: &Manifest, work: &Path) -> Result<Shared, Error> {
    let scratch = work.join("shm");
    let shared = Shared::of(&work.join(archive::SHM), &scratch, &places.shm)?;
    remove::remove_tree(&scratch)?;
    shared.map_err(|path| Error::Taken {
        container: manifest.containers[0].name.clone(),
        pod: manifest.pod.name.clone(),
        what: format!("/dev/shm/{} by another file, which", path.display()),
    })
}

impl Return<'_> {
    /// The pod's sandbox is there: its network waits, if connections are to come, and files come into
    /// its `/dev/shm`.
    pub(crate) fn enter_sandbox(&self) -> Result<(), Error> {
        let host = self.engine.host();
        if !self.manifest.bound.is_empty() {
            sandbox::gate(host, self.places, &self.record.spec, false)?;
        }
        look_at_shared(self.places, &self.manifest, &self.work)?.put(&self.places.shm)
    }

    /// The containers are the pod's from here on.
    pub(crate) fn move_in(&self, pod: &Places) -> Result<(), Error> {
        let mut record = Record::load(pod, &self.record.spec.name)?;
        record.take_in(&self.record);
        record.save(pod)?;
        self.places.forget()
    }
}

/// Gives the pod back what CRIU has changed in it.
pub(crate) fn settle_pod(host: &dyn Host, places: &Places, joining: &Record) -> Result<(), Error> {
    joining.brought.settings.put_back(host, &places.pin(Namespace::Ipc))
}

/// The containers came in, and nobody has said so.
fn settle(host: &dyn Host, places: &Places, joining: &Record) -> Result<(), Error> {
    settle_pod(host, places, joining)?;
    places.joining().forget()
}

/// Takes containers out of a pod again, with all that has come with them, as far as it is there.
fn take_back(host: &dyn Host, places: &Places, joining: &Record) -> Result<(), Error> {
    let status: PodStatus = joining.status(places);
    let pids = Record::load(&places.joining(), &status.name).map(|record| record.pids);
    for container in &status.containers {
        cgroup::kill(host, &container.cgroup)?;
    }
    for pid in pids.unwrap_or_default().into_iter().filter(|pid| *pid > 0) {
        host.await_exit(pid, END_LIMIT).about("wait for pid of", &places.folder)?;
    }
    for container in &status.containers {
        host.unmount(&container.root).about("unmount", &container.root)?;
        host.remove_folder(&container.cgroup).about("remove cgroup", &container.cgroup)?;
        remove::remove_tree(&places.roots().join(&container.name))?;
    }
    shared::take_back(&places.shm, &joining.brought.files)?;
    if joining.spec.share.contains(&Namespace::Ipc) {
        let pin = places.pin(Namespace::Ipc);
        claims::remove_objects(host, &pin, &joining.brought.objects)?;
        joining.brought.settings.put_back(host, &pin)?;
    }
    places.joining().forget()?;
    sandbox::gate(host, places, &joining.spec, true)
}
