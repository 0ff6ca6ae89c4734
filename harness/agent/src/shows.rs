//! What this kernel shows about a pod, entry by entry, for the test `complete`.
//!
//! The list is taken from the kernel by itself: folders are walked, lines are cut at their first
//! word, every number of a socket option is asked for. Nothing of how a capture is made is used
//! here, so what a capture does not know shows as an entry that the registry has no line for.

mod descriptors;
mod groups;
mod proc;
mod settings;
mod sockets;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::thread;

use anyhow::Context;
use clap::Args;
use nix::sched::{CloneFlags, setns};
use state::registry::Entry;

/// Whom to look at.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Pids of tasks of one container, as the node numbers them.
    #[arg(required = true)]
    pids: Vec<i32>,
}

/// Entries by source and word, each with the first sample that was seen.
#[derive(Debug, Default)]
struct Shown(BTreeMap<(String, String), String>);

impl Shown {
    fn add(&mut self, source: &str, word: &str, sample: &str) {
        const LONGEST: usize = 60;
        let sample = sample.split_whitespace().collect::<Vec<_>>().join(" ");
        let sample = sample.chars().take(LONGEST).collect();
        self.0.entry((source.to_owned(), word.to_owned())).or_insert(sample);
    }

    fn entries(self) -> impl Iterator<Item = Entry> {
        let entry = |((source, word), sample)| Entry { source, word, sample };
        self.0.into_iter().map(entry)
    }
}

/// Prints the entries, one a line.
pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<()> {
    let mut shown = Shown::default();
    for &pid in &arguments.pids {
        proc::task(pid, &mut shown)?;
        groups::of(pid, &mut shown)?;
    }
    descriptors::all(&mut shown)?;
    let first = arguments.pids.first().copied().unwrap_or_default();
    // The way back out of the namespaces is the thread's end.
    let inside = || {
        enter(first)?;
        settings::all(&mut shown)?;
        sockets::all(&mut shown)
    };
    let done = thread::scope(|scope| scope.spawn(inside).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let mut output = std::io::stdout().lock();
    for entry in shown.entries() {
        writeln!(output, "{entry}")?;
    }
    Ok(())
}

fn enter(pid: i32) -> anyhow::Result<()> {
    for (kind, flag) in [
        ("net", CloneFlags::CLONE_NEWNET),
        ("ipc", CloneFlags::CLONE_NEWIPC),
        ("uts", CloneFlags::CLONE_NEWUTS),
    ] {
        let path = format!("/proc/{pid}/ns/{kind}");
        let file = File::open(&path).with_context(|| path.clone())?;
        setns(file, flag).with_context(|| format!("enter {path}"))?;
    }
    Ok(())
}
