//! The level *images*: what CRIU dumped of the pod, against what it dumps of the pod that came back.
//!
//! The images of the checkpoint are looked at in `post-dump`, before the hook there can spoil them.
//! The restored pod is dumped once more from the frozen state of capture B, for this alone.

use std::borrow::Cow;
use std::time::Duration;

use model::message::{ImagesOf, Request};
use model::{Capture, pack};
use tokio::time::Instant;

use super::compare::{caused, differences};
use super::{GRACE, NodeName, OPERATION, Stage, Stop, millis, neighbour};
use crate::event::Event;
use crate::verdict::{Difference, Level, LevelVerdict, Outcome};

/// Most bytes of what images say.
const MOST_BYTES: usize = 256 << 20;

/// The fact that CRIU can dump the pod at all.
const DUMPED: &str = "image.dump";

/// What is known of the pod's images.
#[derive(Debug, Default)]
pub(super) struct Images {
    frozen: Option<Instant>,
    pub(super) before: Option<Capture>,
    after: Option<Result<Capture, String>>,
    /// From the freeze until the last dump: no timer in them may have moved further.
    passed: Duration,
}

impl Stage {
    /// The pod is frozen from now on: what is in its images does not change any more.
    pub(super) fn images_froze(&mut self) {
        self.images = Images { frozen: Some(Instant::now()), ..Images::default() };
    }

    /// Looks at the images of the checkpoint.
    pub(super) async fn images_before(&mut self, name: NodeName) -> Result<(), Stop> {
        let images = self.look(name, ImagesOf::Checkpoint, "images-a").await?;
        self.images.before = Some(images);
        Ok(())
    }

    /// Dumps the restored pod, which runs no instruction by it. That CRIU will not dump it is a
    /// verdict about the pod, not about the lab.
    pub(super) async fn images_after(&mut self, name: NodeName) -> Result<(), Stop> {
        if self.images.before.is_none() {
            return Ok(());
        }
        let of = ImagesOf::AnotherDump { deadline_ms: millis(OPERATION) };
        self.images.after = Some(match self.look(name, of, "images-b").await {
            Ok(images) => Ok(images),
            Err(stop) if stop.outcome != Outcome::Broken => Err(stop.reason),
            Err(stop) => return Err(stop),
        });
        self.images.passed = self.images.frozen.map_or(Duration::ZERO, |frozen| frozen.elapsed());
        Ok(())
    }

    async fn look(&mut self, name: NodeName, of: ImagesOf, which: &str) -> Result<Capture, Stop> {
        let began = Instant::now();
        let request = Request::Images { pod: self.part()?, of };
        let bytes = self.guest(name)?.fetch(request, MOST_BYTES, OPERATION + GRACE).await?;
        let capture: Capture = pack::unpack(&bytes, MOST_BYTES)
            .map_err(|error| Stop::broken(format!("{which} from {name}: {error}")))?;
        self.times.add("images", began.elapsed());
        let (facts, ms) = (capture.facts.len() as u64, millis(began.elapsed()));
        self.emit(Event::Captured { cell: self.cell(), capture: which.to_owned(), facts, ms });
        self.write_json(&format!("capture-{which}.json"), &capture)?;
        Ok(capture)
    }

    /// Compares both dumps: every field of every entry of every image file.
    ///
    /// # Errors
    /// When the pod was not dumped twice.
    pub fn compare_images(&mut self) -> Result<(), Stop> {
        let mut permitted = Vec::new();
        let verdict = match (&self.images.before, &self.images.after) {
            (Some(before), Some(Ok(after))) => {
                let passed_ns = u64::try_from(self.images.passed.as_nanos()).unwrap_or(u64::MAX);
                let before = &*self.expected(before);
                let after = match &self.joined {
                    None => Cow::Borrowed(after),
                    Some(pod) => Cow::Owned(neighbour::without_objects(after.clone(), pod)),
                };
                let found = state::images::compare(before, &after, passed_ns);
                permitted = differences(&found.tolerated);
                LevelVerdict::judged(Level::Images, caused(before, &after, &found.differences))
                    .count("fields", found.fields as u64)
            }
            (Some(_), Some(Err(why))) => {
                LevelVerdict::judged(Level::Images, vec![not_dumped(why.clone())])
            }
            _ => {
                return Err(Stop::broken("the story compares images before both dumps were taken"));
            }
        };
        self.tolerate(permitted);
        self.judge(Level::Images, verdict);
        Ok(())
    }
}

fn not_dumped(why: String) -> Difference {
    Difference::of(DUMPED.to_owned(), "CRIU dumps the pod", why)
}
