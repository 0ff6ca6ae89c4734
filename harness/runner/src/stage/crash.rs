//! Crash cells: a fault strikes at one side of one step, order is brought into what is left, and the
//! story is told again from where that leaves it.
//!
//! The promise that is checked: before the commit of a checkpoint a fault loses what it loses anyway,
//! and leaves nothing half; from then on the pod is on exactly one node, running or as an archive.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use model::message::{Place, Recovered, Reply, Request};
use model::pod::PodStatus;
use model::{Activity, Mark, Side, Step};
use tokio::time::Instant;
use vm::lab::Lab;

use super::files::ARCHIVE;
use super::phases::last_line;
use super::{GRACE, NodeName, REQUEST, Reached, Stage, Stop, millis, unexpected};
use crate::crash::{Crash, Fault};
use crate::event::{Event, Start};

/// How long bringing order into a node may take.
const RECOVERY: Duration = Duration::from_secs(150);

/// How long a wire stays cut: longer than either side of a hand-over waits for the other before it
/// tries another connection.
const CUT: Duration = Duration::from_secs(25);

/// The kernel's words for a full disk: whoever refuses to go on for that must say so.
const NO_SPACE: &str = "No space left on device";

/// Fills the disk to the last block, without writing to it.
const FILL: &str = r#"
offset=0 size=2147483648
while [ $size -ge 4096 ]; do
    if fallocate -o $offset -l $size /data/filler 2>/dev/null; then
        offset=$((offset + size))
    else
        size=$((size / 2))
    fi
done
sync /data
"#;

/// Kills the CRIU that an engine has started. It has no command line of its own any more, and tasks
/// that it makes are children of the engine too, in other pid namespaces.
const KILL_CRIU: &str = r#"
here=$(readlink /proc/$1/ns/pid)
children=$(cat /proc/$1/task/*/children)
# The daemon that brings pages is a child of its guard.
for child in $children $(for child in $children; do cat /proc/$child/task/*/children; done); do
    if grep -q '/criu[^/]*$' /proc/$child/maps && [ "$(readlink /proc/$child/ns/pid)" = "$here" ]; then
        exec kill -9 $child
    fi
done
echo "no CRIU among the children of engine $1" >&2
exit 1
"#;

/// What is there when order was brought into all nodes.
struct Found {
    pods: Vec<(NodeName, PodStatus)>,
    archives: Vec<NodeName>,
    given: Vec<NodeName>,
}

impl Stage {
    /// Lets an operation wait where the fault of this cell is to strike, if it is one of its steps.
    pub(super) async fn arm(&self, node: NodeName, activity: Activity) -> Result<(), Stop> {
        let Some(crash) = self.setting.cell.crash.as_ref().filter(|_| !self.is_struck) else {
            return Ok(());
        };
        if crash.mark.step.activity() == activity {
            let request = Request::WaitAt { mark: Some(crash.mark) };
            self.guest(node)?.request(request, REQUEST).await?;
        }
        Ok(())
    }

    /// The operation waits: the fault strikes.
    pub(super) async fn strike(
        &mut self,
        node: NodeName,
        mark: Mark,
        engine: i32,
    ) -> Result<(), Stop> {
        let crash = self.setting.cell.crash.clone();
        let crash = crash.filter(|crash| crash.mark == mark && !self.is_struck);
        let uncalled =
            || Stop::broken(format!("node {node} waits {mark}, where nobody told it to"));
        let crash = crash.ok_or_else(uncalled)?;
        // What was seen before is what the pod was.
        self.capture_comes().await?;
        let target = self.struck_node(&crash, node)?;
        self.emit(Event::Struck {
            cell: self.cell(),
            node: target.to_string(),
            what: crash.to_string(),
        });
        match crash.fault {
            Fault::Power => self.lab()?.power_cut(target.0).await?,
            Fault::KillEngine => self.must(node, "kill -9 \"$1\"", engine).await?,
            Fault::KillCriu => self.must(node, KILL_CRIU, engine).await?,
            Fault::FullDisk => self.must(target, FILL, 0).await?,
            Fault::CutWire => self.cut_for_a_while()?,
        }
        self.is_struck = true;
        match crash.fault {
            Fault::Power if target == node => {
                Err(Stop::failed(format!("the power of {node} went")))
            }
            _ => Ok(()),
        }
    }

