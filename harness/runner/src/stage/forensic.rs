//! Checkpoints of a pod that is not to notice them, and what becomes of copies of them elsewhere.
//!
//! Two are taken. At the first nobody looks into the pod while it stands still, so its stall is the
//! engine's alone; the second is captured like any other checkpoint. Copies of both go over the wire
//! to another node, under names by which no pod is owned.

use std::path::PathBuf;
use std::time::Duration;

use model::message::{Afterwards, Destination, GIVING_PORT, HandOver, Place, Reply, Request};
use model::{Step, pack};
use tokio::time::Instant;

use super::files::ARCHIVE;
use super::{GRACE, NodeName, OPERATION, REQUEST, Stage, Stop, millis, unexpected};
use crate::event::Event;

/// The first checkpoint on its node.
const EARLIER: &str = "/data/earlier.tar.zst";

/// The copies on the other node: of the first and of the second checkpoint.
const EARLIER_COPY: &str = "/data/copy-of-earlier.tar.zst";
const COPY: &str = "/data/copy-of-checkpoint.tar.zst";

/// Most bytes of an analysis.
const MOST_BYTES: usize = 256 << 20;

impl Stage {
    /// Takes a checkpoint of the pod, which runs on. Nobody looks at it meanwhile: how long it stood
    /// still is told as `stall`.
    ///
    /// # Errors
    /// When the engine or CRIU fails.
    pub async fn checkpoint_unseen(&mut self, name: NodeName) -> Result<(), Stop> {
        self.unseen = true;
        let report = self.take(name, EARLIER, Afterwards::Run).await;
        self.unseen = false;
        let report = report?;
        let step = |name: &str| self.steps.get(name).copied().unwrap_or_default();
        let stall = Duration::from_nanos(
            step(Step::RunOn.name()).saturating_sub(step(Step::Freeze.name())),
        );
        self.times.set("stall", stall);
        self.fetch_logs(name, &report.work).await
    }

    /// Takes a checkpoint of the pod, which runs on, with capture A like any other.
    ///
    /// # Errors
    /// When the engine, CRIU, the capture or a hook fails.
    pub async fn checkpoint_running(&mut self, name: NodeName) -> Result<(), Stop> {
        let report = self.take(name, ARCHIVE, Afterwards::Run).await?;
        self.times.has_no_downtime();
        self.checkpointed(name, report).await
    }

    /// Copies both checkpoints over the wire to another node; they stay where they are.
    ///
    /// # Errors
    /// When one of the nodes is not sound, or a copy does not come over in time.
    pub async fn copy_checkpoints(&mut self, from: NodeName, to: NodeName) -> Result<(), Stop> {
        let began = Instant::now();
        let before = self.carried(from, to)?;
        for (archive, copy) in [(EARLIER, EARLIER_COPY), (ARCHIVE, COPY)] {
            self.copy(from, archive, to, copy).await?;
        }
        self.times.set("transfer", began.elapsed());
        let bytes = self.carried(from, to)? - before;
        let (from, to, ms) = (from.to_string(), to.to_string(), millis(began.elapsed()));
        self.emit(Event::CheckpointsCopied { cell: self.cell(), from, to, bytes, ms });
        Ok(())
    }

    pub(super) async fn copy(
        &mut self,
        from: NodeName,
        archive: &str,
        to: NodeName,
        copy: &str,
    ) -> Result<(), Stop> {
        let address = self.address(from)?;
        let lend = HandOver::Lend { archive: PathBuf::from(archive), port: GIVING_PORT };
        let mut lends = self.begin(from, lend).await?;
        // Whoever comes before it listens is turned away.
        match lends.next().await? {
            Some(event) => self.told_by(from, event).await?,
            None => return Err(Stop::broken("the lender ended before it listened")),
        }
        let copies = HandOver::Copy { from: address, copy: PathBuf::from(copy) };
        let copies = self.begin(to, copies).await?;
        self.until_over([(from, lends), (to, copies)]).await
    }

    /// Has a node look into the copy of the second checkpoint, for what the workload names, and at
    /// what changed since the first. Returns what it found, as JSON; the guest is not trusted.
    ///
    /// # Errors
    /// When the archive is refused.
    pub async fn analyse(&mut self, name: NodeName) -> Result<String, Stop> {
        let began = Instant::now();
        let request = Request::Analyse {
            archive: PathBuf::from(COPY),
            against: Some(PathBuf::from(EARLIER_COPY)),
            wanted: self.workload().forensic.clone(),
        };
        let bytes = self.guest(name)?.fetch(request, MOST_BYTES, OPERATION + GRACE).await?;
        let json: String = pack::unpack(&bytes, MOST_BYTES)
            .map_err(|error| Stop::broken(format!("the analysis on {name}: {error}")))?;
        self.times.set("analysis", began.elapsed());
        Ok(json)
    }

    /// Restores the copy of the second checkpoint, captures it (B) before it runs, and lets it run.
    /// The pod that it is a copy of stays the one that the story is about.
    ///
    /// # Errors
    /// When the engine, CRIU, the capture or a hook fails, or the copy is not what it was before.
    pub async fn restore_evidence(&mut self, name: NodeName) -> Result<(), Stop> {
        let before = self.digest(name).await?;
        let original = self.pod.clone();
        let (archive, deadline_ms) = (PathBuf::from(COPY), millis(OPERATION));
        let request = Request::Restore { archive, destination: Destination::Same, deadline_ms };
        let restored = self.restore_by(name, request).await;
        self.pod = original;
        restored?;
        let after = self.digest(name).await?;
        if before != after {
            return Err(Stop::failed(format!("the copy on {name} was {before}, is {after}")));
        }
        Ok(())
    }

    /// SHA-256 of the copy of the second checkpoint.
    async fn digest(&self, name: NodeName) -> Result<String, Stop> {
        let run = Request::Run {
            place: Place::Node,
            command: ["/usr/bin/sha256sum", COPY].map(str::to_owned).to_vec(),
            env: Default::default(),
            deadline_ms: millis(REQUEST),
        };
        match self.guest(name)?.request(run, REQUEST + GRACE).await? {
            Reply::Exited { code: 0, stdout, .. } => {
                let said = String::from_utf8_lossy(&stdout).into_owned();
                Ok(said.split_whitespace().next().unwrap_or_default().to_owned())
            }
            other => Err(unexpected("the digest of an archive", &other)),
        }
    }

    /// Ends a pod on a node where a copy of it was restored.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn remove_evidence(&mut self, name: NodeName) -> Result<(), Stop> {
        let request = Request::Remove { pod: self.pod_name()? };
        match self.guest(name)?.request(request, REQUEST + GRACE).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected("removing a pod", &other)),
        }
    }

    /// Writes a file into the cell's folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, name: &str, content: &str) -> Result<(), Stop> {
        Ok(fs_err::write(self.folder().join(name), content)?)
    }
}
