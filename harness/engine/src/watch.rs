//! What an operation tells while it runs, and its deadline.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Phase;
use model::message::Decision;

use crate::error::Error;
use crate::host::Host;

/// Is told what an operation does, and decides at each phase how it goes on.
pub trait Watch {
    /// A named step begins.
    fn step(&mut self, name: &str);
    /// A phase is reached; the operation waits for the decision, outside its deadline.
    fn phase(&mut self, reached: PhaseReached<'_>) -> Decision;
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug)]
pub struct PhaseReached<'a> {
    /// The phase.
    pub phase: Phase,
    /// Node pids of the main container's tasks in the order of their pids in the container, where
    /// they exist.
    pub pids: &'a [i32],
    /// The folder of the main container's CRIU images, where it exists.
    pub images: Option<&'a Path>,
}

/// How far an operation has come.
pub(crate) struct Progress<'a> {
    watch: &'a mut dyn Watch,
    host: &'a dyn Host,
    work: PathBuf,
    limit: Duration,
    began: Duration,
    waited: Duration,
    step: &'static str,
    passed: Option<Phase>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(watch: &'a mut dyn Watch, host: &'a dyn Host, limit: Duration) -> Self {
        Progress {
            watch,
            host,
            work: PathBuf::new(),
            limit,
            began: host.now(),
            waited: Duration::ZERO,
            step: "begin",
            passed: None,
        }
    }

    /// Says where CRIU's log and images will be.
    pub(crate) fn work_in(&mut self, work: &Path) {
        self.work = work.to_path_buf();
    }

    /// A step begins.
    pub(crate) fn step(&mut self, name: &'static str) {
        self.step = name;
        self.watch.step(name);
    }

    /// Tells a phase and waits.
    ///
    /// # Errors
    /// [`Error::Aborted`] when the watcher gave up.
    pub(crate) fn phase(
        &mut self,
        phase: Phase,
        pids: &[i32],
        images: Option<&Path>,
    ) -> Result<(), Error> {
        let before = self.host.now();
        let decision = self.watch.phase(PhaseReached { phase, pids, images });
        self.waited += self.host.now() - before;
        self.passed = Some(phase);
        match decision {
            Decision::Continue => Ok(()),
            Decision::Abort => Err(Error::Aborted(phase)),
        }
    }

    /// Time since the operation began, without the waits at phases.
    pub(crate) fn elapsed(&self) -> Duration {
        self.host.now() - self.began - self.waited
    }

    /// Time that is left.
    ///
    /// # Errors
    /// When none is.
    pub(crate) fn left(&self) -> Result<Duration, Error> {
        match self.limit.checked_sub(self.elapsed()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(Error::Deadline {
                what: "the operation".to_owned(),
                limit: self.limit,
                seen: format!("step {}", self.step),
            }),
        }
    }

    /// An error with the place at which it happened.
    pub(crate) fn locate(&self, source: Error) -> Error {
        match source {
            Error::Step { .. } => source,
            source => Error::Step {
                step: self.step,
                phase: self.passed,
                work: self.work.clone(),
                source: Box::new(source),
            },
        }
    }
}
