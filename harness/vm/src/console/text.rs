//! The last lines of a console, and what stood around signs of trouble.

use std::collections::VecDeque;

use super::sign::{HALTED, Sign};
use super::{Signs, TroubleKind};

/// Lines that an error brings along.
pub(super) const TAIL_LINES: usize = 30;

/// Lines before the first sign of trouble: the last words of an agent that died, say.
pub(super) const LEAD_LINES: usize = 10;

/// Most lines of a trace, with those before it.
pub(super) const TRACE_LINES: usize = 80;

/// Longer lines are cut: the guest is not trusted to end them.
pub(super) const LINE_BYTES: usize = 500;

/// What the console said that is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The line that says what happened.
    pub(crate) headline: String,
    /// The console from a little before that on, and its last lines.
    pub(crate) console: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Text {
    lines: VecDeque<String>,
    /// How many lines have ended.
    ended: usize,
    unfinished: Vec<u8>,
    /// The panic, and what led to it.
    end: Report,
    /// The line that says what the oops is that may lead to a panic.
    oops: Option<String>,
    memory: Report,
    lockup: Report,
    signs: Signs,
}

/// Something that is to be told with the lines around it.
#[derive(Debug, Default)]
struct Report {
    headline: Option<String>,
    begun: bool,
    trace: Vec<String>,
    /// Number of the first line of the trace.
    first: usize,
}

impl Text {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Signs {
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
        let sign = Sign::of(&line);
        if let Some(sign) = sign {
            self.begin(sign, &line);
        }
        for report in [&mut self.end, &mut self.memory, &mut self.lockup] {
            report.record(&line);
        }
        if let Some(sign) = sign {
            self.conclude(sign, &line);
        }
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
        self.ended += 1;
    }

    /// Begins a trace, unless the line belongs to one that is being taken down.
    fn begin(&mut self, sign: Sign, line: &str) {
        let report = match sign {
            Sign::Init => return,
            Sign::OomReport | Sign::OomKill => &mut self.memory,
            Sign::Lockup => &mut self.lockup,
            // A panic is the end: what comes after it is not told any more.
            _ if self.signs.panic => return,
            _ => &mut self.end,
        };
        let is_new = match sign {
            Sign::OomReport => true,
            // It is the end of a report, which may be long: how long a call trace is hangs on what
            // the stack happens to hold.
            Sign::OomKill | Sign::FatalException => !report.begun,
            _ => report.is_over(),
        };
        if is_new {
            let lead = self.lines.len().saturating_sub(LEAD_LINES);
            report.trace = self.lines.range(lead..).cloned().collect();
            report.first = self.ended - report.trace.len();
            report.begun = true;
        }
        if matches!(sign, Sign::Oops | Sign::Die) && (is_new || self.oops.is_none()) {
            self.oops = Some(without_time(line).to_owned());
        }
    }

    /// Takes in what the line says.
    fn conclude(&mut self, sign: Sign, line: &str) {
        match sign {
            Sign::Init => self.signs.init = true,
            Sign::Alarm | Sign::Oops | Sign::OomReport => {}
            Sign::Lockup => {
                // With its time: it may be long past.
                self.lockup.headline = Some(line.to_owned());
                self.count_trouble(TroubleKind::Lockup);
            }
            Sign::OomKill => {
                self.memory.headline = Some(without_time(line).to_owned());
                self.count_trouble(TroubleKind::Memory);
            }
            Sign::Die => self.count_trouble(TroubleKind::Oops),
            Sign::Panic => self.panic(without_time(line).to_owned()),
            Sign::FatalException => {
                let oops = self.oops.clone();
                self.panic(oops.unwrap_or_else(|| without_time(line).to_owned()));
            }
            Sign::Halted => {
                let why = self.lines.iter().rev().find(|line| !line.is_empty());
                self.panic(format!("{}{HALTED}", why.map_or("", String::as_str)));
            }
        }
    }

    fn panic(&mut self, headline: String) {
        self.end.headline.get_or_insert(headline);
        self.signs.panic = true;
    }

    fn count_trouble(&mut self, kind: TroubleKind) {
        self.signs.troubles += 1;
        self.signs.last = kind;
    }

    /// How the kernel ended.
    pub(super) fn end(&self) -> Option<Told> {
        self.end.headline.as_deref().map(|headline| self.tell(&self.end, headline))
    }

    /// The last trouble of a kind.
    pub(super) fn trouble(&self, kind: TroubleKind) -> Told {
        let (report, headline) = match kind {
            TroubleKind::Oops => (&self.end, &self.oops),
            TroubleKind::Memory => (&self.memory, &self.memory.headline),
            TroubleKind::Lockup => (&self.lockup, &self.lockup.headline),
        };
        self.tell(report, headline.as_deref().unwrap_or_default())
    }

    /// The last sign that something did not move.
    pub(super) fn lockup(&self) -> Option<Told> {
        self.lockup.headline.as_deref().map(|headline| self.tell(&self.lockup, headline))
    }

    fn tell(&self, report: &Report, headline: &str) -> Told {
        let mut console = report.trace.clone();
        let first_of_tail = self.ended - self.lines.len();
        let known = (report.first + console.len()).saturating_sub(first_of_tail);
        if report.first + console.len() < first_of_tail {
            console.push("...".to_owned());
        }
        console.extend(self.tail().into_iter().skip(known));
        Told { headline: headline.to_owned(), console }
    }

