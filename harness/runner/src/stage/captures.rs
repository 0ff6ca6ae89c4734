//! Captures A and B. The story goes on as soon as the pod was looked at; what was seen comes home
//! meanwhile, and is there before the next phase, or whoever needs it.

use model::Capture;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{NodeName, Stage, Stop, millis};
use crate::event::Event;
use crate::sight::{self, Lost};

/// Which of the two captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Before the event.
    A,
    /// After it.
    B,
}

/// A capture on its way home.
#[derive(Debug)]
pub(super) struct Coming {
    which: Which,
    from: NodeName,
    ms: u64,
    capture: JoinHandle<Result<Capture, Lost>>,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Which::A => "a",
            Which::B => "b",
        }
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.capture.abort();
    }
}

impl Stage {
    /// Looks at the frozen pod, which may go on then.
    pub(super) async fn capture(&mut self, name: NodeName, which: Which) -> Result<(), Stop> {
        self.capture_comes().await?;
        let began = Instant::now();
        let sight = sight::look(&self.guest(name)?, &self.part()?).await?;
        self.times.captured(began);
        let (ms, capture) = (millis(began.elapsed()), tokio::spawn(sight::come_home(sight)));
        self.coming = Some(Coming { which, from: name, ms, capture });
        Ok(())
    }

    /// Waits for the capture that is on its way, if one is.
    pub(super) async fn capture_comes(&mut self) -> Result<(), Stop> {
        let Some(mut coming) = self.coming.take() else { return Ok(()) };
        let (which, ms) = (coming.which.name(), coming.ms);
        let came = (&mut coming.capture).await.map_err(Lost::from).flatten();
        let capture = match came {
            Ok(capture) => capture,
            Err(Lost::Guest(error)) => return Err(error.into()),
            Err(lost) => {
                return Err(Stop::broken(format!("capture {which} from {}: {lost}", coming.from)));
            }
        };
        let facts = capture.facts.len() as u64;
        self.emit(Event::Captured { cell: self.cell(), capture: which.to_owned(), facts, ms });
        self.write_json(&format!("capture-{which}.json"), &capture)?;
        match coming.which {
            Which::A => self.before = Some(capture),
            Which::B => self.after = Some(capture),
        }
        Ok(())
    }
}
