//! One fork, spoiled in one way, and what the verifier sees of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use model::message::{Cause, ImagesOf, Part, Request};
use model::mutant::{Family, Mutant, NOT_POSSIBLE};
use model::{Capture, Phase, pack};
use tempfile::TempDir;
use vm::Guest;
use vm::lab::Lab;

use super::judge::{Seen, differing, seen};
use super::scene::{self, NODE, REQUEST, Scene};

/// What the second dump of a pod may take.
const DUMP: Duration = Duration::from_secs(60);

/// The program on the node that spoils.
const SPOIL: [&str; 2] = ["cryolab-agent", "spoil"];

/// What came of spoiling.
#[derive(Debug)]
pub(super) enum Came {
    /// The pod was restored, and this is what differs.
    Compared(Found),
    /// CRIU would not restore it, and says why.
    Refused(String),
    /// The kernel does not take such a change: nothing was spoiled.
    NotPossible(String),
}

/// What differs between the pod that was checkpointed and the one that came back.
#[derive(Debug)]
pub(super) struct Found {
    /// In what the kernel shows, and in memory.
    pub(super) pod: Seen,
    /// In the images of a second dump, where the kernel and memory had no news.
    pub(super) images: Option<Seen>,
    /// In the images that CRIU restored from, where they were spoiled.
    pub(super) spoiled: Seen,
}

/// Asks what can be spoiled, in a fork of its own: trying things out leaves traces.
pub(super) async fn list(scene: &Scene, folder: &Path) -> anyhow::Result<Vec<Mutant>> {
    let images = scene.images.display().to_string();
    let mut all = Vec::new();
    for (branch, option, value) in [
        (&scene.pre_resume, "--pod", scene.pod.as_str()),
        (&scene.pre_restore, "--images", &images),
    ] {
        let place = TempDir::new_in(folder)?;
        let lab = branch.fork(place.path()).await?;
        let listed = offered(&lab, option, value).await;
        lab.end().await;
        all.extend(listed?);
    }
    Ok(all)
}

async fn offered(lab: &Lab, option: &str, value: &str) -> anyhow::Result<Vec<Mutant>> {
    let guest = lab.running(NODE).context("the fork does not run")?.guest().clone();
    let command = SPOIL.into_iter().chain(["list", option, value]);
    let ran = guest.run(command, REQUEST).await?;
    if ran.code != 0 {
        bail!("listing mutants ended with {}: {}", ran.code, words(&ran.stderr));
    }
    let lines = String::from_utf8(ran.stdout)?;
    lines.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect()
}

/// Spoils a fork and looks at it. What the kernel and memory say is enough where it is news.
pub(super) async fn one(
    scene: &Scene,
    mutant: &Mutant,
    folder: &Path,
    news: impl Fn(&Seen) -> bool,
) -> anyhow::Result<Came> {
    let place = TempDir::new_in(folder)?;
    let branch = match mutant.family {
        Family::Image => &scene.pre_restore,
        Family::Live | Family::Memory => &scene.pre_resume,
    };
    let lab = branch.fork(place.path()).await?;
    let guest = lab.running(NODE).context("the fork does not run")?.guest().clone();
    let came = in_fork(scene, mutant, &guest, news).await;
    lab.end().await;
    came
}

async fn in_fork(
    scene: &Scene,
    mutant: &Mutant,
    guest: &Guest,
    news: impl Fn(&Seen) -> bool,
) -> anyhow::Result<Came> {
    if let Some(why) = spoil(guest, mutant).await? {
        return Ok(Came::NotPossible(why));
    }
    if mutant.family == Family::Image {
        let mut operation = scene.operation.in_fork(guest);
        match scene::reach(&mut operation, Phase::PreResume).await {
            Ok(_) => {}
            // Whoever's fault it calls itself: with the images as they were, it is restored.
            Err(vm::Error::Failure { failure, .. }) => {
                return Ok(Came::Refused(first_line(&failure.message)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let after = scene::capture(guest, &scene.pod).await?;
    let passed_ns = after.ended_ns.saturating_sub(scene.before.began_ns);
    let pod = compare(&scene.before, after, passed_ns).await?;
    if !mutant.control && news(&pod) {
        return Ok(Came::Compared(Found { pod, images: None, spoiled: Seen::new() }));
    }
    let spoiled = match mutant.family {
        Family::Image => compare_images(&scene.dumped, &told(guest, &scene.images).await?, 0),
        Family::Live | Family::Memory => Seen::new(),
    };
    let images = Some(dumped_again(scene, guest, passed_ns).await?);
    Ok(Came::Compared(Found { pod, images, spoiled }))
}

/// Dumps the restored pod once more: what its images say otherwise.
async fn dumped_again(scene: &Scene, guest: &Guest, passed_ns: u64) -> anyhow::Result<Seen> {
    let of = ImagesOf::AnotherDump { deadline_ms: DUMP.as_millis().try_into()? };
    let request = Request::Images { pod: Part::whole(&scene.pod), of };
    match guest.fetch(request, scene::IMAGES_BYTES, DUMP + REQUEST).await {
        Ok(bytes) => {
            let again: Capture = pack::unpack(&bytes, scene::IMAGES_BYTES)?;
            Ok(compare_images(&scene.dumped, &again, passed_ns.saturating_mul(2)))
        }
        Err(vm::Error::Failure { failure, .. }) if failure.cause != Cause::Broken => {
            Ok(Seen::from([("image.dump".to_owned(), first_line(&failure.message))]))
        }
        Err(error) => Err(error.into()),
    }
}

/// What images in a folder of the node say.
pub(super) async fn told(guest: &Guest, images: &Path) -> anyhow::Result<Capture> {
    let images = images.display().to_string();
    let ran = guest.run(SPOIL.into_iter().chain(["facts", images.as_str()]), REQUEST).await?;
    if ran.code != 0 {
        bail!("reading {images} ended with {}: {}", ran.code, words(&ran.stderr));
    }
    Ok(postcard::from_bytes(&ran.stdout)?)
}

fn compare_images(before: &Capture, after: &Capture, passed_ns: u64) -> Seen {
    differing(&state::images::compare(before, after, passed_ns).differences)
}

/// Carries it out; or why that is not possible.
async fn spoil(guest: &Guest, mutant: &Mutant) -> anyhow::Result<Option<String>> {
    let command = SPOIL.into_iter().chain(["do", mutant.act.as_str()]);
    let ran = guest.run(command, REQUEST).await?;
    match ran.code {
        0 => Ok(None),
        NOT_POSSIBLE => Ok(Some(words(&ran.stderr))),
        code => bail!("spoiling ended with {code}: {}", words(&ran.stderr)),
    }
}

/// Both captures come from the same boot, so its clock says how much time passed.
async fn compare(before: &Arc<Capture>, after: Capture, passed_ns: u64) -> anyhow::Result<Seen> {
    let before = Arc::clone(before);
    let comparison =
        tokio::task::spawn_blocking(move || state::compare(&before, &after, passed_ns)).await?;
    Ok(seen(&comparison))
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().trim_start_matches("cryolab-agent: ").to_owned()
}

fn first_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
