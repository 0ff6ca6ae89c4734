//! A stage: what a scenario plays on.
//!
//! A scenario tells its story by the verbs of [`Stage`]: boot a node, start the pod, checkpoint,
//! shut down, restore, compare, prove. The stage knows the cell and carries everything that each
//! verb brings along: events, hooks and captures at the phases, logs, times and evidence.

mod checkpoint;
mod compare;
mod end;
mod files;
mod phases;
mod prove;
mod stop;
mod times;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::message::{Ready, Reply, Request, Shutdown};
use model::pod::PodStatus;
use model::{Capture, Phase};
use tokio::time::Instant;
use vm::{Disk, Guest, Machine, Node};

pub use self::stop::Stop;
use self::times::Times;
use crate::cell::Cell;
use crate::event::{Boot, Event};
use crate::expectations::Expectations;
use crate::hook::Hook;
use crate::sink::Sink;
use crate::verdict::{Difference, Level, LevelVerdict};
use crate::version::Versions;
use crate::workload::Workload;

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
    /// Makes the disks that are written to.
    pub supply: Arc<dyn Supply>,
    /// Hooks of the user.
    pub hooks: Rc<[Hook]>,
    /// What is known to go wrong.
    pub expectations: Rc<Expectations>,
    /// Which artefacts stay.
    pub keep: Keep,
    /// The cell's folder.
    pub folder: PathBuf,
    /// Where events go.
    pub sink: Sink,
}

/// What a scenario plays on.
#[derive(Debug)]
pub struct Stage {
    setting: Setting,
    disks: Vec<Disk>,
    nodes: BTreeMap<NodeName, Node>,
    boots: BTreeMap<NodeName, u32>,
    versions: Option<(String, String)>,
    pod: Option<PodStatus>,
    times: Times,
    before: Option<Capture>,
    after: Option<Capture>,
    levels: BTreeMap<Level, LevelVerdict>,
    tolerated: Vec<Difference>,
    not_offered: BTreeMap<String, String>,
    archived: bool,
}

impl Stage {
    /// An empty stage.
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        Stage {
            setting,
            disks: Vec::new(),
            nodes: BTreeMap::new(),
            boots: BTreeMap::new(),
            versions: None,
            pod: None,
            times: Times::start(),
            before: None,
            after: None,
            levels: BTreeMap::new(),
            tolerated: Vec::new(),
            not_offered: BTreeMap::new(),
            archived: false,
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

    /// Gives the nodes to come, one at a time, the disk that survives a reboot: an empty
    /// filesystem in a sparse file of this cell.
    ///
    /// # Errors
    /// When the disk cannot be made.
    pub fn attach_data(&mut self, mib: u64) -> Result<(), Stop> {
        let path = self.folder().join("data.img");
        let made = self.setting.supply.data_disk(&path, mib);
        made.map_err(|why| Stop::broken(format!("data disk {}: {why}", path.display())))?;
        self.disks.push(Disk::writable("data", path));
        Ok(())
    }

    /// Boots a node: firmware, kernel and init run, whether for the first time or again.
    ///
    /// # Errors
    /// When the machine does not get as far as its agent, or CRIU does not run there.
    pub async fn boot(&mut self, name: NodeName) -> Result<NodeName, Stop> {
        let boot = self.boots.get(&name).map_or(1, |last| last + 1);
        self.boots.insert(name, boot);
        self.emit(Event::NodeBooting { cell: self.cell(), node: name.to_string(), boot });
        let console = self.folder().join(format!("console-{name}-{boot}.log"));
        let node = self.machine(boot).boot(name.0, &console).await?;
        let ms = millis(node.boot_time());
        self.times.set(if boot == 1 { "boot" } else { "boot_again" }, node.boot_time());
        let hello = node.hello().clone();
        self.nodes.insert(name, node);
        let boot = Boot {
            node: name.to_string(),
            boot,
            boot_id: hello.boot_id,
            kernel_release: hello.kernel_release.clone(),
            criu_version: hello.criu_version.clone().unwrap_or_default(),
        };
        self.emit(Event::NodeBooted { cell: self.cell(), boot, ms });
        let criu =
            hello.criu_version.map_err(|why| Stop::failed(format!("CRIU does not run: {why}")))?;
        self.versions.get_or_insert((hello.kernel_release, criu));
        Ok(name)
    }

    fn machine(&self, boot: u32) -> Machine {
        let mut machine = self.setting.machine.clone();
        machine.disks.extend(self.disks.iter().cloned());
        machine.seed = Some(self.setting.cell.seed.wrapping_add(u64::from(boot) << 32));
        machine
    }

    /// Starts the pod, waits until its workload is ready, and lets the client fill it.
    ///
    /// # Errors
    /// When the pod does not start, is not ready in time, or its client or a hook fails.
    pub async fn start(&mut self, name: NodeName) -> Result<(), Stop> {
        let guest = self.guest(name)?;
        let began = Instant::now();
        let request = Request::Start { pod: self.workload().pod() };
        match guest.request(request, REQUEST).await? {
            Reply::Pod(pod) => self.pod = Some(pod),
            other => return Err(unexpected("start", &other)),
        }
        self.await_ready(&guest, self.workload().ready.clone()).await?;
        self.times.set("ready", began.elapsed());
        self.emit(Event::Ready { cell: self.cell(), ms: millis(began.elapsed()) });
        let pids = self.pids(&guest).await?;
        self.at(name, Phase::Ready, &pids, None).await?;
        self.fill(name).await
    }

    async fn await_ready(&self, guest: &Guest, ready: Ready) -> Result<(), Stop> {
        let request = Request::AwaitReady {
            pod: self.pod_name()?,
            container: self.container_name()?,
            ready,
            deadline_ms: millis(READY),
        };
        guest.request(request, READY + GRACE).await?;
        Ok(())
    }

    /// Takes a node down in an orderly way: what is on its disks is flushed, all else is gone.
    ///
    /// # Errors
    /// When it does not get down.
    pub async fn shut_down(&mut self, name: NodeName, how: Shutdown) -> Result<(), Stop> {
        let began = Instant::now();
        let node = self.nodes.remove(&name).ok_or_else(|| not_running(name))?;
        node.shut_down(how).await?;
        self.times.set("shutdown", began.elapsed());
        Ok(())
    }

    fn guest(&self, name: NodeName) -> Result<Guest, Stop> {
        self.nodes.get(&name).map(|node| node.guest().clone()).ok_or_else(|| not_running(name))
    }

    fn pod(&self) -> Result<&PodStatus, Stop> {
        self.pod.as_ref().ok_or_else(|| Stop::broken("the story has no pod yet"))
    }

    fn pod_name(&self) -> Result<String, Stop> {
        Ok(self.pod()?.name.clone())
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
