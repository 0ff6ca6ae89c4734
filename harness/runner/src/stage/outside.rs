//! The level *outside*: what a client on another node saw of the service, all along.
//!
//! A workload's observer is a program that keeps one raw connection to the service and works over
//! it until its standard input ends. Asked `answered?` there, it writes a line `answered: N` as
//! soon as something that it asked for after the question was answered; its last line is
//! `outside: {"resets", "lost_bytes", "doubled_bytes", "gap_ms", "unanswered"}`: how often its
//! connection ended, what was missing or came twice by its own account, the longest time between
//! two answers, and what was not answered in the end.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::timeout;
use vm::Guest;
use vm::exec::{Exec, Output, Ran, Running};

use super::phases::last_line;
use super::{NodeName, REQUEST, Stage, Stop};
use crate::event::Event;
use crate::verdict::{Difference, Level, LevelVerdict};
use crate::workload::{NETWORK, Observer};

/// Where a node has the observer.
const OBSERVER: &str = "/run/cryolab/observer";

/// How long the first answer, and the first after the event, may take: TCP waits up to as long
/// again as the service was away before it sends anything again.
const ANSWER: Duration = Duration::from_secs(240);

/// How long an observer may take to come to its end.
const END: Duration = Duration::from_secs(90);

/// An observer that runs.
#[derive(Debug)]
pub(super) struct Observing {
    pub(super) from: NodeName,
    running: Running,
    heard: Ran,
}

/// What an observer says in the end.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct Report {
    resets: u64,
    lost_bytes: u64,
    doubled_bytes: u64,
    gap_ms: u64,
    #[serde(default)]
    unanswered: u64,
}

impl Stage {
    /// Lets the network of the pods of `node` be reached from another node on its wire. To be done
    /// before the pod starts: its network namespace inherits IPv4 settings from its node, of which
    /// forwarding is one.
    ///
    /// # Errors
    /// When one of the nodes is not sound, or on no wire.
    pub async fn route(&mut self, from: NodeName, node: NodeName) -> Result<(), Stop> {
        let lab = self.lab()?;
        let unwired = || Stop::broken(format!("node {node} is on no wire"));
        let gateway = lab.address(node.0).ok_or_else(unwired)?;
        self.forward(node).await?;
        let route = ["ip", "route", "replace", NETWORK, "via", &gateway];
        must(&self.guest(from)?, &route).await
    }

