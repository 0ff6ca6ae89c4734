//! Having CRIU restore the containers of a pod.
//!
//! The restores are nested: the next container is restored when CRIU has said `network-unlock` for
//! the one before. So no socket is let go before all of the pod exist; one that probes a peer which
//! does not exist yet would be reset.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use criu::rpc::{
    Answer, Command, InheritFd, JoinNamespace, ManageCgroups, NetworkLock, Notification,
    NotificationKind, RestoreOptions,
};
use model::Step;
use model::pod::ContainerSpec;

use crate::dump::{external_key, set_wishes};
use crate::error::{About, Error};
use crate::host::Streams;
use crate::restore::Return;
use crate::watch::Progress;
use crate::{cgroup, freeze, root};

impl Return<'_> {
    /// Restores all containers; their tasks are frozen, or about to be, and CRIU is gone.
    pub(crate) fn revive(
        &mut self,
        streams: &[Streams],
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        self.revive_from(0, streams, progress)
    }

    fn revive_from(
        &mut self,
        index: usize,
        streams: &[Streams],
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let Some(spec) = self.record.spec.containers.get(index).cloned() else { return Ok(()) };
        let images = self.images(index);
        let work = images.parent().unwrap_or(Path::new("/")).to_path_buf();
        if let Some(lazily) = &mut self.lazily {
            lazily.bring(&self.places.container(&spec.name), &images, &work)?;
            self.record.awaiting = Some(lazily.note());
            self.record.save(self.places)?;
        }
        let images = File::open(&images).about("open", &images)?;
        let work = File::open(&work).about("open", &work)?;
        let mut options = RestoreOptions::new(images.as_fd());
        options.shared.work = Some(work.as_fd());
        options.lazy_pages = self.lazily.is_some();
        let command = self.describe(&spec, index, &streams[index], &mut options)?;
        let limit = progress.left()?;
        let mut failure = None;
        let revived = self.engine.host().restore(&command, &options, limit, &mut |told| {
            if failure.is_none() {
                failure = self.notified(&told, index, streams, progress).err();
            }
            if failure.is_some() { Answer::Fail } else { Answer::Go }
        });
        match failure {
            Some(failure) => Err(failure),
            None => revived
                .map(|_| ())
                .map_err(|source| Error::Criu { container: spec.name.clone(), source }),
        }
    }

    /// What is to be done at a moment of CRIU's work. When it fails where CRIU takes no notice of
    /// that, the tasks are killed at once, before they run.
    fn notified(
        &mut self,
        told: &Notification,
        index: usize,
        streams: &[Streams],
        progress: &mut Progress<'_>,
    ) -> Result<(), Error> {
        let host = self.engine.host();
        let group = self.places.container(&self.record.spec.containers[index].name).cgroup;
        let done = match (&told.kind, told.pid) {
            (NotificationKind::SetupNamespaces, Some(pid)) => {
                progress.step(Step::Place);
                self.remember(index, pid)?;
                let placed = cgroup::place(host, &group, pid);
                progress.done();
                return placed;
            }
            (NotificationKind::PostSetupNamespaces, _) => {
                progress.step(Step::Mounts);
                Ok(())
            }
            (NotificationKind::PostRestore, _) => {
                progress.step(Step::Tasks);
                Ok(())
            }
            (NotificationKind::NetworkUnlock, _) => {
                progress.step(Step::Sockets);
                self.revive_from(index + 1, streams, progress)
            }
            (NotificationKind::PreResume, _) => {
                progress.step(Step::Hold);
                freeze::set(host, &group, true)
            }
            _ => Ok(()),
        };
        progress.done();
        if done.is_err() {
            // The first failure is the one to tell.
            let _ = cgroup::kill(host, &group);
        }
        done
    }

    fn remember(&mut self, index: usize, pid: i32) -> Result<(), Error> {
        self.record.pids.resize(index + 1, 0);
        self.record.pids[index] = pid;
        self.record.save(self.places)
    }

    /// How CRIU is started, and what it is asked.
    ///
    /// The cgroup namespace: CRIU with `ignore` restores none, but its tasks inherit its own, which
    /// is made with the container's cgroup as its root.
    fn describe(
        &self,
        spec: &ContainerSpec,
        index: usize,
        streams: &Streams,
        options: &mut RestoreOptions<'_>,
    ) -> Result<Command, Error> {
        let container = self.places.container(&spec.name);
        let open = |path: &Path| File::options().write(true).open(path).about("open", path);
        let mut command = self.engine.criu();
        command.cgroup_namespace(
            open(&container.cgroup.join("cgroup.procs"))?,
            open(&cgroup::own(self.engine.host())?.join("cgroup.procs"))?,
        );
        self.describe_namespaces(spec, &mut command, options)?;
        let keys = &self.manifest.containers[index].streams;
        for (stream, key) in keys.iter().enumerate() {
            let (Some(key), Some(given)) = (key, &streams.0[stream]) else { continue };
            if keys[..stream].contains(&Some(key.clone())) {
                continue;
            }
            let fd = command.inherit(given.try_clone().about("hand down", key)?);
            options.inherit_fd.push(InheritFd { key: key.clone(), fd });
        }
        for external in root::externals(self.places, spec, &self.manifest.containers[index].masked)
        {
            let (target, source) = (external.target.display(), external.source.display());
            options.shared.external.push(format!("mnt[{target}]:{source}"));
        }
        options.root = Some(container.root.display().to_string());
        // CRIU locks no namespace that it did not make: the gate on the link does. It wants to know
        // nevertheless, and its versions up to 3.17 do not know `SKIP`.
        options.shared.network_lock = Some(NetworkLock::Nftables);
        options.shared.manage_cgroups_mode = Some(ManageCgroups::Ignore);
        set_wishes(&mut options.shared, spec);
        Ok(command)
    }

    /// The pod's namespaces: CRIU has the tasks join them, unless they will have a user namespace
    /// that gives them no right to. Then it lives in them itself, as it did at the dump.
    fn describe_namespaces(
        &self,
        spec: &ContainerSpec,
        command: &mut Command,
        options: &mut RestoreOptions<'_>,
    ) -> Result<(), Error> {
        let open = |path: &Path| File::open(path).about("open", path);
        for (kind, pin) in self.places.pins(&self.record.spec.share) {
            if spec.security.user_namespace.is_some() {
                command.enter(open(&pin)?);
                continue;
            }
            match external_key(kind) {
                Some(key) => {
                    let fd = command.inherit(open(&pin)?);
                    options.inherit_fd.push(InheritFd { key: key.into(), fd });
                }
                None => {
                    let file = pin.display().to_string();
                    options.join_ns.push(JoinNamespace { ns: kind.name().into(), file });
                }
            }
        }
        Ok(())
    }
}
