//! What an operation tells while it runs, and its deadline.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::message::Decision;
use model::{Mark, Phase, Side, Step};

use crate::error::Error;
use crate::host::Host;

/// Is told what an operation does, and decides at each phase how it goes on.
pub trait Watch {
    /// A step begins.
    fn step(&mut self, step: Step);
    /// A step is about to be done, or is done. Whoever wants can wait here, outside the operation's
    /// deadline.
    fn mark(&mut self, _: Mark) {}
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
    steps: Steps,
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
            steps: Steps::default(),
            passed: None,
        }
    }

    /// Says where CRIU's log and images will be.
    pub(crate) fn work_in(&mut self, work: &Path) {
        self.work = work.to_path_buf();
    }

    /// A step begins; the one before is done.
    pub(crate) fn step(&mut self, step: Step) {
        let before = self.host.now();
        self.steps.begin(step, self.watch);
        self.waited += self.host.now() - before;
    }

    /// The step is done, before the next begins.
    pub(crate) fn done(&mut self) {
        let before = self.host.now();
        self.steps.end(self.watch);
        self.waited += self.host.now() - before;
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
                seen: format!("step {}", self.steps.name()),
            }),
        }
    }

    /// An error with the place at which it happened.
    pub(crate) fn locate(&self, source: Error) -> Error {
        match source {
            Error::Step { .. } => source,
            source => Error::Step {
                step: self.steps.name(),
                phase: self.passed,
                work: self.work.clone(),
                source: Box::new(source),
            },
        }
    }
}

/// The steps of an operation, each of which has two sides.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    last: Option<Step>,
    is_open: bool,
}

impl Steps {
    /// A step begins; the one before is done.
    pub(crate) fn begin(&mut self, step: Step, watch: &mut dyn Watch) {
        self.end(watch);
        (self.last, self.is_open) = (Some(step), true);
        watch.step(step);
        watch.mark(Mark { step, side: Side::Before });
    }

    /// The step is done.
    pub(crate) fn end(&mut self, watch: &mut dyn Watch) {
        if let (Some(step), true) = (self.last, self.is_open) {
            self.is_open = false;
            watch.mark(Mark { step, side: Side::After });
        }
    }

    fn name(&self) -> &'static str {
        self.last.map_or("begin", Step::name)
    }
}
