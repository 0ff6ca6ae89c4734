//! Openings: repeats of a cell begin where the first of them was ready.
//!
//! What comes before `ready` is the same in all of them. The first leaves a branch of its nodes there,
//! and the others go on from it: the same stories, with other timing.

use std::cell::RefCell;
use std::rc::Rc;

use model::pod::PodStatus;
use tokio::time::Instant;
use vm::Node;
use vm::lab::Branch;

use super::{NodeName, Stage, Stop, millis};
use crate::event::{Boot, Event, Start};

/// Shared by cells that differ in their timing only; the branch is gone with the last of them.
#[derive(Clone, Debug, Default)]
pub struct Opening(Rc<RefCell<Progress>>);

/// How far it has come.
#[derive(Debug, Default)]
enum Progress {
    /// Nobody is ready yet.
    #[default]
    Wanted,
    /// Somebody leaves a branch, or could not.
    Tried,
    There(Rc<Opened>),
}

/// Where they begin.
#[derive(Debug)]
pub(super) struct Opened {
    branch: Branch,
    pod: PodStatus,
    boots: Vec<Boot>,
}

impl Opening {
    fn get(&self) -> Option<Rc<Opened>> {
        match &*self.0.borrow() {
            Progress::There(opened) => Some(Rc::clone(opened)),
            Progress::Wanted | Progress::Tried => None,
        }
    }

    /// Whether this one is to leave a branch: nobody else does, and somebody is still to come.
    fn takes_turn(&self) -> bool {
        let is_wanted = matches!(&*self.0.borrow(), Progress::Wanted);
        let takes = is_wanted && Rc::strong_count(&self.0) > 1;
        if takes {
            self.0.replace(Progress::Tried);
        }
        takes
    }
}

impl Stage {
    /// Takes over what others have done before, if they have. To be called before the story begins,
    /// which tells it all the same: each verb finds its work done.
    ///
    /// # Errors
    /// When the branch cannot be forked.
    pub async fn open(&mut self) -> Result<(), Stop> {
        let Some(opened) = self.setting.opening.get() else { return Ok(()) };
        let began = Instant::now();
        self.lab = Some(opened.branch.fork(self.folder()).await?);
        self.times.set("fork", began.elapsed());
        self.opened = Some(opened);
        Ok(())
    }

    /// Whether nodes and wires are there already.
    pub(super) fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// A node that runs already, told as one that was started.
    pub(super) fn runs_already(&mut self, name: NodeName) -> Result<(), Stop> {
        let boots = self.opened.iter().flat_map(|opened| &opened.boots);
        let boot = boots.clone().find(|boot| boot.node == name.0).cloned();
        let boot = boot.ok_or_else(|| Stop::broken(format!("the branch has no node {name}")))?;
        self.starts.insert(name, boot.boot);
        let versions = (boot.kernel_release.clone(), boot.criu_version.clone());
        self.versions.get_or_insert(versions);
        let (cell, ms) = (self.cell(), millis(self.times.of("fork")));
        self.emit(Event::NodeStarted { cell, boot: Boot { start: Start::Branch, ..boot }, ms });
        Ok(())
    }

    /// The pod that is ready already.
    pub(super) fn opened_pod(&mut self) -> Option<PodStatus> {
        self.opened.take().map(|opened| opened.pod.clone())
    }

    /// The workload is ready: leaves a branch of all nodes, if that is wanted and machines can be
    /// forked here. Without one, each of the others begins by itself.
    pub(super) async fn leave_opening(&mut self) -> Result<(), Stop> {
        let forks = self.lab()?.nodes().all(Node::is_fork);
        if !forks || !self.setting.opening.takes_turn() {
            return Ok(());
        }
        let (pod, boots) = (self.pod()?.clone(), self.boots.clone());
        let lab = self.lab()?;
        let names: Vec<String> = lab.nodes().map(|node| node.name().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = match lab.branch(&names).await {
            Ok(branch) => {
                let opened = Rc::new(Opened { branch, pod, boots });
                self.setting.opening.0.replace(Progress::There(opened));
                "the next repeats go on from here".to_owned()
            }
            // The nodes go on; whether they are sound is seen at the next request.
            Err(error) => format!("each repeat begins by itself, without a branch: {error}"),
        };
        self.emit(Event::CellNote { cell: self.cell(), text });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leaves_a_branch_if_anybody_is_still_to_come() {
        let alone = Opening::default();
        assert!(!alone.takes_turn());
        let first = Opening::default();
        let others = [first.clone(), first.clone()];
        assert!(first.takes_turn(), "the others wait");
        assert!(others.iter().all(|it| !it.takes_turn() && it.get().is_none()));
    }
}
