//! The story up to the moments at which pods are spoiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use model::message::{Afterwards, Destination, Event, Part, Place, Reply, Request};
use model::{Capture, Phase};
use runner::sight;
use runner::stage::Supply as _;
use runner::workload::{ADDRESS, Client};
use vm::disk::DataDisk;
use vm::lab::{Branch, Lab};
use vm::{Guest, Operation};

use super::bed::Play;
use super::trial;

/// The one node.
pub(super) const NODE: &str = "node";

/// Size of the disk that the archive goes to.
const DATA_MIB: u64 = 512;

/// The archive on it.
const ARCHIVE: &str = "/data/checkpoint.tar.zst";

/// What any request may take.
pub(super) const REQUEST: Duration = Duration::from_secs(90);

/// What a checkpoint or a restore may take by the engine's own deadline.
const OPERATION: Duration = Duration::from_secs(60);

/// How much longer than the guest's own deadline its answer is waited for.
const GRACE: Duration = Duration::from_secs(30);

/// What the workload may take to be ready.
const READY: Duration = Duration::from_secs(180);

/// Most bytes of what images say.
pub(super) const IMAGES_BYTES: usize = 512 << 20;

/// The story, stopped twice.
#[derive(Debug)]
pub(super) struct Scene {
    /// Name of the pod.
    pub(super) pod: String,
    /// As it was when it was checkpointed.
    pub(super) before: Arc<Capture>,
    /// Where CRIU's images are at `pre-restore`.
    pub(super) images: PathBuf,
    /// What they say.
    pub(super) dumped: Capture,
    /// The archive was unpacked, CRIU was not asked yet.
    pub(super) pre_restore: Branch,
    /// All is restored and frozen.
    pub(super) pre_resume: Branch,
    /// The restore under way: it waits at both moments.
    pub(super) operation: Operation,
}

impl Scene {
    /// Plays it.
    pub(super) async fn play(play: &Play) -> anyhow::Result<Scene> {
        let mut lab = Lab::new(&play.folder, play.templates.clone(), play.seed)?;
        lab.node(NODE, play.machine.clone())?;
        let disk = play.folder.join("data.img");
        play.catalogue.data_disk(&disk, DATA_MIB).map_err(anyhow::Error::msg)?;
        lab.data_disk(NODE, DataDisk::open(&disk)?)?;
        // Whoever uses it has it open.
        fs_err::remove_file(&disk)?;
        let guest = lab.start(NODE).await?.guest().clone();
        start(play, &guest).await?;
        let pod = play.workload.name.clone();
        let before = checkpoint(&guest, &pod).await?;
        let scene = restore(&mut lab, &guest, pod, before).await;
        lab.end().await;
        scene
    }
}

/// Starts the pod, waits until it is ready, and lets its client fill it.
async fn start(play: &Play, guest: &Guest) -> anyhow::Result<()> {
    guest.request(Request::Start { pod: play.workload.pod() }, REQUEST).await?;
    for container in &play.workload.containers {
        let request = Request::AwaitReady {
            pod: play.workload.name.clone(),
            container: container.name.clone(),
            ready: container.ready.clone(),
            deadline_ms: millis(READY),
        };
        guest.request(request, READY + GRACE).await?;
    }
    match &play.workload.client {
        Some(client) => fill(guest, client).await,
        None => Ok(()),
    }
}

async fn fill(guest: &Guest, client: &Client) -> anyhow::Result<()> {
    const PLACE: &str = "/run/cryolab/client";
    guest.put(Path::new(PLACE), 0o755, &fs_err::read(&client.binary)?).await?;
    let arguments = client.before.iter().map(|word| word.replace("{address}", ADDRESS));
    let command = std::iter::once(PLACE.to_owned()).chain(arguments).collect();
    let deadline_ms = millis(REQUEST);
    let run = Request::Run { place: Place::Node, command, env: BTreeMap::new(), deadline_ms };
    match guest.request(run, REQUEST + GRACE).await? {
        Reply::Exited { code: 0, .. } => Ok(()),
        other => bail!("the client could not fill the service: {other:?}"),
    }
}

/// Checkpoints the pod, and captures it while it is frozen.
async fn checkpoint(guest: &Guest, pod: &str) -> anyhow::Result<Capture> {
    let (archive, deadline_ms) = (PathBuf::from(ARCHIVE), millis(OPERATION));
    let afterwards = Afterwards::Remove;
    let request = Request::Checkpoint { pod: pod.to_owned(), archive, afterwards, deadline_ms };
    let mut operation = guest.begin(request, OPERATION + GRACE).await?;
    let mut before = None;
    while let Some(event) = operation.next().await? {
        if let Event::Phase { phase: Phase::Frozen, .. } = event {
            before = Some(capture(guest, pod).await?);
        }
    }
    before.context("the pod was never frozen")
}

/// Restores it as far as `pre-resume`, with a branch at each moment that is of interest.
async fn restore(
    lab: &mut Lab,
    guest: &Guest,
    pod: String,
    before: Capture,
) -> anyhow::Result<Scene> {
    let request = Request::Restore {
        archive: PathBuf::from(ARCHIVE),
        destination: Destination::Same,
        deadline_ms: millis(OPERATION),
    };
    let mut operation = guest.begin(request, OPERATION + GRACE).await?;
    let images = reach(&mut operation, Phase::PreRestore).await?;
    let images = images.context("there are no images before the restore")?;
    let dumped = trial::told(guest, &images).await?;
    let pre_restore = lab.branch(&[NODE]).await?;
    reach(&mut operation, Phase::PreResume).await?;
    let pre_resume = lab.branch(&[NODE]).await?;
    let before = Arc::new(before);
    Ok(Scene { pod, before, images, dumped, pre_restore, pre_resume, operation })
}

/// Goes on until a phase, and tells where the images are.
pub(super) async fn reach(
    operation: &mut Operation,
    wanted: Phase,
) -> Result<Option<PathBuf>, vm::Error> {
    while let Some(event) = operation.next().await? {
        if let Event::Phase { phase, images, .. } = event
            && phase == wanted
        {
            return Ok(images);
        }
    }
    Ok(None)
}

/// Observes the frozen pod.
pub(super) async fn capture(guest: &Guest, pod: &str) -> anyhow::Result<Capture> {
    let capture = sight::come_home(sight::look(guest, &Part::whole(pod)).await?).await;
    capture.with_context(|| format!("the capture of {pod}"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
