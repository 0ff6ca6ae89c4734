//! Between the tar code, which reads and writes, and the session, which sends and receives.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval_at};
use vm_images::{Bars, Progress as _};

use super::WAITING;

/// From when on, and how often, it is shown how far a copy is.
const SHOW: Duration = Duration::from_secs(2);

/// Counts what was copied, and shows it when it takes long.
#[derive(Debug, Default)]
pub(super) struct Moved {
    bytes: Arc<AtomicU64>,
    showing: Option<JoinHandle<()>>,
}

impl Moved {
    /// Begins to count; shown until this is dropped.
    pub(super) fn show(what: &str) -> Self {
        let bytes = Arc::<AtomicU64>::default();
        let (what, counted) = (what.to_owned(), Arc::clone(&bytes));
        let showing = tokio::spawn(async move {
            let mut often = interval_at(Instant::now() + SHOW, SHOW / 8);
            often.tick().await;
            let step = Bars::default().begin(&what);
            loop {
                step.say(&format!("{} MiB", counted.load(Ordering::Relaxed) >> 20));
                often.tick().await;
            }
        });
        Moved { bytes, showing: Some(showing) }
    }

    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        if let Some(showing) = &self.showing {
            showing.abort();
        }
    }
}

/// Writes to the input of a program.
#[derive(Debug)]
pub(super) struct InputWriter {
    input: Sender<Vec<u8>>,
    moved: Arc<AtomicU64>,
}

impl InputWriter {
    pub(super) fn new(input: Sender<Vec<u8>>, moved: Arc<AtomicU64>) -> Self {
        InputWriter { input, moved }
    }
}

impl Write for InputWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let gone = |_| Error::new(ErrorKind::BrokenPipe, "the program on the node has ended");
        self.input.blocking_send(bytes.to_vec()).map_err(gone)?;
        self.moved.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Reads the output of a program.
#[derive(Debug)]
pub(super) struct OutputReader {
    output: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    read: usize,
    moved: Arc<AtomicU64>,
}

impl OutputReader {
    /// What is sent is read.
    pub(super) fn new(moved: Arc<AtomicU64>) -> (Sender<Vec<u8>>, Self) {
        let (sender, output) = mpsc::channel(WAITING);
        (sender, OutputReader { output, piece: Vec::new(), read: 0, moved })
    }
}

impl Read for OutputReader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.read == self.piece.len() {
            let Some(piece) = self.output.blocking_recv() else { return Ok(0) };
            self.moved.fetch_add(piece.len() as u64, Ordering::Relaxed);
            (self.piece, self.read) = (piece, 0);
        }
        let count = (self.piece.len() - self.read).min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}
