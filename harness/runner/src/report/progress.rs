//! Progress on standard error: bars on a terminal, short lines elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::event::{Event, Recorded, Round, Start};

/// Shows events to a person who waits.
#[derive(Debug)]
pub enum Progress {
    /// A bar or spinner for everything under way.
    Bars {
        /// All of them.
        all: MultiProgress,
        /// By the name of the cell or image.
        by_name: BTreeMap<String, ProgressBar>,
    },
    /// A line for everything worth one.
    Lines,
}

impl Progress {
    /// Bars when standard error is a terminal, lines when it is not.
    #[must_use]
    pub fn on_stderr() -> Self {
        if std::io::stderr().is_terminal() {
            Progress::Bars { all: MultiProgress::new(), by_name: BTreeMap::new() }
        } else {
            Progress::Lines
        }
    }

    /// Shows an event.
    pub fn show(&mut self, recorded: &Recorded) {
        match self {
            Progress::Lines => {
                if let Some(line) = line(&recorded.event) {
                    // Nobody is left to be told when standard error is gone.
                    let _ = writeln!(std::io::stderr(), "{line}");
                }
            }
            Progress::Bars { all, by_name } => draw(all, by_name, &recorded.event),
        }
    }
}

/// What is told of an event on a line of its own; `None` for what is too small.
fn line(event: &Event) -> Option<String> {
    let text = match event {
        Event::ImageProgress { .. }
        | Event::Step { .. }
        | Event::Captured { .. }
        | Event::WiresCarried { .. }
        | Event::LevelJudged { .. }
        | Event::RunFinished { .. } => return None,
        other => message(other),
    };
    let name = event.cell().map(|cell| format!("{cell}: "));
    Some(format!("{}{text}", name.unwrap_or_default()))
}

/// An event in a few words, without the name of its cell.
fn message(event: &Event) -> String {
    match event {
        Event::RunStarted(plan) => {
            let cells = plan.cells.len();
            let plural = if cells == 1 { "" } else { "s" };
            format!("{cells} cell{plural}, {} at once, into {}", plan.jobs, plan.folder)
        }
        Event::ImageStarted { name } => format!("making {name}"),
        Event::ImageProgress { name, .. } => name.clone(),
        Event::ImageNote { text } => text.clone(),
        Event::ImageFinished { name, result, ms } => {
            format!("{name}: {result} in {}", seconds(*ms))
        }
        Event::AccelChosen { accel, reason } => format!("machines run by {accel}: {reason}"),
        Event::CellStarted { .. } => "started".to_owned(),
        Event::NodeStarting { node, start: Start::Fork, .. } => format!("{node} is forked"),
        Event::NodeStarting { node, start: Start::Boot, .. } => format!("{node} boots"),
        Event::NodeStarting { node, start: Start::Branch, .. } => format!("{node} goes on"),
        Event::NodeStarted { boot, ms, .. } => format!(
            "{} runs Linux {} and CRIU {} after {}",
            boot.node,
            boot.kernel_release,
            boot.criu_version,
            seconds(*ms)
        ),
        Event::Ready { ms, .. } => format!("workload ready after {}", seconds(*ms)),
        Event::ClientFinished { when, code, said, .. } => {
            format!("client {when} the event: code {code}, {said}")
        }
        Event::Step { name, .. } => name.clone(),
        Event::PhaseReached { phase, .. } => phase.to_string(),
        Event::WireChanged { phase, what, .. } => format!("{phase}: {what}"),
        Event::Observed { node, .. } => format!("observed from {node}"),
        Event::WiresCarried { bytes, .. } => format!("{} KiB on wires", bytes >> 10),
        Event::PreCopied { round, .. } => pre_copied(round),
        Event::HandedOver { from, to, bytes, ms, .. } => {
            format!("handed over from {from} to {to}: {} KiB in {}", bytes >> 10, seconds(*ms))
        }
        Event::CellNote { text, .. } | Event::Finding { text, .. } => text.clone(),
        Event::Struck { node, what, .. } => format!("{what}: strikes {node}"),
        Event::Recovered { how, .. } => format!("recovered: {how}"),
        Event::Copied { hostname, address, first_answer_ms: None, .. } => {
            format!("{hostname} runs as {address}")
        }
        Event::Copied { hostname, address, first_answer_ms: Some(ms), .. } => {
            format!("{hostname} runs as {address}, answers after {}", seconds(*ms))
        }
        Event::CheckpointsCopied { from, to, bytes, ms, .. } => {
            format!("copied from {from} to {to}: {} KiB in {}", bytes >> 10, seconds(*ms))
        }
        Event::HookFinished { phase, hook, code, ms, .. } => {
            format!("hook {hook} at {phase}: code {code} after {}", seconds(*ms))
        }
        Event::Captured { capture, facts, ms, .. } => {
            format!("capture {capture}: {facts} facts in {}", seconds(*ms))
        }
        Event::Checkpointed { archive_bytes, .. } => {
            format!("checkpoint of {} KiB", archive_bytes >> 10)
        }
        Event::Restored { tasks, .. } => format!("restored, {} tasks", tasks.len()),
        Event::LevelJudged { level, .. } => format!("level {} judged", level.name()),
        Event::CellFinished { end, .. } if end.reason.is_empty() => end.outcome.to_string(),
        Event::CellFinished { end, .. } => format!("{}: {}", end.outcome, end.reason),
        Event::Interrupted { signal } => {
            format!("interrupted by {signal}: bringing everything down (again to leave at once)")
        }
        Event::RunFinished { code } => format!("finished with {code}"),
    }
}

