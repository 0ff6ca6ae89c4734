//! Performing cells: so many at once, until all are over or somebody interrupts.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{Id, JoinSet, LocalSet};

use crate::event::{End, Event};
use crate::sink::Sink;
use crate::verdict::{Outcome, Standing};

/// How long machines may take to be gone after an interrupt.
const SETTLE: Duration = Duration::from_secs(5);

/// A cell that is to be played. Nothing happens before its future is polled.
pub struct Play {
    /// Name of the cell.
    pub cell: String,
    /// What it is going to do.
    pub run: Pin<Box<dyn Future<Output = End>>>,
}

impl std::fmt::Debug for Play {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Play").field("cell", &self.cell).finish_non_exhaustive()
    }
}

/// The signals by which a user ends a run.
#[derive(Debug)]
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    /// Takes the signals over; from now on they end nothing by themselves.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal and tells its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

/// Performs all plays, `jobs` at once. When `interrupted` tells a signal, everything under way is
/// dropped, which kills its machines, and recorded as interrupted; at the second signal, not even
/// the end of the machines is waited for.
pub async fn perform(
    plays: Vec<Play>,
    jobs: usize,
    sink: &Sink,
    mut interrupted: impl AsyncFnMut() -> &'static str,
) {
    let cells: Vec<String> = plays.iter().map(|play| play.cell.clone()).collect();
    let local = LocalSet::new();
    let signal = tokio::select! {
        biased;
        signal = interrupted() => Some(signal),
        () = local.run_until(all(plays, jobs.max(1), sink.clone())) => None,
    };
    if let Some(signal) = signal {
        interrupt(&cells, signal, sink, || drop(local));
        tokio::select! {
            () = settled() => {}
            _ = interrupted() => {}
        }
    }
}

async fn all(plays: Vec<Play>, jobs: usize, sink: Sink) {
    let mut waiting = plays.into_iter();
    let mut running = JoinSet::new();
    let mut names: BTreeMap<Id, String> = BTreeMap::new();
    loop {
        while running.len() < jobs
            && let Some(Play { cell, run }) = waiting.next()
        {
            sink.emit(Event::CellStarted { cell: cell.clone() });
            names.insert(running.spawn_local(run).id(), cell);
        }
        let (id, end) = match running.join_next_with_id().await {
            None => return,
            Some(Ok((id, end))) => (id, end),
            Some(Err(error)) => (error.id(), broken(format!("the harness failed: {error}"))),
        };
        let cell = names.remove(&id).unwrap_or_default();
        sink.emit(Event::CellFinished { cell, end: Box::new(end) });
    }
}

/// Ends a run early: says so, brings everything down, and accounts for every cell that has not
/// finished, whether it had begun or not.
pub fn interrupt(cells: &[String], signal: &str, sink: &Sink, bring_down: impl FnOnce()) {
    sink.emit(Event::Interrupted { signal: signal.to_owned() });
    bring_down();
    let events = sink.events();
    let named = |wanted: fn(&Event) -> bool| -> BTreeSet<String> {
        let of = events.iter().filter(|recorded| wanted(&recorded.event));
        of.filter_map(|recorded| recorded.event.cell().map(str::to_owned)).collect()
    };
    let started = named(|event| matches!(event, Event::CellStarted { .. }));
    let finished = named(|event| matches!(event, Event::CellFinished { .. }));
    for cell in cells.iter().filter(|cell| !finished.contains(*cell)) {
        let when = if started.contains(cell) { "" } else { " before it began" };
        let reason = format!("interrupted by {signal}{when}");
        let end = End { standing: Standing::Interrupted, ..broken(reason) };
        sink.emit(Event::CellFinished { cell: cell.clone(), end: Box::new(end) });
    }
}

/// Waits until every task that machines have left behind is over: each watches a machine until it
/// is gone. A machine that does not go even so dies with this process.
pub async fn settled() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let over = async {
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while metrics.num_alive_tasks() > 0 {
            look.tick().await;
        }
    };
    // Too late or not, there is nothing left to be done about it.
    let _ = tokio::time::timeout(SETTLE, over).await;
}

/// The end of a cell that never came to a verdict.
#[must_use]
pub fn broken(reason: String) -> End {
    End {
        outcome: Outcome::Broken,
        expected: Outcome::Equivalent,
        standing: Standing::Broken,
        reason,
        trouble: None,
        times_ms: BTreeMap::new(),
        artifacts: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::report::Progress;

    fn sink(folder: &tempfile::TempDir) -> Sink {
        Sink::create(folder.path(), Progress::Lines).expect("a record")
    }

    fn play(cell: &str, run: impl Future<Output = End> + 'static) -> Play {
        Play { cell: cell.to_owned(), run: Box::pin(run) }
    }

    fn ends(sink: &Sink) -> BTreeMap<String, (Standing, String)> {
        let events = sink.events().into_iter();
        let ends = events.filter_map(|recorded| match recorded.event {
            Event::CellFinished { cell, end } => Some((cell, (end.standing, end.reason))),
            _ => None,
        });
        ends.collect()
    }

    #[tokio::test]
    async fn never_more_than_so_many_at_once_and_a_panic_is_one_broken_cell() {
        let folder = tempfile::tempdir().expect("a folder");
        let sink = sink(&folder);
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let mut plays: Vec<Play> = (0..5)
            .map(|index| {
                let (now, most) = (Rc::clone(&now), Rc::clone(&most));
                play(&format!("cell-{index}"), async move {
                    now.set(now.get() + 1);
                    most.set(most.get().max(now.get()));
                    tokio::task::yield_now().await;
                    now.set(now.get() - 1);
                    broken("done".to_owned())
                })
            })
            .collect();
        plays.push(play("panics", async { panic!("on purpose") }));
        perform(plays, 2, &sink, std::future::pending::<&str>).await;
        assert_eq!((most.get(), ends(&sink).len()), (2, 6));
        assert!(ends(&sink)["panics"].1.contains("on purpose"), "{:?}", ends(&sink));
    }

    #[tokio::test]
    async fn an_interrupt_drops_what_runs_and_accounts_for_every_cell() {
        struct Told(Rc<Cell<bool>>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let folder = tempfile::tempdir().expect("a folder");
        let sink = sink(&folder);
        let dropped = Rc::new(Cell::new(false));
        let told = Told(Rc::clone(&dropped));
        let begun = Rc::new(tokio::sync::Notify::new());
        let now = Rc::clone(&begun);
        let first = play("first", async move {
            let _told = told;
            now.notify_one();
            std::future::pending().await
        });
        let second = play("second", std::future::pending());
        let interrupted = async || {
            begun.notified().await;
            "SIGHUP"
        };
        perform(vec![first, second], 1, &sink, interrupted).await;
        assert!(dropped.get());
        let ends = ends(&sink);
        assert_eq!(ends["first"], (Standing::Interrupted, "interrupted by SIGHUP".to_owned()));
        assert!(ends["second"].1.ends_with("before it began"));
    }
}
