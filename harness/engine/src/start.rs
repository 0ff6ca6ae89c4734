//! Starting a pod: sandbox first, then its containers.

use model::pod::{ContainerSpec, PodSpec, PodStatus, Stdio};

use crate::engine::Engine;
use crate::error::Error;
use crate::host::{Home, Process, Streams};
use crate::names;
use crate::stdio::{self, StdioSet};
use crate::store::{Places, Record, State};
use crate::{cgroup, remove, root, sandbox};

impl Engine {
    /// Makes a pod and starts its containers.
    ///
    /// # Errors
    /// What failed first; nothing of the pod stays then.
    pub fn start(&self, spec: &PodSpec, streams: StdioSet) -> Result<PodStatus, Error> {
        names::check(spec)?;
        let places = self.claim(&spec.name)?;
        let started = self.start_in(&places, spec, streams);
        if started.is_err() {
            // The first failure is the one to tell.
            let _ = remove::clear(self.host(), &places);
        }
        started
    }

    /// Makes the folder of a new pod, which makes its name taken.
    pub(crate) fn claim(&self, pod: &str) -> Result<Places, Error> {
        use crate::error::About;
        let places = self.places(pod)?;
        let pods = self.config().state.join("pods");
        fs_err::create_dir_all(&pods).about("make", &pods)?;
        match std::fs::create_dir(&places.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(Error::PodExists(pod.to_owned()))
            }
            other => other.about("make", &places.folder).map(|()| places),
        }
    }

    fn start_in(
        &self,
        places: &Places,
        spec: &PodSpec,
        mut streams: StdioSet,
    ) -> Result<PodStatus, Error> {
        let mut record = Record::new(spec);
        record.save(places)?;
        sandbox::make(self.host(), places, spec)?;
        sandbox::gate(self.host(), places, spec, true)?;
        for container in &spec.containers {
            let given = match container.stdio {
                Stdio::Pipe => streams.take(&container.name),
                Stdio::Null => Streams::default(),
            };
            record.streams.push(stdio::keys(&given));
            record.pids.push(self.start_container(places, spec, container, given)?);
            record.save(places)?;
        }
        record.state = State::There;
        record.save(places)?;
        Ok(record.status(places))
    }

    fn start_container(
        &self,
        places: &Places,
        pod: &PodSpec,
        spec: &ContainerSpec,
        streams: Streams,
    ) -> Result<i32, Error> {
        let status = places.container(&spec.name);
        cgroup::make_container(self.host(), &status.cgroup, spec)?;
        root::mount(self.host(), spec, &status)?;
        root::give(spec, &status.root)?;
        let process = Process {
            cgroup: status.cgroup,
            home: Home::New {
                join: places.pins(&pod.share),
                hostname: names::own_hostname(pod, spec),
                fittings: root::fittings(places, spec, &status.root),
                root: status.root,
                ids: spec.security.user_namespace,
            },
            command: spec.command.clone(),
            env: spec.env.clone(),
            directory: spec.directory.clone().into(),
            uid: spec.uid,
            gid: spec.gid,
            rlimits: spec.rlimits.clone(),
            security: spec.security.clone(),
        };
        self.host().spawn(&process, streams).map_err(|error| Error::Setup {
            container: spec.name.clone(),
            doing: error.doing,
            source: error.source,
        })
    }
}
