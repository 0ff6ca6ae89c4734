//! Pre-copy: rounds of memory go to another node while the pod runs, so that its checkpoint has little
//! left to carry.

use std::path::PathBuf;

use model::Activity;
use model::message::{Reply, Request, RoundReport};
use tokio::time::Instant;

use super::files::ARCHIVE;
use super::{NodeName, OPERATION, Reached, Stage, Stop, millis, unexpected};
use crate::event::{Event, Round};

impl Stage {
    /// Takes rounds of the pod's memory, and carries each over the wire to another node, until the
    /// engine says that another would gain nothing. The pod runs on; its checkpoint builds on them.
    ///
    /// # Errors
    /// When the engine or CRIU fails, or a round does not come over in time.
    pub async fn pre_copy(&mut self, from: NodeName, to: NodeName) -> Result<(), Stop> {
        if self.reached >= Reached::Checkpointed {
            return Ok(());
        }
        self.arm(from, Activity::PreDump).await?;
        let began = Instant::now();
        loop {
            let report = self.take_round(from).await?;
            let last = report.last.is_some();
            self.carry(from, to, report).await?;
            if last {
                break;
            }
        }
        self.times.set("pre_copy", began.elapsed());
        Ok(())
    }

    async fn take_round(&mut self, name: NodeName) -> Result<RoundReport, Stop> {
        let request = Request::PreDump {
            pod: self.pod_name()?,
            archive: PathBuf::from(ARCHIVE),
            deadline_ms: millis(OPERATION),
        };
        match self.operate(name, request).await? {
            Reply::Round(report) => Ok(report),
            other => Err(unexpected("a round", &other)),
        }
    }

    async fn carry(
        &mut self,
        from: NodeName,
        to: NodeName,
        report: RoundReport,
    ) -> Result<(), Stop> {
        let began = Instant::now();
        let before = self.carried(from, to)?;
        let archive = report.archive.display().to_string();
        self.copy(from, &archive, to, &archive).await?;
        let round = Round {
            number: report.number,
            pages: report.pages,
            archive_bytes: report.archive_bytes,
            bytes: self.carried(from, to)? - before,
            dump_ms: report.dump_us / 1000,
            archive_ms: report.archive_us / 1000,
            carry_ms: millis(began.elapsed()),
            last: report.last,
        };
        self.emit(Event::PreCopied { cell: self.cell(), round });
        Ok(())
    }
}
