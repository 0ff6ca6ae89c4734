//! Showing what takes time, as the caller likes it.

use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where news about long steps goes. Several steps may be under way at once.
pub trait Progress: Send + Sync + fmt::Debug {
    /// A step begins.
    fn begin(&self, what: &str) -> Box<dyn Step>;

    /// Something worth knowing that is no step.
    fn note(&self, text: &str);
}

/// A step under way. Dropped without [`Step::finish`], it failed.
pub trait Step: Send {
    /// What the step does at the moment.
    fn say(&self, doing: &str);

    /// How many bytes of how many are done.
    fn bytes(&self, done: u64, total: u64);

    /// The step is done.
    fn finish(self: Box<Self>, result: &str);
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _what: &str) -> Box<dyn Step> {
        Box::new(Silent)
    }

    fn note(&self, _text: &str) {}
}

impl Step for Silent {
    fn say(&self, _doing: &str) {}

    fn bytes(&self, _done: u64, _total: u64) {}

    fn finish(self: Box<Self>, _result: &str) {}
}

/// Bars and spinners on a terminal; plain lines where standard error is none.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    terminal: bool,
}

impl Default for Bars {
    fn default() -> Self {
        Bars { all: MultiProgress::new(), terminal: std::io::stderr().is_terminal() }
    }
}

impl Bars {
    /// Draws on standard error, together with other bars of the caller.
    #[must_use]
    pub fn beside(all: MultiProgress) -> Self {
        Bars { all, ..Bars::default() }
    }
}

impl Progress for Bars {
    fn begin(&self, what: &str) -> Box<dyn Step> {
        if !self.terminal {
            eprintln!("  {what} ...");
            return Box::new(Line { what: what.to_owned() });
        }
        let bar = self.all.add(ProgressBar::new_spinner().with_style(spinner()));
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Box::new(Bar { bar, all: self.all.clone() })
    }

    fn note(&self, text: &str) {
        if self.terminal {
            // A terminal that cannot be written to has nobody who would read it.
            let _ = self.all.println(format!("  {text}"));
        } else {
            eprintln!("  {text}");
        }
    }
}

fn spinner() -> ProgressStyle {
    style("  {spinner} {prefix}: {msg}")
}

fn bar() -> ProgressStyle {
    style("  {spinner} {prefix}: {bar:24} {bytes}/{total_bytes} {msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

struct Bar {
    bar: ProgressBar,
    all: MultiProgress,
}

impl Step for Bar {
    fn say(&self, doing: &str) {
        self.bar.set_style(spinner());
        self.bar.set_message(doing.to_owned());
    }

    fn bytes(&self, done: u64, total: u64) {
        if self.bar.length() != Some(total) {
            self.bar.set_length(total);
            self.bar.set_style(bar());
        }
        self.bar.set_position(done);
    }

    fn finish(self: Box<Self>, result: &str) {
        let line = format!("  {}: {result}", self.bar.prefix());
        self.bar.finish_and_clear();
        // As in `note`.
        let _ = self.all.println(line);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}

struct Line {
    what: String,
}

impl Step for Line {
    fn say(&self, _doing: &str) {}

    fn bytes(&self, _done: u64, _total: u64) {}

    fn finish(self: Box<Self>, result: &str) {
        eprintln!("  {}: {result}", self.what);
    }
}
