//! Where events go: into the record first, then to whoever shows them.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::event::{Event, Recorded};
use crate::record::Record;
use crate::report::Progress;

/// Takes the events of a run. Cheap to clone; all clones are the same sink.
#[derive(Clone, Debug)]
pub struct Sink(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    record: Record,
    progress: Progress,
    events: Vec<Recorded>,
    trouble: Option<io::Error>,
}

impl Sink {
    /// Begins the record of a run in its folder.
    ///
    /// # Errors
    /// When the folder already has a record, or cannot be written.
    pub fn create(folder: &Path, progress: Progress) -> io::Result<Self> {
        let record = Record::create(folder)?;
        let inner = Inner { record, progress, events: Vec::new(), trouble: None };
        Ok(Sink(Arc::new(Mutex::new(inner))))
    }

    /// Takes an event. When it cannot be recorded, it is still shown, and [`Sink::close`] tells.
    pub fn emit(&self, event: Event) {
        let mut inner = self.inner();
        let recorded = Recorded { at: Timestamp::now(), event };
        if let Err(error) = inner.record.append(&recorded) {
            inner.trouble.get_or_insert(error);
        }
        inner.progress.show(&recorded);
        inner.events.push(recorded);
    }

    /// All events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Recorded> {
        self.inner().events.clone()
    }

    /// Tells whether everything was recorded.
    ///
    /// # Errors
    /// The first error of the record.
    pub fn close(&self) -> io::Result<()> {
        self.inner().trouble.take().map_or(Ok(()), Err)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
