//! The serial console: its last lines, and signs of trouble in them.
//!
//! QEMU writes the whole console to a file; here it is followed live, so that a panic is noticed
//! when it happens and the last lines are at hand for whoever reports an error.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::watch;

/// Lines that an error brings along.
const TAIL_LINES: usize = 30;

/// Lines before the first sign of trouble: the last words of an agent that died, say.
const LEAD_LINES: usize = 10;

/// Most lines of a trace, with those before it.
const TRACE_LINES: usize = 80;

/// Longer lines are cut: the guest is not trusted to end them.
const LINE_BYTES: usize = 500;

/// Lines with which a trace begins. With `oops=panic` each of them leads to a panic.
const TROUBLE: [&str; 6] =
    ["BUG: ", "Oops: ", "kernel BUG at", "general protection fault", "invalid opcode", PANIC];

const PANIC: &str = "Kernel panic";

/// The kernel could not even be unpacked (arch/x86/boot/compressed/error.c); why stands before it.
const HALTED: &str = " -- System halted";

/// The kernel's own words when it hands over to user space (`run_init_process`, init/main.c).
const INIT: &str = "Run /init as init process";

/// Follows a console. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    text: Arc<Mutex<Text>>,
    signs: watch::Receiver<Signs>,
}

/// What was seen on the console so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    /// The kernel is about to run init. Only told from `loglevel=7` on.
    pub(crate) init: bool,
    /// The kernel panicked, or halted before it was one.
    pub(crate) panic: bool,
    /// Nothing more will come.
    pub(crate) closed: bool,
}

impl Console {
    /// Follows the console at the other end of `stream` until it is closed.
    pub(crate) fn follow(mut stream: UnixStream) -> Console {
        let text = Arc::<Mutex<Text>>::default();
        let (tell, signs) = watch::channel(Signs::default());
        let console = Console { text, signs };
        let text = Arc::clone(&console.text);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let signs = lock(&text).push(&buffer[..count]);
                tell.send_if_modified(|known| std::mem::replace(known, signs) != signs);
            }
            tell.send_modify(|signs| signs.closed = true);
        });
        console
    }

    /// Waits until the signs are as `wanted`, or nothing more will come.
    pub(crate) async fn shows(&self, wanted: impl Fn(&Signs) -> bool) -> Signs {
        let mut signs = self.signs.clone();
        match signs.wait_for(|signs| signs.closed || wanted(signs)).await.map(|signs| *signs) {
            Ok(signs) => signs,
            Err(_) => std::future::pending().await,
        }
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> Vec<String> {
        lock(&self.text).tail()
    }

    /// How the kernel ended by its own words, and the console around the first sign of trouble.
    pub(crate) fn panic(&self) -> Option<(String, Vec<String>)> {
        let text = lock(&self.text);
        text.headline.clone().map(|headline| (headline, text.trace()))
    }
}

fn lock(text: &Mutex<Text>) -> MutexGuard<'_, Text> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct Text {
    lines: VecDeque<String>,
    unfinished: Vec<u8>,
    in_trouble: bool,
    trace: Vec<String>,
    headline: Option<String>,
    signs: Signs,
}