    fn struck_node(&self, crash: &Crash, node: NodeName) -> Result<NodeName, Stop> {
        let Some(wanted) = &crash.node else { return Ok(node) };
        let of_name = self.starts.keys().copied().find(|name| name.0 == wanted);
        of_name.ok_or_else(|| Stop::broken(format!("this story has no node {wanted}")))
    }

    /// Cuts all wires but those of observers: what they see is to be judged.
    fn cut_for_a_while(&mut self) -> Result<(), Stop> {
        self.set_cut(true)?;
        self.heals_at = Some(Instant::now() + CUT);
        Ok(())
    }

    /// Heals what was cut, if anything was.
    pub(super) fn heal(&mut self) -> Result<(), Stop> {
        if self.heals_at.take().is_some() {
            self.set_cut(false)?;
        }
        Ok(())
    }

    fn set_cut(&mut self, is_cut: bool) -> Result<(), Stop> {
        let watching: Vec<&str> = self.observing.iter().map(|it| it.from.0).collect();
        let lab = self.lab.iter().flat_map(Lab::wires);
        let wires = lab.filter(|(a, b)| !watching.contains(a) && !watching.contains(b));
        let wires: Vec<_> = wires.map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
        for (a, b) in wires {
            for (from, to) in [(&a, &b), (&b, &a)] {
                let switch = self.lab()?.switch();
                let done = if is_cut { switch.cut(from, to) } else { switch.heal(from, to) };
                done.map_err(vm::Error::from)?;
            }
        }
        Ok(())
    }

    /// Runs a script on a node, with a number as its argument.
    async fn must(&self, node: NodeName, script: &str, number: i32) -> Result<(), Stop> {
        let command = ["/bin/sh", "-c", script, "crash", &number.to_string()].map(str::to_owned);
        let run = Request::Run {
            place: Place::Node,
            command: command.to_vec(),
            env: BTreeMap::new(),
            deadline_ms: millis(REQUEST),
        };
        match self.guest(node)?.request(run, REQUEST + GRACE).await? {
            Reply::Exited { code: 0, .. } => Ok(()),
            Reply::Exited { code, stdout, stderr } => {
                let said = last_line(&stderr, &stdout);
                Err(Stop::broken(format!("the fault at {node} ended by {code}{said}")))
            }
            other => Err(unexpected("a fault", &other)),
        }
    }

    /// What came of a story that a fault struck: brings order into all nodes, looks where the pod is,
    /// and checks that it is where it must be. True: the story is to be told again from there.
    ///
    /// # Errors
    /// When the fault never struck, there are two pods or none, or a node is not sound.
    pub async fn recover(&mut self, told: &Result<(), Stop>) -> Result<bool, Stop> {
        let Some(crash) = self.setting.cell.crash.clone() else {
            return told.clone().map(|()| false);
        };
        match told {
            _ if !self.is_struck => {
                told.clone()?;
                return Err(Stop::broken(format!("the story never came to `{}`", crash.mark)));
            }
            Ok(()) => {
                self.recovered("the operation went on");
                return Ok(false);
            }
            Err(stop) if crash.fault == Fault::FullDisk && !stop.reason.contains(NO_SPACE) => {
                let said = &stop.reason;
                return Err(Stop::failed(format!(
                    "the disk was full, and what was said is: {said}"
                )));
            }
            Err(stop) => {
                let text = format!("came to: {}", stop.reason);
                self.emit(Event::CellNote { cell: self.cell(), text });
            }
        }
        self.mend(&crash).await?;
        let found = self.find().await?;
        self.is_retold = true;
        self.stand_at(&crash, found)
    }

    /// Takes the fault away, as far as it lasts.
    async fn mend(&mut self, crash: &Crash) -> Result<(), Stop> {
        self.coming = None;
        self.heal()?;
        let names: Vec<NodeName> = self.starts.keys().copied().collect();
        for name in names {
            if self.guest(name).is_err() {
                self.start_node(name, Start::Boot).await?;
            } else {
                self.guest(name)?.request(Request::WaitAt { mark: None }, REQUEST).await?;
            }
            if crash.fault == Fault::FullDisk {
                self.must(name, "rm -f /data/filler", 0).await?;
            }
        }
        Ok(())
    }