fn pre_copied(round: &Round) -> String {
    let (number, pages, kib) = (round.number, round.pages, round.bytes >> 10);
    let (took, carried) = (seconds(round.dump_ms), seconds(round.carry_ms));
    let last = round.last.as_ref().map(|why| format!("; no further round: {why}"));
    let last = last.unwrap_or_default();
    format!("round {number}: {pages} pages in {took}, {kib} KiB over in {carried}{last}")
}

fn seconds(ms: u64) -> String {
    format!("{}.{:01} s", ms / 1000, ms % 1000 / 100)
}

fn draw(all: &MultiProgress, by_name: &mut BTreeMap<String, ProgressBar>, event: &Event) {
    match event {
        Event::ImageStarted { name } | Event::CellStarted { cell: name } => {
            by_name.insert(name.clone(), spinner(all, name));
        }
        Event::ImageProgress { name, done, total } => {
            if let Some(bar) = by_name.get(name) {
                advance(bar, *done, *total);
            }
        }
        Event::ImageFinished { name, .. } | Event::CellFinished { cell: name, .. } => {
            if let Some(bar) = by_name.remove(name) {
                bar.finish_and_clear();
            }
            print(all, event);
        }
        Event::RunFinished { .. } => {}
        other => match other.cell().and_then(|cell| by_name.get(cell)) {
            Some(bar) => bar.set_message(message(other)),
            None => print(all, other),
        },
    }
}

/// Prints a line above the bars.
fn print(all: &MultiProgress, event: &Event) {
    if let Some(line) = line(event) {
        // Nobody is left to be told when the terminal is gone.
        let _ = all.println(line);
    }
}

fn spinner(all: &MultiProgress, name: &str) -> ProgressBar {
    let bar = all.add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {prefix}: {wide_msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn advance(bar: &ProgressBar, done: u64, total: Option<u64>) {
    if let (Some(total), None) = (total, bar.length()) {
        let template = "{spinner} {elapsed:>4} {prefix}: {wide_bar} {bytes}/{total_bytes}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_length(total);
    }
    bar.set_position(done);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn lines_of_a_fixed_run() {
        let events = sample::events();
        let lines: Vec<String> =
            events.iter().filter_map(|recorded| line(&recorded.event)).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