    /// The last lines.
    pub(super) fn tail(&self) -> Vec<String> {
        let unfinished = printable(&self.unfinished);
        let last = (!unfinished.is_empty()).then_some(unfinished);
        self.lines.iter().cloned().chain(last).collect()
    }
}

impl Report {
    fn record(&mut self, line: &str) {
        if self.begun && !self.is_over() {
            self.trace.push(line.to_owned());
        }
    }

    /// Whether what comes now does not belong to it. (A trace that is long past has not led to it.)
    fn is_over(&self) -> bool {
        !self.begun || self.trace.len() >= TRACE_LINES
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

    fn numbered(count: usize) -> String {
        (0..count).map(|number| format!("line {number}\n")).collect()
    }

    #[test]
    fn a_panic_is_told_by_the_oops_that_led_to_it() {
        let text = text(
            "[    0.1] Linux version 6.12\r\n\
             [    1.2] BUG: unable to handle page fault for address: 08\r\n\
             [    1.2] Oops: Oops: 0002 [#1] PREEMPT SMP\r\n\
             [    1.2] RIP: 0010:f+0x1/0x2\r\n\
             [    1.3] Kernel panic - not syncing: Fatal exception\r\n[    1.3] ---[ end",
        );
        assert!(text.signs.panic);
        let end = text.end().expect("told");
        assert_eq!(end.headline, "BUG: unable to handle page fault for address: 08");
        assert_eq!((end.console.len(), end.console[5].as_str()), (6, "[    1.3] ---[ end"));
        assert_eq!((text.signs.troubles, text.signs.last), (1, TroubleKind::Oops));
        assert_eq!(text.trouble(TroubleKind::Oops), end);
    }

    #[test]
    fn an_oops_of_many_lines_is_told_from_its_beginning() {
        let oops = "BUG: kernel NULL pointer dereference, address: 08\nRIP: 0010:f+0x1/0x2\n";
        let end = "Kernel panic - not syncing: Fatal exception";
        let told = text(&format!("{oops}{}{end}\n", numbered(200))).end().expect("told");
        assert!(told.headline.starts_with("BUG: kernel NULL"), "{}", told.headline);
        assert_eq!(told.console[1], "RIP: 0010:f+0x1/0x2");
        assert_eq!(told.console.last().map(String::as_str), Some(end));
    }

    #[test]
    fn a_panic_of_its_own_is_told_by_its_own_words() {
        let words = "Kernel panic - not syncing: Attempted to kill init!";
        let text = text(&format!("[    1.0] BUG: Bad page state\n[    1.3] {words}\n"));
        assert_eq!(text.end().expect("told").headline, words);
        assert_eq!(text.signs.troubles, 0);
    }

    #[test]
    fn trouble_that_is_long_past_does_not_hide_the_panic() {
        let past = "traps: a[9] general protection fault";
        let text = text(&format!("{past}\n{}Kernel panic - x\n", numbered(90)));
        let console = text.end().expect("told").console;
        assert_eq!(console.last().map(String::as_str), Some("Kernel panic - x"));
        assert!(!console.contains(&past.to_owned()));
    }

    #[test]
    fn a_kernel_that_cannot_be_unpacked_is_told_with_the_reason() {
        let console =
            "Probing EDD... ok\r\n\r\nZSTD-compressed data is corrupt\r\n\n -- System halted";
        let end = text(console).end().expect("told");
        assert_eq!(end.headline, "ZSTD-compressed data is corrupt -- System halted");
        assert_eq!(end.console.len(), 5);
    }

    #[test]
    fn a_lack_of_memory_is_trouble_unless_it_is_the_workloads_own() {
        let report = "a invoked oom-killer: gfp_mask=0x1\n";
        let own = format!("{report}Memory cgroup out of memory: Killed process 8 (a)\n");
        let mut text = text(&own);
        assert_eq!(text.signs.troubles, 0);
        let kill = "Out of memory: Killed process 9 (b)";
        text.push(format!("{report}{}[    9.0] {kill}\nmore\n", numbered(200)).as_bytes());
        assert_eq!((text.signs.troubles, text.signs.last), (1, TroubleKind::Memory));
        let told = text.trouble(TroubleKind::Memory);
        assert_eq!(told.headline, kill);
        assert_eq!(told.console.len(), TRACE_LINES + 1 + TAIL_LINES);
        assert_eq!(told.console[TRACE_LINES], "...");
        assert!(text.end().is_none());
    }

    #[test]
    fn each_lockup_is_trouble_and_the_last_is_told_with_its_time_and_trace() {
        let first = "[  130.0] watchdog: BUG: soft lockup - CPU#0 stuck for 122s! [a:1]";
        let second = "[  330.0] rcu: INFO: rcu_preempt self-detected stall on CPU";
        let trace = "[  330.0] RIP: 0010:delay_tsc+0x3c/0x60";
        let text = text(&format!("{first}\n{}{second}\n{trace}\n", numbered(3)));
        let told = text.trouble(TroubleKind::Lockup);
        assert_eq!((told.headline.as_str(), told.console.len()), (second, 6));
        assert_eq!(told.console.last().map(String::as_str), Some(trace));
        assert_eq!((text.signs.troubles, text.signs.last), (2, TroubleKind::Lockup));
        assert_eq!(text.end(), None);
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