    async fn find(&mut self) -> Result<Found, Stop> {
        let mut found = Found { pods: Vec::new(), archives: Vec::new(), given: Vec::new() };
        let names: Vec<NodeName> = self.starts.keys().copied().collect();
        for name in names {
            let archives = Path::new(ARCHIVE).parent().unwrap_or(Path::new("/")).to_path_buf();
            let request = Request::Recover { archives };
            let there = match self.guest(name)?.request(request, RECOVERY).await? {
                Reply::Recovered(there) => there,
                other => return Err(unexpected("recovery", &other)),
            };
            for text in &there.told {
                let text = format!("{name}: {text}");
                self.emit(Event::CellNote { cell: self.cell(), text });
            }
            found.add(name, there);
        }
        Ok(found)
    }

    /// Where the story stands now, if the promise holds.
    fn stand_at(&mut self, crash: &Crash, found: Found) -> Result<bool, Stop> {
        let owners = found.owners();
        if owners.len() > 1 || found.pods.len() > 1 {
            let owners: Vec<String> = owners.iter().map(ToString::to_string).collect();
            let owners = owners.join(" and ");
            return Err(Stop::failed(format!("after `{crash}` the pod is on {owners}")));
        }
        let was = self.reached;
        if let Some((_, pod)) = found.pods.into_iter().next() {
            let is_restored = was >= Reached::Checkpointed;
            self.reached = if is_restored { Reached::Restored } else { Reached::Started };
            self.pod = Some(pod);
            self.recovered(if is_restored { "the restored pod runs" } else { "the pod runs on" });
            return Ok(true);
        }
        if let Some(node) = found.archives.first() {
            self.archived_on = Some(*node);
            self.reached = Reached::Checkpointed;
            self.recovered("restored from its archive");
            return Ok(true);
        }
        if was >= Reached::Checkpointed && !found.given.is_empty() {
            self.recovered("restored from its archive, which was on its way");
            return Ok(true);
        }
        if was >= Reached::Checkpointed || !loses_anyway(crash) {
            return Err(Stop::failed(format!("after `{crash}` the pod is lost")));
        }
        self.nothing_left = true;
        self.recovered("nothing to restore");
        Ok(false)
    }

    fn recovered(&mut self, how: &str) {
        self.emit(Event::Recovered { cell: self.cell(), how: how.to_owned() });
    }
}

/// Whether a running pod is gone with the fault, whoever takes checkpoints of it: its power goes
/// before there is an archive.
fn loses_anyway(crash: &Crash) -> bool {
    let Mark { step, side } = crash.mark;
    let is_before = step < Step::Commit || (step == Step::Commit && side == Side::Before);
    crash.fault == Fault::Power && is_before
}

impl Found {
    fn add(&mut self, node: NodeName, there: Recovered) {
        self.pods.extend(there.pods.into_iter().map(|pod| (node, pod)));
        if there.archives.iter().any(|path| path == Path::new(ARCHIVE)) {
            self.archives.push(node);
        }
        if !there.given.is_empty() {
            self.given.push(node);
        }
    }

    /// Nodes on which the pod runs or can be restored.
    fn owners(&self) -> BTreeSet<NodeName> {
        self.pods.iter().map(|(node, _)| *node).chain(self.archives.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_power_takes_a_pod_along_and_only_before_the_commit() {
        let crash = |step, side, fault| Crash { mark: Mark { step, side }, fault, node: None };
        assert!(loses_anyway(&crash(Step::Commit, Side::Before, Fault::Power)));
        assert!(!loses_anyway(&crash(Step::Commit, Side::After, Fault::Power)));
        assert!(!loses_anyway(&crash(Step::Verify, Side::Before, Fault::Power)));
        assert!(!loses_anyway(&crash(Step::Gate, Side::Before, Fault::KillEngine)));
    }
}
