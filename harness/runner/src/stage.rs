//! A stage: what a scenario plays on.
//!
//! A scenario tells its story by the verbs of [`Stage`]: boot a node, start the pod, checkpoint,
//! shut down, restore, compare, prove. The stage knows the cell and carries everything that each
//! verb brings along: events, hooks and captures at the phases, logs, times and evidence.

mod captures;
mod checkpoint;
mod compare;
mod copies;
mod crash;
mod end;
mod files;
mod forensic;
mod handover;
mod hygiene;
mod identity;
mod images;
pub(crate) mod neighbour;
mod nodes;
mod opening;
mod outside;
mod pages;
mod phases;
mod policy;
mod post_copy;
mod pre_copy;
mod prove;
mod several;
mod stop;
mod times;
mod wires;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::message::{Part, Ready, Reply, Request};
use model::pod::{PodIdentity, PodSpec, PodStatus};
use model::{Capture, Phase};
use tokio::time::Instant;
use vm::lab::Lab;
use vm::{Guest, Machine, Templates};

pub use self::opening::Opening;
pub use self::stop::Stop;
use self::times::Times;
pub use self::wires::Befall;
use crate::cell::Cell;
use crate::event::{Boot, Event};
use crate::expectations::Expectations;
use crate::hook::Hook;
use crate::sink::Sink;
use crate::verdict::{Difference, Level, LevelVerdict};
use crate::version::Versions;
use crate::workload::{ADDRESS, Workload};

/// How long a workload may take to be ready.
const READY: Duration = Duration::from_secs(180);

/// What a checkpoint or a restore may take by the engine's own deadline.
const OPERATION: Duration = Duration::from_secs(180);

/// What any other request may take.
const REQUEST: Duration = Duration::from_secs(60);

/// How much longer than the guest's own deadline its answer is waited for.
const GRACE: Duration = Duration::from_secs(30);

/// When the artefacts of a cell are kept that are large.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// When the cell is not equivalent.
    #[default]
    Failed,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// When the nodes of a cell are left running at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stand {
    /// In no case.
    #[default]
    Never,
    /// When the cell is not as expected.
    Failed,
    /// In any case.
    Always,
}

/// The nodes of a cell that are left running: those of the first that is to be.
pub type Left = Rc<RefCell<Option<(Cell, Lab)>>>;

/// A node of a story, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName(pub &'static str);

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Makes what a cell needs and cannot share with another.
pub trait Supply: fmt::Debug {
    /// Makes an empty filesystem in a sparse file.
    ///
    /// # Errors
    /// Why it cannot be made.
    fn data_disk(&self, path: &Path, mib: u64) -> Result<(), String>;

    /// Makes the binary policy of an AppArmor profile, for a kernel with the features that are told
    /// in a folder.
    ///
    /// # Errors
    /// Why it cannot be made.
    fn apparmor_policy(&self, profile: &Path, features: &Path) -> Result<Vec<u8>, String>;

    /// The static program that lives in a pod which runs already.
    fn neighbour(&self) -> PathBuf;
}

/// What a stage is made of.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The cell to play.
    pub cell: Cell,
    /// Its workload.
    pub workload: Rc<Workload>,
    /// Its machine, with the disks that nobody writes.
    pub machine: Machine,
    /// The machine to which the pod goes, where that is another one.
    pub target: Option<Machine>,
    /// What nodes are forked from.
    pub templates: Templates,
    /// Makes the disks that are written to.
    pub supply: Arc<dyn Supply>,
    /// Hooks of the user.
    pub hooks: Rc<[Hook]>,
    /// What is known to go wrong.
    pub expectations: Rc<Expectations>,
    /// Where it begins, together with others.
    pub opening: Opening,
    /// How many copies a story makes that makes copies.
    pub copies: u16,
    /// Whether the frames on all wires are captured.
    pub pcap: bool,
    /// Which artefacts stay.
    pub keep: Keep,
    /// When its nodes are left running.
    pub stand: Stand,
    /// Where they are left.
    pub left: Left,
    /// The cell's folder.
    pub folder: PathBuf,
    /// Where events go.
    pub sink: Sink,
}

/// How far a story has come, by what cannot be told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    /// There is no pod yet.
    Nothing,
    /// The pod runs and is filled.
    Started,
    /// Its archive is the pod.
    Checkpointed,
    /// It runs again.
    Restored,
}

