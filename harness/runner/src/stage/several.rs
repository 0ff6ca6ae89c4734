//! Several pods of a workload on one node, each with a checkpoint of its own. What is asked and judged
//! is one of them at a time.

use model::Capture;
use model::message::{Afterwards, Destination};
use model::pod::{PodIdentity, PodStatus};

use super::copies::restore_from;
use super::images::Images;
use super::{NodeName, Reached, Stage, Stop};

/// How many pods there are.
const PODS: u16 = 3;

/// What is known of a pod while another one is asked.
#[derive(Debug, Default)]
pub(super) struct Aside {
    pod: Option<PodStatus>,
    before: Option<Capture>,
    images: Images,
}

impl Stage {
    /// Who the pods of a whole node are.
    #[must_use]
    pub fn pods(&self) -> Vec<PodIdentity> {
        (1..=PODS).map(|number| self.workload().copy(number)).collect()
    }

    /// Starts one pod beside others; see [`Stage::start`].
    ///
    /// # Errors
    /// As there.
    pub async fn start_pod_of(&mut self, name: NodeName, pod: &PodIdentity) -> Result<(), Stop> {
        self.reached = Reached::Nothing;
        (self.was, self.identity) = (Some(pod.clone()), Some(pod.clone()));
        self.start(name).await?;
        self.put_aside(pod);
        Ok(())
    }

    /// Takes the checkpoint of one pod; see [`Stage::checkpoint`].
    ///
    /// # Errors
    /// As there.
    pub async fn checkpoint_of(&mut self, name: NodeName, pod: &PodIdentity) -> Result<(), Stop> {
        self.take_up(pod)?;
        let report = self.take(name, &archive(pod), Afterwards::Remove).await?;
        self.archives.insert(archive(pod));
        self.checkpointed(name, report).await?;
        // They come back at a time of their own each.
        self.times.has_no_downtime();
        self.put_aside(pod);
        Ok(())
    }

    /// Restores one pod; see [`Stage::restore`].
    ///
    /// # Errors
    /// As there.
    pub async fn restore_of(&mut self, name: NodeName, pod: &PodIdentity) -> Result<(), Stop> {
        self.take_up(pod)?;
        self.restore_by(name, restore_from(&archive(pod), Destination::Same)).await?;
        self.restored_copies.insert(pod.name.clone(), self.pod()?.clone());
        Ok(())
    }

    fn put_aside(&mut self, pod: &PodIdentity) {
        let aside = Aside {
            pod: self.pod.take(),
            before: self.before.take(),
            images: std::mem::take(&mut self.images),
        };
        self.aside.insert(pod.name.clone(), aside);
    }

    fn take_up(&mut self, pod: &PodIdentity) -> Result<(), Stop> {
        let unknown =
            || Stop::broken(format!("the story turns to {}, which is not there", pod.name));
        let Aside { pod: status, before, images } =
            self.aside.remove(&pod.name).ok_or_else(unknown)?;
        (self.pod, self.before, self.images) = (status, before, images);
        (self.was, self.identity) = (Some(pod.clone()), Some(pod.clone()));
        Ok(())
    }
}

/// The archive of one of several pods, on the node's disk that survives.
fn archive(pod: &PodIdentity) -> String {
    format!("/data/checkpoint-{}.tar.zst", pod.name)
}
