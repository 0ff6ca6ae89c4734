//! Openings: repeats of a cell begin where the first of them was ready.
//!
//! What comes before `ready` is the same in all of them. The first leaves a branch of its nodes there,
//! and the others go on from it: the same stories, with other timing.

use std::cell::RefCell;
use std::rc::Rc;

use model::pod::PodStatus;
use tokio::time::Instant;
use vm::lab::Branch;

use super::{NodeName, Stage, Stop, millis};
use crate::event::{Boot, Event, Start};

/// Shared by cells that differ in their timing only; the branch is gone with the last of them.
#[derive(Clone, Debug, Default)]
pub struct Opening(Rc<RefCell<Option<Rc<Opened>>>>);

/// Where they begin.
#[derive(Debug)]
pub(super) struct Opened {
    branch: Branch,
    pod: PodStatus,
    boots: Vec<Boot>,
}

impl Opening {
    fn get(&self) -> Option<Rc<Opened>> {
        self.0.borrow().clone()
    }

    /// Whether somebody is still to come who could begin here.
    fn is_wanted(&self) -> bool {
        self.get().is_none() && Rc::strong_count(&self.0) > 1
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

    /// The workload is ready: leaves a branch of all nodes, if that is wanted.
    pub(super) async fn leave_opening(&mut self) -> Result<(), Stop> {
        if !self.setting.opening.is_wanted() {
            return Ok(());
        }
        let pod = self.pod()?.clone();
        let boots = self.boots.clone();
        let lab = self.lab()?;
        let names: Vec<String> = lab.nodes().map(|node| node.name().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let branch = lab.branch(&names).await?;
        let text = "the next repeats go on from here".to_owned();
        self.emit(Event::CellNote { cell: self.cell(), text });
        *self.setting.opening.0.borrow_mut() = Some(Rc::new(Opened { branch, pod, boots }));
        Ok(())
    }
}
