//! Where events go: into the record first, then to whoever shows them.

use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use jiff::Timestamp;

use crate::event::{Event, Recorded};
use crate::record::Record;
use crate::report::Progress;

/// Takes the events of a run. Cheap to clone; all clones are the same sink.
#[derive(Clone, Debug)]
pub struct Sink(Rc<RefCell<Inner>>);

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
        Ok(Sink(Rc::new(RefCell::new(Inner {
            record,
            progress,
            events: Vec::new(),
            trouble: None,
        }))))
    }

    /// Takes an event. When it cannot be recorded, it is still shown, and [`Sink::close`] tells.
    pub fn emit(&self, event: Event) {
        let mut inner = self.0.borrow_mut();
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
        self.0.borrow().events.clone()
    }

    /// Tells whether everything was recorded.
    ///
    /// # Errors
    /// The first error of the record.
    pub fn close(&self) -> io::Result<()> {
        self.0.borrow_mut().trouble.take().map_or(Ok(()), Err)
    }
}
