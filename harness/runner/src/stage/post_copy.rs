//! Post-copy: a pod runs on another node while most of its memory is still on the first.
//!
//! Whoever reads a page has it brought, so a capture would bring all of them and nothing would be left
//! of what is to be tried. Therefore the verifier looks at a branch: a fork of all machines from the
//! moment before the pod runs. There it stands still until all pages have come by the same way, and
//! then it is held against capture A. The story itself goes on meanwhile, with nobody looking.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::{Pin, pin};

use futures::stream::{self, Stream, StreamExt};
use model::Activity;
use model::message::{
    Event as GuestEvent, GIVING_PORT, HandOver, Place, Reply, Request, RestoreReport,
};
use tokio::time::{Instant, sleep_until};
use vm::lab::Branch;
use vm::wire::Shape;
use vm::{Node, Operation};

use super::files::ARCHIVE;
use super::handover::{Told, told};
use super::{GRACE, NodeName, OPERATION, Reached, Stage, Stop, millis, unexpected};
use crate::event::Event;

/// How fast the wire is by which pages come: slow enough that the pod runs before they are there.
const WIRE: &str = "rate=20mbit";

/// Waits until no CRIU is left on a node whose pod stands still: the daemon ends when all pages came.
const ALL_CAME: &str = r#"
while grep -qs '/criu[^/]*$' /proc/[0-9]*/maps; do
    sleep 0.2
done
"#;

