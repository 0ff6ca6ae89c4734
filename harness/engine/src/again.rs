//! A dump that is taken to be looked at and for nothing else: is what CRIU sees in a pod that came
//! back what it saw before?
//!
//! The pod is frozen before and afterwards, and runs no instruction in between: CRIU thaws a cgroup
//! while it holds the tasks, and freezes it again before it lets them go.

use std::path::PathBuf;
use std::time::Duration;

use fs_err::os::unix::fs::symlink;
use model::Step;
use model::message::Decision;
use model::pod::ContainerStatus;

use crate::checkpoint::{Cut, Takes};
use crate::engine::Engine;
use crate::error::{About, Error};
use crate::pre_dump::Tracks;
use crate::store::{Places, Record};
use crate::watch::{PhaseReached, Progress, Watch};
use crate::{archive, cgroup, freeze, remove};

/// So many shared objects (memfds, System V segments) may have files of pages of their own.
const SHARED_OBJECTS: usize = 64;

/// Images of a pod's containers, and CRIU's logs beside them. Dropping it removes them.
#[derive(Debug)]
pub struct AnotherDump {
    work: PathBuf,
    containers: Vec<(String, PathBuf)>,
}

impl AnotherDump {
    /// The containers of the pod in order, each with the folder of its images.
    #[must_use]
    pub fn containers(&self) -> &[(String, PathBuf)] {
        &self.containers
    }
}

impl Drop for AnotherDump {
    fn drop(&mut self) {
        // The next dump begins with an empty folder whatever is left of this one.
        let _ = remove::remove_tree(&self.work);
    }
}

impl Engine {
    /// The containers of a pod that is being checkpointed, each with the folder of its images.
    ///
    /// # Errors
    /// [`Error::NoPod`], or that its record cannot be read.
    pub fn images(&self, pod: &str) -> Result<Vec<(String, PathBuf)>, Error> {
        self.images_below(pod, &[], "checkpoint")
    }

    /// These containers of a pod that is being restored, all when none is named, each with the folder of the images that it is
    /// restored from.
    ///
    /// # Errors
    /// As [`Engine::images`].
    pub fn restored_images(
        &self,
        pod: &str,
        containers: &[String],
    ) -> Result<Vec<(String, PathBuf)>, Error> {
        self.images_below(pod, containers, "restore")
    }

    fn images_below(
        &self,
        pod: &str,
        containers: &[String],
        work: &str,
    ) -> Result<Vec<(String, PathBuf)>, Error> {
        let work = self.places(pod)?.work.join(work);
        let folder = |name: String| {
            let images = work.join(archive::image_folder(&name));
            (name, images)
        };
        let containers = self.status_of(pod, containers)?.containers;
        Ok(containers.into_iter().map(|container| folder(container.name)).collect())
    }

    /// Dumps a frozen pod, or these containers of it, which are frozen: all but the content of its
    /// memory. Leaves it frozen as it is.
    ///
    /// # Errors
    /// Why CRIU would not dump it. It is frozen then, too, and nothing of the dump stays.
    pub fn dump_again(
        &self,
        pod: &str,
        containers: &[String],
        deadline: Duration,
    ) -> Result<AnotherDump, Error> {
        let places = self.places(pod)?;
        let takes = self.looks_at(&places, pod)?;
        let record = self.record(&places, pod)?.only(containers);
        let (status, work) = (record.status(&places), places.work.join("look"));
        remove::remove_tree(&work)?;
        let cut = Cut {
            engine: self,
            places,
            record,
            status,
            work: work.clone(),
            takes,
            parents: Vec::new(),
            tracks: Tracks::Nothing,
        };
        let images = cut.status.containers.iter().map(|it| (it.name.clone(), cut.images(it)));
        let dump = AnotherDump { containers: images.collect(), work };
        let mut watch = Unwatched;
        let mut progress = Progress::new(&mut watch, self.host(), deadline);
        progress.step(Step::Dump);
        let dumped = cut.discard_pages().and_then(|()| cut.dump(&mut progress));
        let dumped = dumped.and_then(|_| cut.check_frozen(&progress));
        if dumped.is_err() {
            cut.freeze_again(&progress);
        }
        dumped.map(|()| dump).map_err(|error| progress.locate(error))
    }
}

impl Engine {
    /// Containers that are coming into a pod which runs have brought its System V objects, or these are
    /// none of theirs.
    fn looks_at(&self, places: &Places, pod: &str) -> Result<Takes, Error> {
        match Record::load(&places.joining(), pod) {
            Ok(joining) if joining.brought.objects.is_empty() => Ok(Takes::ImagesBesideObjects),
            Ok(_) | Err(Error::NoPod(_)) => Ok(Takes::Images),
            Err(error) => Err(error),
        }
    }
}

impl Cut<'_> {
    /// Lets pages go nowhere: whoever looks at memory looks at the tasks. So the dump needs no room
    /// for them, however large the pod is. CRIU opens each file of pages by its name and does nothing
    /// but write to it (criu/page-xfer.c); one for which there is no link is kept like all else.
    fn discard_pages(&self) -> Result<(), Error> {
        self.status.containers.iter().try_for_each(|container| self.discard_pages_of(container))
    }

    fn discard_pages_of(&self, container: &ContainerStatus) -> Result<(), Error> {
        let images = self.images(container);
        fs_err::create_dir_all(&images).about("make", &images)?;
        let tasks = cgroup::tasks(self.engine.host(), &container.cgroup)?;
        for number in 1..=tasks.len() + SHARED_OBJECTS {
            let pages = images.join(format!("pages-{number}.img"));
            symlink("/dev/null", &pages).about("link", &pages)?;
        }
        Ok(())
    }

    /// Freezes what a CRIU that failed may have left running. Its failure is the one to tell.
    fn freeze_again(&self, progress: &Progress<'_>) {
        let host = self.engine.host();
        for container in &self.status.containers {
            let _ = freeze::set(host, &container.cgroup, true);
        }
        let _ = self.check_frozen(progress);
    }
}

/// Nobody needs to know how far it is.
pub(crate) struct Unwatched;

impl Watch for Unwatched {
    fn step(&mut self, _: Step) {}

    fn phase(&mut self, _: PhaseReached<'_>) -> Decision {
        Decision::Continue
    }
}
