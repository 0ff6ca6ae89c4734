//! The end of a cell: outcome, how it stands, and what stays of it.

use std::time::Duration;

use vm::lab::Lab;

use super::{Keep, Stage, Stand, Stop};
use crate::event::End;
use crate::expectations::{self, Came};
use crate::verdict::{
    Difference, Judged, Level, LevelVerdict, Outcome, Standing, Trouble, in_words,
};

/// How long bringing home what is kept may take; the verdict does not wait for it for ever.
const KEEP: Duration = Duration::from_secs(120);

/// What a story came to, before it is held against what is known.
struct Ending {
    outcome: Outcome,
    reason: String,
    trouble: Option<Box<Trouble>>,
    declared: bool,
}

/// The pod was lost with its power, as it would have been anyway, and nothing is left of it.
fn nothing_to_restore() -> Ending {
    let reason = "the power went before the checkpoint was committed: nothing to restore";
    let (outcome, reason) = (Outcome::Equivalent, reason.to_owned());
    Ending { outcome, reason, trouble: None, declared: false }
}

impl Stage {
    /// Ends the cell: holds its outcome against what is known, brings home what is to be kept,
    /// and takes every node down.
    pub async fn end(mut self, story: Result<(), Stop>) -> End {
        let mut came = self.came(story);
        let differences: Vec<Difference> =
            self.levels.values().flat_map(|level| level.differences.clone()).collect();
        let stand = self.stand(&came, &differences);
        if let Some(missed) = &stand.missed {
            came.reason.clone_from(missed);
        }
        let leave = self.is_left(stand.standing);
        if let Err(stop) = self.put_away(came.outcome, stand.standing, leave).await {
            came.trouble.get_or_insert_default().incomplete = Some(stop.reason);
        }
        match self.lab.take() {
            Some(lab) if leave => {
                *self.setting.left.borrow_mut() = Some((self.setting.cell.clone(), lab));
            }
            Some(lab) => lab.end().await,
            None => {}
        }
        End {
            outcome: came.outcome,
            expected: stand.expected,
            standing: stand.standing,
            reason: came.reason,
            trouble: came.trouble.map(|trouble| *trouble),
            times_ms: self.times.in_ms(),
            artifacts: self.artifacts(),
        }
    }

    fn came(&self, story: Result<(), Stop>) -> Ending {
        let judged = |level| {
            self.levels.get(&level).is_some_and(|it: &LevelVerdict| it.outcome != Judged::NotRun)
        };
        let stop = match story {
            Ok(()) if self.nothing_left => return nothing_to_restore(),
            Ok(()) if judged(Level::Kernel) && judged(Level::Memory) => return self.compared(),
            Ok(()) => Stop::broken("the story came to its end without a comparison"),
            Err(stop) => stop,
        };
        let Stop { outcome, reason, mut trouble, declared } = stop;
        if outcome == Outcome::Broken && trouble.console_tail.is_empty() {
            let nodes = self.lab.iter().flat_map(Lab::nodes);
            trouble.console_tail = nodes.flat_map(vm::Node::console_tail).collect();
        }
        Ending { outcome, reason, trouble: Some(trouble), declared }
    }

    fn compared(&self) -> Ending {
        let all: Vec<&Difference> =
            self.levels.values().flat_map(|level| &level.differences).collect();
        let outcome = if all.is_empty() { Outcome::Equivalent } else { Outcome::Diverged };
        Ending { outcome, reason: in_words(all), trouble: None, declared: false }
    }

    fn stand(&self, came: &Ending, differences: &[Difference]) -> expectations::Stand {
        if came.declared || self.nothing_left {
            return expectations::Stand {
                expected: came.outcome,
                standing: Standing::Expected,
                missed: None,
            };
        }
        let before = self.facts_before();
        let came =
            Came { outcome: came.outcome, reason: &came.reason, differences, before: &before };
        self.setting.expectations.stand(self.subject(), came)
    }

    /// Whether the nodes of this cell are the ones that are left running.
    fn is_left(&self, standing: Standing) -> bool {
        let wanted = match self.setting.stand {
            Stand::Never => false,
            Stand::Failed => standing != Standing::Expected,
            Stand::Always => true,
        };
        let runs = self.lab.as_ref().is_some_and(|lab| lab.nodes().next().is_some());
        wanted && runs && self.setting.left.borrow().is_none()
    }

    /// Brings home what is kept and removes what is not; a node that is left keeps its disk.
    async fn put_away(
        &mut self,
        outcome: Outcome,
        standing: Standing,
        leave: bool,
    ) -> Result<(), Stop> {
        let keep = match self.setting.keep {
            Keep::Always => true,
            Keep::Failed => standing != Standing::Expected,
            Keep::Never => false,
        };
        self.write_differences()?;
        self.end_wires()?;
        if let (true, Some(node)) = (keep, self.archived_on) {
            let late = |_| Stop::broken(format!("the archive did not come within {KEEP:?}"));
            tokio::time::timeout(self.on_host(KEEP), self.fetch_archive(node))
                .await
                .map_err(late)??;
        }
        if !keep {
            self.remove_images()?;
        }
        if !leave && (!keep || outcome != Outcome::Broken) {
            self.remove_disks()?;
        }
        Ok(())
    }

    /// Removes the disks that were made for this cell alone. A node that still runs keeps its own
    /// open until it is taken down.
    fn remove_disks(&self) -> Result<(), Stop> {
        for disk in &self.disks {
            fs_err::remove_file(disk)?;
        }
        Ok(())
    }
}