    /// Lets a node pass on what comes for its pods. A pod that was on a node that does is to be
    /// restored on one that does, since its network namespace inherits it.
    ///
    /// # Errors
    /// When the node is not sound.
    pub async fn forward(&mut self, node: NodeName) -> Result<(), Stop> {
        must(&self.guest(node)?, &["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]).await
    }

    /// Lets the workload's observer watch the service from another node, from which there is a
    /// [`Stage::route`]. Returns when the service has answered it.
    ///
    /// # Errors
    /// When the workload has no observer, or the service does not answer it.
    pub async fn observe(&mut self, from: NodeName) -> Result<(), Stop> {
        if self.is_retold && !self.observing.is_empty() {
            return Ok(());
        }
        self.bring_observer(from).await?;
        let observing = self.first_answer(from, &self.pod_address()).await?;
        self.observing.push(observing);
        self.emit(Event::Observed { cell: self.cell(), node: from.to_string() });
        Ok(())
    }

    /// Puts the workload's observer on a node.
    pub(super) async fn bring_observer(&self, node: NodeName) -> Result<(), Stop> {
        let bytes = fs_err::read(&self.observer()?.binary)?;
        Ok(self.guest(node)?.put(Path::new(OBSERVER), 0o755, &bytes).await?)
    }

    /// Lets the observer that is on a node begin to watch a pod. Returns when that has answered.
    pub(super) async fn first_answer(
        &self,
        from: NodeName,
        address: &str,
    ) -> Result<Observing, Stop> {
        let arguments = &self.observer()?.command;
        let arguments = arguments.iter().map(|word| word.replace("{address}", address));
        let exec = Exec::new(std::iter::once(OBSERVER.to_owned()).chain(arguments));
        let running = self.guest(from)?.exec(exec).await?;
        let mut observing = Observing { from, running, heard: Ran::default() };
        match timeout(self.on_host(ANSWER), observing.ask()).await {
            Ok(Ok(true)) => Ok(observing),
            Ok(Ok(false)) => {
                let said = last_line(&observing.heard.stderr, &observing.heard.stdout);
                let code = observing.heard.code;
                Err(Stop::broken(format!("the observer ended at once by {code}{said}")))
            }
            Ok(Err(stop)) => Err(stop),
            Err(_) => Err(Stop::broken("the service does not answer the observer")),
        }
    }

    fn observer(&self) -> Result<&Observer, Stop> {
        let observer = self.workload().observer.as_ref();
        observer.ok_or_else(|| Stop::unsupported("the workload has no `observer`"))
    }

    /// Judges the level *outside*, if there are observers: ends their watch and holds against it
    /// what they saw.
    ///
    /// # Errors
    /// When their node is not sound.
    pub async fn outside(&mut self) -> Result<(), Stop> {
        if self.observing.is_empty() {
            self.leave_out(Level::Outside, "this scenario has no observer on another node");
        }
        for observing in std::mem::take(&mut self.observing) {
            self.end_watch(observing).await?;
        }
        Ok(())
    }

    async fn end_watch(&mut self, mut observing: Observing) -> Result<(), Stop> {
        // An observer that gets no answer says so in its report.
        if let Ok(asked) = timeout(self.on_host(ANSWER), observing.ask()).await {
            asked?;
        }
        let late = |_| Stop::broken(format!("the observer does not end within {END:?}"));
        let ran = timeout(self.on_host(END), observing.end()).await.map_err(late)??;
        let verdict = match ran.report() {
            Ok(report) => self.seen(&report),
            Err(why) => LevelVerdict::judged(Level::Outside, vec![no_report(why)]),
        };
        self.judge(Level::Outside, verdict);
        Ok(())
    }

    fn seen(&self, report: &Report) -> LevelVerdict {
        let mut verdict = LevelVerdict::judged(Level::Outside, differences(report))
            .count("resets", report.resets)
            .count("lost_bytes", report.lost_bytes)
            .count("doubled_bytes", report.doubled_bytes)
            .count("gap_ms", report.gap_ms);
        if verdict.differences.is_empty() {
            let ms = self.times.verifier_ms();
            verdict.reason = format!("the gap has {ms} ms of captures and hooks in it");
        }
        verdict
    }

    /// So long the host waits here for what may take `emulated` under TCG.
    pub(super) fn on_host(&self, emulated: Duration) -> Duration {
        self.setting.machine.pace().on_host(emulated)
    }
}

impl Observing {
    /// Asks whether the service answers, and waits until it does; false when the observer ends.
    async fn ask(&mut self) -> Result<bool, Stop> {
        let told = self.answers();
        self.running.input().write(b"answered?\n").await?;
        while self.answers() == told {
            if !self.hear().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends its input and waits for its end.
    pub(super) async fn end(mut self) -> Result<Ended, Stop> {
        self.running.input().end().await?;
        while self.hear().await? {}
        Ok(Ended(self.heard))
    }

    /// Takes in what it says next; false when it has ended.
    async fn hear(&mut self) -> Result<bool, Stop> {
        match self.running.next().await? {
            Output::Stdout(bytes) => self.heard.stdout.extend(bytes),
            Output::Stderr(bytes) => self.heard.stderr.extend(bytes),
            Output::Exited(code) => {
                self.heard.code = code;
                return Ok(false);
            }
        }
        if self.heard.stdout.len() + self.heard.stderr.len() > MOST_SAID {
            return Err(Stop::broken("the observer says more than a mebibyte"));
        }
        Ok(true)
    }

    /// How often it has said that the service answered.
    fn answers(&self) -> usize {
        let said = String::from_utf8_lossy(&self.heard.stdout);
        let ended = said.rsplit_once('\n').map_or("", |(ended, _)| ended);
        ended.lines().filter(|line| line.starts_with("answered: ")).count()
    }
}

/// Most bytes that an observer may write.
const MOST_SAID: usize = 1 << 20;

/// An observer that has ended.
pub(super) struct Ended(Ran);

impl Ended {
    /// Its report, or why there is none.
    fn report(&self) -> Result<Report, String> {
        let Ran { code, stdout, stderr } = &self.0;
        let said = last_line(stderr, stdout);
        if *code != 0 {
            return Err(format!("exit code {code}{said}"));
        }
        let text = String::from_utf8_lossy(stdout);
        let last = text.lines().next_back().and_then(|line| line.strip_prefix("outside: "));
        let last = last.ok_or_else(|| format!("no line `outside: {{...}}`{said}"))?;
        serde_json::from_str(last).map_err(|error| format!("`{last}`: {error}"))
    }
}

async fn must(guest: &Guest, command: &[&str]) -> Result<(), Stop> {
    let ran = guest.run(command.iter().copied(), REQUEST).await?;
    if ran.code == 0 {
        return Ok(());
    }
    let said = last_line(&ran.stderr, &ran.stdout);
    Err(Stop::broken(format!("`{}` ended by {}{said}", command.join(" "), ran.code)))
}

/// What an observer must not have seen.
fn differences(report: &Report) -> Vec<Difference> {
    let counts = [
        ("resets", report.resets),
        ("lost_bytes", report.lost_bytes),
        ("doubled_bytes", report.doubled_bytes),
        ("unanswered", report.unanswered),
    ];
    let seen = counts.into_iter().filter(|(_, count)| *count > 0);
    seen.map(|(name, count)| difference(name, "0", count.to_string())).collect()
}

fn no_report(why: String) -> Difference {
    difference("report", "there", why)
}

fn difference(name: &str, before: &str, after: String) -> Difference {
    Difference::of(format!("outside.{name}"), before, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, stdout: &str, stderr: &str) -> Ended {
        Ended(Ran { code, stdout: stdout.into(), stderr: stderr.into() })
    }

    #[test]
    fn an_observer_that_saw_nothing_wrong_reports_a_gap() {
        let said = "answered: 3\noutside: {\"resets\":0,\"lost_bytes\":0,\"doubled_bytes\":0,\
                    \"gap_ms\":812,\"answers\":9}\n";
        let report = ended(0, said, "").report().expect("a report");
        assert_eq!(report, Report { gap_ms: 812, ..Report::default() });
        assert!(differences(&report).is_empty());
    }

    #[test]
    fn whatever_it_saw_is_a_difference_by_its_name() {
        let report = Report { resets: 1, lost_bytes: 9, unanswered: 2, ..Report::default() };
        let told: Vec<String> = differences(&report).iter().map(Difference::in_words).collect();
        let expected = [
            "outside.resets was `0`, is `1`",
            "outside.lost_bytes was `0`, is `9`",
            "outside.unanswered was `0`, is `2`",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn an_observer_without_a_report_has_seen_no_equal_service() {
        let why = ended(2, "answered: 1\n", "redis-client: connect: refused\n").report();
        assert_eq!(why.expect_err("none"), "exit code 2: redis-client: connect: refused");
        let why = ended(0, "answered: 1\n", "").report().expect_err("none");
        assert!(why.starts_with("no line `outside: {...}`: answered: 1"), "{why}");
    }
}