impl Text {
    fn push(&mut self, bytes: &[u8]) -> Signs {
        for &byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.unfinished.len() < LINE_BYTES => self.unfinished.push(byte),
                _ => {}
            }
        }
        // The line that says so is never ended.
        if self.unfinished.ends_with(HALTED.as_bytes()) {
            self.end_line();
        }
        self.signs
    }

    fn end_line(&mut self) {
        let line = printable(&std::mem::take(&mut self.unfinished));
        self.signs.init |= line.contains(INIT);
        self.follow_trouble(&line);
        if self.headline.is_none() {
            self.headline = self.headline_of(&line);
            self.signs.panic = self.headline.is_some();
        }
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    fn follow_trouble(&mut self, line: &str) {
        // What is long past has not led to this. (A program's fault is logged in the same words.)
        let past = !self.in_trouble || self.trace.len() == TRACE_LINES && self.headline.is_none();
        if past && TROUBLE.iter().any(|sign| line.contains(sign)) {
            self.in_trouble = true;
            let lead = self.lines.len().saturating_sub(LEAD_LINES);
            self.trace = self.lines.range(lead..).cloned().collect();
        }
        if self.in_trouble && self.trace.len() < TRACE_LINES {
            self.trace.push(line.to_owned());
        }
    }

    /// What `line` says of the end of the kernel, if it does.
    fn headline_of(&self, line: &str) -> Option<String> {
        if line.contains(PANIC) {
            return Some(without_time(line).to_owned());
        }
        let why = self.lines.iter().rev().find(|line| !line.is_empty());
        line.contains(HALTED).then(|| format!("{}{HALTED}", why.map_or("", String::as_str)))
    }

    /// The console around the first sign of trouble; without one, its last lines.
    fn trace(&self) -> Vec<String> {
        if self.in_trouble { self.trace.clone() } else { self.tail() }
    }

    fn tail(&self) -> Vec<String> {
        let unfinished = printable(&self.unfinished);
        let last = (!unfinished.is_empty()).then_some(unfinished);
        self.lines.iter().cloned().chain(last).collect()
    }
}

/// The line as text that does no harm to a terminal.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().map(|c| if c.is_control() && c != '\t' { '.' } else { c }).collect()
}

/// The line without the kernel's timestamp `[    1.234567] `.
fn without_time(line: &str) -> &str {
    match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((time, rest)) if time.trim().parse::<f64>().is_ok() => rest,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(console: &str) -> Text {
        let mut text = Text::default();
        text.push(console.as_bytes());
        text
    }

    #[test]
    fn a_panic_is_told_by_its_headline_and_what_led_to_it() {
        let text = text(
            "[    0.1] Linux version 6.12\r\n[    1.2] BUG: unable to handle page fault\r\n\
             [    1.2] RIP: 0010:f+0x1/0x2\r\n\
             [    1.3] Kernel panic - not syncing: Fatal exception\r\n[    1.3] ---[ end",
        );
        assert!(text.signs.panic);
        assert_eq!(text.headline.as_deref(), Some("Kernel panic - not syncing: Fatal exception"));
        assert_eq!(text.trace.len(), 4);
        assert_eq!(text.tail().last().map(String::as_str), Some("[    1.3] ---[ end"));
    }

    #[test]
    fn trouble_that_is_long_past_does_not_hide_the_panic() {
        let between: String = (0..90).map(|number| format!("line {number}\n")).collect();
        let console = format!("traps: a[9] general protection fault\n{between}Kernel panic - x\n");
        assert_eq!(text(&console).trace().last().map(String::as_str), Some("Kernel panic - x"));
    }

    #[test]
    fn a_kernel_that_cannot_be_unpacked_is_told_with_the_reason() {
        let text =
            text("Probing EDD... ok\r\n\r\nZSTD-compressed data is corrupt\r\n\n -- System halted");
        let headline = text.headline.as_deref();
        assert_eq!(headline, Some("ZSTD-compressed data is corrupt -- System halted"));
        assert_eq!(text.trace().len(), 5);
    }

    #[test]
    fn a_guest_that_never_ends_a_line_costs_bounded_memory() {
        let mut text = Text::default();
        for _ in 0..100 {
            text.push(&[b'x'; 4096]);
        }
        assert_eq!(text.tail(), ["x".repeat(LINE_BYTES)]);
    }

    #[test]
    fn only_the_last_lines_are_kept_and_nothing_that_moves_a_cursor() {
        let all: String = (0..100).map(|number| format!("line {number}\x1b[2J\n")).collect();
        let tail = text(&all).tail();
        assert_eq!(tail.len(), TAIL_LINES);
        assert_eq!(tail.last().map(String::as_str), Some("line 99.[2J"));
    }
}
