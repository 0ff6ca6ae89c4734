//! Having CRIU dump the containers of a frozen pod.
//!
//! The dumps are nested: the next container is dumped when CRIU has said `post-dump` for the one
//! before. So all are dumped or none, and whoever waits at `post-dump` sees the images of all.
//!
//! What the engine itself gathers is gathered then too: the tasks stand still in CRIU's hands, and
//! the links by which CRIU keeps deleted files (`link_remap`) are there only so long.

use std::fs::File;
use std::path::Path;

use criu::rpc::{Answer, Command, DumpOptions, ManageCgroups, NetworkLock, NotificationKind};
use model::pod::{ContainerSpec, ContainerStatus, Namespace};
use model::{Phase, Step};

use crate::archive;
use crate::checkpoint::{Cut, Takes};
use crate::checks;
use crate::error::{About, Error};
use crate::freeze;
use crate::release;
use crate::root::{self, External};
use crate::times::Times;
use crate::watch::Progress;

impl Cut<'_> {
    /// Dumps all containers, waits at `post-dump`, and gathers what CRIU does not carry. The tasks
    /// stay, frozen. The names of all members.
    pub(crate) fn dump(&self, progress: &mut Progress<'_>) -> Result<Vec<String>, Error> {
        let host = self.engine.host();
        let carrier = match self.takes {
            Takes::ImagesBesideObjects => None,
            _ => checks::sysv_carrier(host, &self.status)?,
        };
        checks::user_namespaces(host, &self.record.spec, &self.status.containers, carrier)?;
        for (spec, container) in self.record.spec.containers.iter().zip(&self.status.containers) {
            checks::mounts(host, container, &self.externals(spec, container))?;
        }
        let times = Times::of(&self.places, &self.record.spec)?;
        self.dump_from(0, carrier, &times, progress)
    }

    fn dump_from(
        &self,
        index: usize,
        carrier: Option<usize>,
        times: &Times,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<String>, Error> {
        let Some(spec) = self.record.spec.containers.get(index) else {
            let images = self.images(&self.status.containers[0]);
            progress.phase(Phase::PostDump, &self.main_pids()?, Some(&images))?;
            progress.step(Step::Files);
            times.put_back()?;
            let gathered = self.gather();
            progress.done();
            return gathered;
        };
        let container = &self.status.containers[index];
        let (images, work) = self.folders(container)?;
        let options = self.options(spec, container, &images, &work)?;
        let command = self.command(spec, carrier == Some(index))?;
        let mut rest = None;
        let dumped = self.engine.host().dump(&command, &options, progress.left()?, &mut |told| {
            if told.kind == NotificationKind::NetworkLock {
                progress.step(Step::Lock);
                progress.done();
            }
            if told.kind == NotificationKind::PostDump {
                // From here on no task would run by CRIU's death either: their sockets are in repair
                // mode, and CRIU, which has thawed the cgroup, needs none of them any more.
                let held = freeze::set(self.engine.host(), &container.cgroup, true);
                let next = held.and_then(|()| self.dump_from(index + 1, carrier, times, progress));
                rest = Some(next);
            }
            if matches!(rest, Some(Err(_))) { Answer::Fail } else { Answer::Go }
        });
        match (rest, dumped) {
            (Some(Err(failure)), _) => Err(failure),
            (_, Err(source)) => {
                self.release_lock(&source);
                Err(Error::Criu { container: spec.name.clone(), source })
            }
            (Some(Ok(names)), Ok(())) => Ok(names),
            (None, Ok(())) => {
                let why = "CRIU succeeded without saying post-dump".to_owned();
                Err(Error::Unfaithful { container: spec.name.clone(), why })
            }
        }
    }

    /// A CRIU that did not end by itself leaves the pod's network locked.
    fn release_lock(&self, error: &criu::rpc::Error) {
        if matches!(error, criu::rpc::Error::Died(_) | criu::rpc::Error::Deadline(_)) {
            // CRIU's failure is the one to tell.
            for net in release::networks(&self.places, &self.status) {
                let _ = self.engine.host().remove_locks(&net);
            }
        }
    }

    pub(crate) fn images(&self, container: &ContainerStatus) -> std::path::PathBuf {
        self.work.join(archive::image_folder(&container.name))
    }

    /// Folders for CRIU's images and for its log.
    pub(crate) fn folders(&self, container: &ContainerStatus) -> Result<(File, File), Error> {
        let images = self.images(container);
        fs_err::create_dir_all(&images).about("make", &images)?;
        let work = images.parent().unwrap_or(Path::new("/"));
        Ok((File::open(&images).about("open", &images)?, File::open(work).about("open", work)?))
    }

    /// CRIU lives in the pod's uts namespace, and in its ipc namespace unless the container carries
    /// the SysV objects: so it takes neither for the container's own, and a restore writes neither
    /// hostname nor objects into the namespaces of another pod. In the pod's net namespace it lives
    /// for a container with a user namespace, whose tasks may not join one when they come back. What the
    /// container does have of its own, CRIU sees from outside.
    pub(crate) fn command(
        &self,
        spec: &ContainerSpec,
        carries_sysv: bool,
    ) -> Result<Command, Error> {
        let mut command = self.engine.criu();
        let enters = |kind: &Namespace| match kind {
            Namespace::Uts => true,
            Namespace::Ipc => !carries_sysv,
            Namespace::Net => spec.security.user_namespace.is_some(),
            Namespace::Pid => false,
        };
        for pin in self.status.namespaces.iter().filter(|(kind, _)| enters(kind)).map(|it| it.1) {
            command.enter(File::open(pin).about("open", pin)?);
        }
        Ok(command)
    }

    fn externals(&self, spec: &ContainerSpec, container: &ContainerStatus) -> Vec<External> {
        root::externals(&self.places, spec, &root::masked_files(spec, &container.root))
    }

    pub(crate) fn options<'fd>(
        &self,
        spec: &ContainerSpec,
        container: &ContainerStatus,
        images: &'fd File,
        work: &'fd File,
    ) -> Result<DumpOptions<'fd>, Error> {
        use std::os::fd::AsFd;
        let mut options = DumpOptions::new(container.pid, images.as_fd());
        options.freeze_cgroup = Some(container.cgroup.display().to_string());
        options.leave_running = true;
        (options.track_mem, options.parent_img) = self.tracks.since(spec);
        let shared = &mut options.shared;
        shared.work = Some(work.as_fd());
        for (kind, pin) in &self.status.namespaces {
            let Some(key) = external_key(*kind) else { continue };
            if spec.security.user_namespace.is_some() {
                continue;
            }
            let inode = self.engine.host().inode(pin).about("look at", pin)?;
            shared.external.push(format!("{}[{inode}]:{key}", kind.name()));
        }
        for external in self.externals(spec, container) {
            let target = external.target.display();
            shared.external.push(format!("mnt[{target}]:{target}"));
        }
        // The link is gated, but containers of the pod talk to each other by its loopback device.
        shared.network_lock = Some(NetworkLock::Nftables);
        shared.manage_cgroups_mode = Some(ManageCgroups::Ignore);
        set_wishes(shared, spec);
        Ok(options)
    }
}

/// What CRIU calls a namespace that it is not to dump: it is handed down at restore. Of the other
/// kinds it is told otherwise.
pub(crate) fn external_key(kind: Namespace) -> Option<&'static str> {
    match kind {
        Namespace::Net => Some("extRootNetNS"),
        Namespace::Pid => Some("extRootPidNS"),
        Namespace::Ipc | Namespace::Uts => None,
    }
}

/// What a container asks for, at dump and restore alike.
pub(crate) fn set_wishes(shared: &mut criu::rpc::SharedOptions<'_>, spec: &ContainerSpec) {
    let wishes = &spec.criu;
    shared.tcp_established = wishes.tcp_established;
    shared.file_locks = wishes.file_locks;
    shared.link_remap = wishes.link_remap;
    shared.ghost_limit = Some(wishes.ghost_limit);
}
