//! Engine children that stand ready. Starting a program takes a while under emulation, and a frozen
//! pod waits for the one that is to look at it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::Mark;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::order::Order;
use super::parent::{Child, Operation};
use crate::kmsg;
use crate::reaper::{Exit, Reaper};
use crate::sync::{Bell, lock};

/// So many stand ready: an operation takes one, and those that look at its pod, and at its images,
/// two more.
const READY: usize = 3;

/// How long a killed one may take to be gone.
const DEATH: Duration = Duration::from_secs(20);

/// Starts engine children, ahead of need, but not while a pod is frozen for an operation: starting
/// one would hold that up.
#[derive(Debug)]
pub(crate) struct Engines {
    reaper: Arc<Reaper>,
    bell: Arc<Bell>,
    ready: Mutex<Ready>,
}

#[derive(Debug, Default)]
struct Ready {
    children: Vec<Child>,
    working: Vec<Arc<Exit>>,
    wait_at: Option<Mark>,
    operations: usize,
    closed: bool,
}

impl Engines {
    /// None stands ready yet.
    pub(crate) fn new(reaper: Arc<Reaper>, bell: Arc<Bell>) -> Engines {
        Engines { reaper, bell, ready: Mutex::default() }
    }

    /// Gives an order to a child. `silence` is how long it may say nothing.
    pub(crate) fn begin(&self, order: Order, silence: Duration) -> anyhow::Result<Operation> {
        let child = std::iter::from_fn(|| lock(&self.ready).children.pop()).find(Child::lives);
        let child = child.map_or_else(|| self.start(), Ok)?;
        let mut ready = lock(&self.ready);
        ready.working.retain(|exit| exit.code().is_none());
        ready.working.push(Arc::clone(child.exit()));
        let wait_at = ready.wait_at;
        drop(ready);
        Operation::begin(child, &self.bell, order, wait_at, silence)
    }

    /// Operations wait at this mark from now on.
    pub(crate) fn wait_at(&self, mark: Option<Mark>) {
        lock(&self.ready).wait_at = mark;
    }

    /// Kills all engines that are at work, and nothing that they have started.
    pub(crate) fn end_all(&self) {
        let working = std::mem::take(&mut lock(&self.ready).working);
        for exit in working {
            if exit.code().is_none() {
                // It may end at this moment: there is nothing else that could go wrong.
                let _ = kill(Pid::from_raw(exit.pid()), Signal::SIGKILL);
                self.bell.until(DEATH, DEATH, || exit.code());
            }
        }
    }

    /// An operation is under way until the answer is dropped.
    pub(crate) fn operate(&self) -> Operating<'_> {
        lock(&self.ready).operations += 1;
        Operating(self)
    }

    /// Starts children until enough of them stand ready.
    pub(crate) fn refill(&self) {
        loop {
            let mut ready = lock(&self.ready);
            if ready.closed || ready.operations > 0 || ready.children.len() >= READY {
                return;
            }
            match self.start() {
                Ok(child) => ready.children.push(child),
                // Whoever needs one tries again, and tells.
                Err(error) => return kmsg::error(&format!("no engine stands ready: {error:#}")),
            }
        }
    }

    /// None stands ready from now on.
    pub(crate) fn close(&self) {
        let mut ready = lock(&self.ready);
        ready.closed = true;
        ready.children.clear();
    }

    fn start(&self) -> anyhow::Result<Child> {
        Child::start(&self.reaper, &self.bell)
    }
}

/// An operation is under way.
#[derive(Debug)]
pub(crate) struct Operating<'a>(&'a Engines);

impl Drop for Operating<'_> {
    fn drop(&mut self) {
        lock(&self.0.ready).operations -= 1;
    }
}