/// What a scenario plays on.
#[derive(Debug)]
pub struct Stage {
    setting: Setting,
    disks: Vec<PathBuf>,
    lab: Option<Lab>,
    opened: Option<Rc<opening::Opened>>,
    starts: BTreeMap<NodeName, u32>,
    boots: Vec<Boot>,
    versions: Option<(String, String)>,
    pod: Option<PodStatus>,
    times: Times,
    before: Option<Capture>,
    after: Option<Capture>,
    coming: Option<captures::Coming>,
    later: post_copy::LookedAtLater,
    images: images::Images,
    pages: pages::Pages,
    levels: BTreeMap<Level, LevelVerdict>,
    tolerated: Vec<Difference>,
    not_offered: BTreeMap<String, String>,
    /// The node that has the archive.
    archived_on: Option<NodeName>,
    befalls: Vec<(Phase, Befall)>,
    things: hygiene::Things,
    observing: Vec<outside::Observing>,
    /// The node from which first answers are timed.
    answers_from: Option<NodeName>,
    /// How long copies took to answer, by name.
    answers: BTreeMap<String, Option<Duration>>,
    /// Copies that were restored, by name.
    restored_copies: BTreeMap<String, PodStatus>,
    /// Who the pod is, when it is not who it was.
    identity: Option<PodIdentity>,
    /// Who it was before the event, when that is not the workload's own pod.
    was: Option<PodIdentity>,
    /// The pod that it has come into, as that was just before.
    joined: Option<Capture>,
    /// Pods beside the one that is asked now, by name.
    aside: BTreeMap<String, several::Aside>,
    /// The archives on the disk that survives.
    archives: BTreeSet<String>,
    /// The policy that confines the pod, and whether it is loaded where the pod is to run.
    policy: policy::Policy,
    reached: Reached,
    /// The story is told again after a fault: each verb finds its work done, or does it.
    is_retold: bool,
    /// The fault of this cell has struck.
    is_struck: bool,
    /// When wires are to be healed that a fault has cut.
    heals_at: Option<Instant>,
    /// The pod was lost as it would have been anyway.
    nothing_left: bool,
    /// Whether phases pass by without captures and hooks.
    unseen: bool,
    /// When steps of the operation began, by the node's monotonic clock.
    steps: BTreeMap<String, u64>,
}

