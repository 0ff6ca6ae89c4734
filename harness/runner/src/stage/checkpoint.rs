//! Checkpoint and restore: operations of the engine that stop at phases.

use std::path::{Path, PathBuf};

use model::Activity;
use model::message::{
    Afterwards, CheckpointReport, Decision, Destination, Event as GuestEvent, Reply, Request,
    RestoreReport,
};
use vm::Operation;

use super::copies::restore_to;
use super::files::ARCHIVE;
use super::{GRACE, NodeName, OPERATION, Reached, Stage, Stop, millis, unexpected};
use crate::event::Event;

impl Stage {
    /// Freezes the pod, captures it (A), dumps it, and archives it on the disk that survives.
    ///
    /// # Errors
    /// When the engine, CRIU, the capture or a hook fails.
    pub async fn checkpoint(&mut self, name: NodeName) -> Result<(), Stop> {
        if self.reached >= Reached::Checkpointed {
            return Ok(());
        }
        self.arm(name, Activity::Checkpoint).await?;
        let report = self.take(name, ARCHIVE, Afterwards::Remove).await?;
        self.archives.insert(ARCHIVE.to_owned());
        self.checkpointed(name, report).await
    }

    /// Has the engine take a checkpoint.
    pub(super) async fn take(
        &mut self,
        name: NodeName,
        archive: &str,
        afterwards: Afterwards,
    ) -> Result<CheckpointReport, Stop> {
        let request = Request::Checkpoint {
            pod: self.pod_name()?,
            archive: PathBuf::from(archive),
            afterwards,
            deadline_ms: millis(OPERATION),
        };
        match self.operate(name, request).await? {
            Reply::Checkpoint(report) => Ok(report),
            other => Err(unexpected("checkpoint", &other)),
        }
    }

    pub(super) async fn checkpointed(
        &mut self,
        name: NodeName,
        report: CheckpointReport,
    ) -> Result<(), Stop> {
        self.archived_on = Some(name);
        self.reached = Reached::Checkpointed;
        self.times.set_us("freeze", report.freeze_us);
        self.times.set_us("dump", report.dump_us);
        self.times.set_us("archive", report.archive_us);
        self.emit(Event::Checkpointed {
            cell: self.cell(),
            sha256: report.archive_sha256,
            images_bytes: report.images_bytes,
            archive_bytes: report.archive_bytes,
            tasks: report.tasks,
        });
        self.fetch_logs(name, &report.work).await
    }

    /// Restores the pod from the archive, captures it (B) before it runs, and lets it run.
    ///
    /// # Errors
    /// When the engine, CRIU, the capture or a hook fails.
    pub async fn restore(&mut self, name: NodeName) -> Result<(), Stop> {
        if self.reached == Reached::Restored {
            return Ok(());
        }
        self.arm(name, Activity::Restore).await?;
        self.restore_by(name, restore_to(Destination::Same)).await
    }

    pub(super) async fn restore_by(
        &mut self,
        name: NodeName,
        request: Request,
    ) -> Result<(), Stop> {
        match self.operate(name, request).await? {
            Reply::Restore(report) => self.restored(name, report).await,
            other => Err(unexpected("restore", &other)),
        }
    }

    pub(super) async fn restored(
        &mut self,
        name: NodeName,
        report: RestoreReport,
    ) -> Result<(), Stop> {
        self.times.set_us("unpack", report.unpack_us);
        self.times.set_us("restore", report.restore_us);
        self.emit(Event::Restored { cell: self.cell(), tasks: report.tasks });
        self.reached = Reached::Restored;
        self.pod = Some(report.pod);
        self.fetch_logs(name, &report.work).await
    }

    /// Carries an operation through its phases. When something goes wrong at a phase, the engine
    /// is told to give up, and what went wrong first is what counts.
    pub(super) async fn operate(
        &mut self,
        name: NodeName,
        request: Request,
    ) -> Result<Reply, Stop> {
        if matches!(request, Request::Restore { .. }) {
            self.load_policy(name).await?;
        }
        let mut operation = self.guest(name)?.begin(request, OPERATION + GRACE).await?;
        loop {
            let event = match operation.next().await {
                Ok(Some(event)) => event,
                Ok(None) => {
                    self.capture_comes().await?;
                    self.heal()?;
                    return Ok(operation.finish()?);
                }
                Err(error) => return Err(self.failed(name, error).await),
            };
            if let Err(stop) = self.told(name, event).await {
                give_up(operation).await;
                return Err(stop);
            }
        }
    }

    pub(super) async fn told(&mut self, name: NodeName, event: GuestEvent) -> Result<(), Stop> {
        match event {
            GuestEvent::Step { name, at_ns } => {
                self.steps.insert(name.clone(), at_ns);
                self.emit(Event::Step { cell: self.cell(), name, at_ns });
                Ok(())
            }
            GuestEvent::Waits { mark, engine } => self.strike(name, mark, engine).await,
            GuestEvent::Phase { phase, pids, images, .. } => {
                self.at(name, phase, &pids, images.as_deref()).await
            }
            other => Err(Stop::broken(format!("node {name} tells {other:?}, out of place"))),
        }
    }

    /// The engine's failure, with CRIU's logs brought home as far as the node still answers.
    pub(super) async fn failed(&mut self, name: NodeName, error: vm::Error) -> Stop {
        // The failure itself says more than that its capture or its logs cannot be had.
        let _ = self.capture_comes().await;
        let work = error.failure().and_then(|failure| failure.work.clone());
        if let Some(work) = work {
            let _ = self.fetch_logs(name, Path::new(&work)).await;
            let _ = self.fetch_images(name, Path::new(&work)).await;
        }
        Stop::from(error)
    }
}

/// Tells the engine to give up and waits until it has.
async fn give_up(mut operation: Operation) {
    if operation.decide(Decision::Abort).await.is_ok() {
        while let Ok(Some(_)) = operation.next().await {}
    }
}
