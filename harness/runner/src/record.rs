//! The record of a run: every event as one line of JSON, written before anybody is told.
//!
//! A line is handed to the kernel whole, so a record survives the death of the run at any moment;
//! at worst its last line is cut, and that is read over.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err::File;

use crate::event::Recorded;

/// Name of the record in a run's folder.
pub const FILE: &str = "record.jsonl";

/// The record that a run writes.
#[derive(Debug)]
pub struct Record {
    file: File,
}

impl Record {
    /// Begins a record in a folder.
    ///
    /// # Errors
    /// When the folder already has one, or cannot be written.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let file = File::create_new(folder.join(FILE))?;
        Ok(Record { file })
    }

    /// Adds an event.
    ///
    /// # Errors
    /// When the line could not be written.
    pub fn append(&mut self, event: &Recorded) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

/// A record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file itself.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A line that is no event, and not the last.
    #[error("{}:{line}: no event of this version of Cryolab", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What did not fit.
        source: serde_json::Error,
    },
}

/// Whether a folder is that of a run.
#[must_use]
pub fn is_in(folder: &Path) -> bool {
    folder.join(FILE).is_file()
}

/// Reads the record of a run's folder.
///
/// # Errors
/// When it is missing, or a line before the last is no event.
pub fn read(folder: &Path) -> Result<Vec<Recorded>, RecordError> {
    let path = folder.join(FILE);
    let text = fs_err::read_to_string(&path)?;
    let cut = !text.ends_with('\n');
    let lines = text.lines().count();
    let mut events = Vec::with_capacity(lines);
    for (index, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(event) => events.push(event),
            Err(_) if cut && index + 1 == lines => {}
            Err(source) => return Err(RecordError::Line { path, line: index + 1, source }),
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn what_was_recorded_is_read_back_and_a_cut_last_line_is_read_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut record = Record::create(folder.path()).expect("a record");
        let events = sample::events();
        for event in &events {
            record.append(event).expect("written");
        }
        assert_eq!(read(folder.path()).expect("whole"), events);
        record.file.write_all(b"{\"at\":\"2026-11-").expect("written");
        assert_eq!(read(folder.path()).expect("cut"), events);
        record.file.write_all(b"\n").expect("written");
        let error = read(folder.path()).expect_err("a broken line").to_string();
        assert!(error.contains(&format!("record.jsonl:{}: no event", events.len() + 1)), "{error}");
    }

    #[test]
    fn a_folder_holds_one_run() {
        let folder = tempfile::tempdir().expect("a folder");
        Record::create(folder.path()).expect("a record");
        let error = Record::create(folder.path()).expect_err("there is one");
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }
}