impl Stage {
    /// An empty stage.
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        Stage {
            setting,
            disks: Vec::new(),
            lab: None,
            opened: None,
            starts: BTreeMap::new(),
            boots: Vec::new(),
            versions: None,
            pod: None,
            times: Times::start(),
            before: None,
            after: None,
            coming: None,
            later: post_copy::LookedAtLater::default(),
            images: images::Images::default(),
            pages: pages::Pages::new(),
            levels: BTreeMap::new(),
            tolerated: Vec::new(),
            not_offered: BTreeMap::new(),
            archived_on: None,
            befalls: Vec::new(),
            things: hygiene::Things::new(),
            observing: Vec::new(),
            answers_from: None,
            answers: BTreeMap::new(),
            restored_copies: BTreeMap::new(),
            identity: None,
            was: None,
            joined: None,
            aside: BTreeMap::new(),
            archives: BTreeSet::new(),
            policy: policy::Policy::default(),
            reached: Reached::Nothing,
            is_retold: false,
            is_struck: false,
            heals_at: None,
            nothing_left: false,
            unseen: false,
            steps: BTreeMap::new(),
        }
    }

    /// The cell's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.setting.folder
    }

    /// The workload that plays.
    #[must_use]
    pub fn workload(&self) -> &Workload {
        &self.setting.workload
    }

    /// Why this cell need not be played at all: what its workload asks for is not there.
    #[must_use]
    pub fn refused(&self) -> Option<Stop> {
        let (cell, workload) = (&self.setting.cell, self.workload());
        if !workload.not_yet.is_empty() {
            let what = workload.not_yet.join(", ");
            let name = &workload.name;
            return Some(Stop::unsupported(format!(
                "workload {name} wants {what}: not yet possible"
            )));
        }
        let unmet = |what: &str, needs: &Option<Versions>, version: &str| {
            let needs = needs.as_ref().filter(|needs| !needs.contain(version))?;
            let name = &workload.name;
            let reason = format!("workload {name} needs {what} {needs}, this is {version}");
            Some(Stop::unsupported(reason).declared())
        };
        unmet("kernel", &workload.needs.kernel, &cell.kernel.version)
            .or_else(|| unmet("CRIU", &workload.needs.criu, &cell.criu.version))
    }

    /// Starts the pod, waits until its workload is ready, and lets the client fill it.
    ///
    /// # Errors
    /// When the pod does not start, is not ready in time, or its client or a hook fails.
    pub async fn start(&mut self, name: NodeName) -> Result<(), Stop> {
        if self.reached >= Reached::Started {
            return Ok(());
        }
        let guest = self.guest(name)?;
        match self.opened_pod() {
            Some(pod) => self.pod = Some(pod),
            None => {
                self.load_policy(name).await?;
                self.start_pod(&guest).await?;
            }
        }
        let pids = self.pids(&guest).await?;
        self.at(name, Phase::Ready, &pids, None).await?;
        self.fill(name).await?;
        self.reached = Reached::Started;
        Ok(())
    }

    async fn start_pod(&mut self, guest: &Guest) -> Result<(), Stop> {
        let began = Instant::now();
        let request = Request::Start { pod: self.spec() };
        match guest.request(request, REQUEST).await? {
            Reply::Pod(pod) => self.pod = Some(pod),
            other => return Err(unexpected("start", &other)),
        }
        for container in &self.workload().containers {
            let (pod, ready) = (self.pod_name()?, container.ready.clone());
            self.await_ready(guest, &pod, &container.name, ready).await?;
        }
        self.times.set("ready", began.elapsed());
        self.emit(Event::Ready { cell: self.cell(), ms: millis(began.elapsed()) });
        self.answer_cold(began).await?;
        self.leave_opening().await
    }

    /// Waits for the first answer of a pod that was just started, if that is to be timed.
    async fn answer_cold(&mut self, began: Instant) -> Result<(), Stop> {
        let Some(client) = self.answers_from else { return Ok(()) };
        self.bring_observer(client).await?;
        let observing = self.first_answer(client, &self.pod_address()).await?;
        self.times.set("first_answer_cold", began.elapsed());
        observing.end().await?;
        Ok(())
    }

    async fn await_ready(
        &self,
        guest: &Guest,
        pod: &str,
        container: &str,
        ready: Ready,
    ) -> Result<(), Stop> {
        let request = Request::AwaitReady {
            pod: pod.to_owned(),
            container: container.to_owned(),
            ready,
            deadline_ms: millis(READY),
        };
        guest.request(request, READY + GRACE).await?;
        Ok(())
    }

    fn guest(&self, name: NodeName) -> Result<Guest, Stop> {
        let node = self.lab.as_ref().and_then(|lab| lab.running(name.0));
        node.map(|node| node.guest().clone()).ok_or_else(|| not_running(name))
    }

    fn pod(&self) -> Result<&PodStatus, Stop> {
        self.pod.as_ref().ok_or_else(|| Stop::broken("the story has no pod yet"))
    }

    /// The pod to start.
    fn spec(&self) -> PodSpec {
        let pod = self.workload().pod();
        match self.identity.clone() {
            None => pod,
            Some(PodIdentity { name, hostname, link }) => PodSpec { name, hostname, link, ..pod },
        }
    }

    /// What is looked at of the pod: the workload's containers, if it has others too.
    fn part(&self) -> Result<Part, Stop> {
        let pod = self.pod_name()?;
        match &self.joined {
            None => Ok(Part::whole(pod)),
            Some(_) => Ok(Part { pod, ..Part::of(self.pod()?) }),
        }
    }

    /// The pod's address, for its clients.
    fn pod_address(&self) -> String {
        self.identity.as_ref().map_or_else(|| ADDRESS.to_owned(), copies::address)
    }

    fn pod_name(&self) -> Result<String, Stop> {
        match &self.identity {
            Some(identity) => Ok(identity.name.clone()),
            None => Ok(self.pod()?.name.clone()),
        }
    }

    fn container_name(&self) -> Result<String, Stop> {
        let main = self.pod()?.containers.first();
        main.map(|main| main.name.clone()).ok_or_else(|| Stop::broken("the pod has no container"))
    }

    fn cell(&self) -> String {
        self.setting.cell.name.clone()
    }

    fn emit(&self, event: Event) {
        self.setting.sink.emit(event);
    }
}

fn not_running(name: NodeName) -> Stop {
    Stop::broken(format!("the story asks node {name}, which does not run"))
}

fn unexpected(what: &str, reply: &Reply) -> Stop {
    Stop::broken(format!("unexpected answer to {what}: {reply:?}"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