/// Freezes the CRIU that brings pages, so that none come while the branch is made.
const HOLD: &str = r#"
held=/sys/fs/cgroup/held
for maps in $(grep -ls '/criu[^/]*$' /proc/[0-9]*/maps); do
    pid=${maps#/proc/} pid=${pid%/maps}
    mkdir -p $held
    sed -n 's/^0:://p' "/proc/$pid/cgroup" > "/run/cryolab/held-$pid"
    echo "$pid" > $held/cgroup.procs
done
[ ! -d $held ] || echo 1 > $held/cgroup.freeze
"#;

/// Lets it go on, from where it was.
const LET_GO: &str = r#"
held=/sys/fs/cgroup/held
[ -d $held ] || exit 0
echo 0 > $held/cgroup.freeze
for pid in $(cat $held/cgroup.procs); do
    echo "$pid" > "/sys/fs/cgroup$(cat "/run/cryolab/held-$pid")/cgroup.procs"
done
rm -f /run/cryolab/held-*
rmdir $held
"#;

/// What of a restore is looked at later, on a branch.
#[derive(Debug, Default)]
pub(super) struct LookedAtLater {
    is_wanted: bool,
    branch: Option<Branch>,
    /// When the pod began to run on pages to come.
    began: Option<Instant>,
}

/// What the node tells that still has the pages.
type Serving = Pin<Box<dyn Stream<Item = (NodeName, Result<Told, vm::Error>)>>>;

impl Stage {
    /// Moves the pod to another node before its pages, which come while it runs there; returns when all
    /// have come. What came back is looked at (capture B) on a branch of the machines.
    ///
    /// # Errors
    /// When the engine, CRIU or a capture fails, or the pages do not come.
    pub async fn post_copy(&mut self, from: NodeName, to: NodeName) -> Result<(), Stop> {
        if self.reached == Reached::Restored {
            return Ok(());
        }
        if self.archived_on == Some(to) {
            return self.restore(to).await;
        }
        let (began, before) = (Instant::now(), self.carried(from, to)?);
        self.shape(from, to, WIRE)?;
        let mut serving = self.serve(from).await?;
        self.take_thin(&mut serving, from, to).await?;
        self.times.set("transfer", began.elapsed());
        let report = self.restore_lazily(&mut serving, from, to).await?;
        // Nobody has it any more: the pod is where all of its pages are.
        self.archived_on = None;
        self.shape(from, to, "clean")?;
        let bytes = self.carried(from, to)? - before;
        let (source, target) = (from.to_string(), to.to_string());
        let ms = millis(began.elapsed());
        self.emit(Event::HandedOver { cell: self.cell(), from: source, to: target, bytes, ms });
        self.restored(to, report).await?;
        self.look_at_branch(to).await
    }

    /// Lets wires in both directions fare like this.
    fn shape(&mut self, a: NodeName, b: NodeName, words: &str) -> Result<(), Stop> {
        let shape: Shape = match words {
            "clean" => Shape::default(),
            words => words.parse().map_err(|error| Stop::broken(format!("{words}: {error}")))?,
        };
        for (from, to) in [(a.0, b.0), (b.0, a.0)] {
            self.lab()?.switch().shape(from, to, shape).map_err(vm::Error::from)?;
        }
        let text = format!("the wire between {a} and {b} is {shape}");
        self.emit(Event::CellNote { cell: self.cell(), text });
        Ok(())
    }

    async fn serve(&mut self, from: NodeName) -> Result<Serving, Stop> {
        self.arm(from, Activity::Give).await?;
        let serve = HandOver::Serve { archive: PathBuf::from(ARCHIVE), port: GIVING_PORT };
        let mut serves = self.begin(from, serve).await?;
        // Whoever comes before it listens is turned away.
        match serves.next().await? {
            Some(event) => self.told_by(from, event).await?,
            None => return Err(Stop::broken("the giver ended before it listened")),
        }
        Ok(Box::pin(told(from, serves)))
    }

    async fn take_thin(
        &mut self,
        serving: &mut Serving,
        from: NodeName,
        to: NodeName,
    ) -> Result<(), Stop> {
        let from = self.address(from)?;
        self.arm(to, Activity::Take).await?;
        let takes = HandOver::TakeThin { from, archive: PathBuf::from(ARCHIVE) };
        let takes = self.begin(to, takes).await?;
        match self.beside(serving, to, takes).await? {
            Reply::Took { .. } => Ok(()),
            other => Err(unexpected("a hand-over before the pages", &other)),
        }
    }

    async fn restore_lazily(
        &mut self,
        serving: &mut Serving,
        from: NodeName,
        to: NodeName,
    ) -> Result<RestoreReport, Stop> {
        let (archive, from) = (PathBuf::from(ARCHIVE), self.address(from)?);
        self.load_policy(to).await?;
        self.arm(to, Activity::Restore).await?;
        let request = Request::RestoreLazily { archive, from, deadline_ms: millis(OPERATION) };
        let restores = self.guest(to)?.begin(request, OPERATION + GRACE).await?;
        self.later = LookedAtLater { is_wanted: true, ..LookedAtLater::default() };
        let reply = self.beside(serving, to, restores).await;
        self.later.is_wanted = false;
        if let Some(began) = self.later.began {
            self.times.set("post_copy", began.elapsed());
        }
        match reply? {
            Reply::Restore(report) => Ok(report),
            other => Err(unexpected("restore", &other)),
        }
    }

    /// Listens to an operation until it is over, and to the node that has the pages beside it. What goes
    /// wrong there is told when the operation has seen it too.
    async fn beside(
        &mut self,
        serving: &mut Serving,
        to: NodeName,
        operation: Operation,
    ) -> Result<Reply, Stop> {
        let mut trouble = None;
        let mut both = pin!(stream::select(serving, Box::pin(told(to, operation))));
        loop {
            let heals_at = self.heals_at;
            let heal = async {
                match heals_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                next = both.next() => next,
                () = heal => {
                    self.heal()?;
                    continue;
                }
            };
            match next {
                None => return Err(Stop::broken("an operation ended without an answer")),
                Some((name, Ok(Told::Event(event)))) => {
                    let done = self.hears(name, event).await;
                    match done {
                        Err(stop) if name == to => return Err(stop),
                        Err(stop) => trouble = Some(stop),
                        Ok(()) => {}
                    }
                }
                Some((name, Ok(Told::Over(reply)))) if name == to => {
                    self.capture_comes().await?;
                    self.heal()?;
                    return Ok(reply);
                }
                Some((_, Ok(Told::Over(_)))) => {}
                Some((name, Err(error))) if name == to => {
                    let stop = self.failed(name, error).await;
                    return Err(trouble.unwrap_or(stop));
                }
                Some((_, Err(error))) => trouble = Some(error.into()),
            }
        }
    }

    async fn hears(&mut self, name: NodeName, event: GuestEvent) -> Result<(), Stop> {
        let pages = model::Step::Pages.name();
        if matches!(&event, GuestEvent::Step { name, .. } if name == pages) {
            self.later.began = Some(Instant::now());
        }
        self.told(name, event).await
    }

    /// Leaves a branch on which the pod is looked at later, if that is wanted; false when it is to be
    /// looked at here and now. Where machines cannot be forked it is, once all pages are there.
    pub(super) async fn leave_branch(&mut self, name: NodeName) -> Result<bool, Stop> {
        if !self.later.is_wanted {
            return Ok(false);
        }
        self.on_node(name, HOLD).await?;
        let left = self.try_branch().await;
        self.on_node(name, LET_GO).await?;
        let Err(trouble) = left else { return Ok(true) };
        let text = format!("looked at here, once all pages are there: {trouble}");
        self.emit(Event::CellNote { cell: self.cell(), text });
        self.on_node(name, ALL_CAME).await?;
        Ok(false)
    }

    /// Leaves a branch, or says why there is none.
    async fn try_branch(&mut self) -> Result<(), String> {
        let lab = self.lab().map_err(|stop| stop.reason)?;
        if !lab.nodes().all(Node::is_fork) {
            return Err("these machines are no forks".to_owned());
        }
        let names: Vec<String> = lab.nodes().map(|node| node.name().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let branch = lab.branch(&names).await.map_err(|error| error.to_string())?;
        self.later.branch = Some(branch);
        Ok(())
    }

    /// Looks at the pod on the branch: there it stands still until all pages have come.
    async fn look_at_branch(&mut self, name: NodeName) -> Result<(), Stop> {
        let Some(branch) = self.later.branch.take() else { return Ok(()) };
        let fork = branch.fork(&self.folder().join("branch")).await?;
        let main = self.lab.replace(fork);
        let looked = self.look_there(name).await;
        if let Some(fork) = std::mem::replace(&mut self.lab, main) {
            fork.end().await;
        }
        looked
    }

    async fn look_there(&mut self, name: NodeName) -> Result<(), Stop> {
        self.on_node(name, LET_GO).await?;
        self.on_node(name, ALL_CAME).await?;
        self.look_after(name).await
    }

    async fn on_node(&self, name: NodeName, script: &str) -> Result<(), Stop> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let (place, env) = (Place::Node, BTreeMap::new());
        let run = Request::Run { place, command, env, deadline_ms: millis(OPERATION) };
        match self.guest(name)?.request(run, OPERATION + GRACE).await? {
            Reply::Exited { code: 0, .. } => Ok(()),
            other => Err(unexpected("a script", &other)),
        }
    }
}
