//! Copies: several pods out of one checkpoint.
//!
//! They are made twice. At first all at once and with nobody looking, to be timed: from the order
//! until a client on another node has an answer. Then one after the other, each captured before it
//! runs, to be judged; these stay.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures::future::try_join_all;
use model::Phase;
use model::message::{Destination, Event as GuestEvent, Place, Reply, Request};
use model::pod::PodIdentity;
use tokio::time::Instant;
use vm::Guest;

use super::files::ARCHIVE;
use super::phases::last_line;
use super::{GRACE, NodeName, OPERATION, REQUEST, Stage, Stop, millis, unexpected};
use crate::event::Event;

/// Of the tasks of each cgroup: its memory that is mapped, the same with each page divided by how
/// often it is mapped, in KiB; and the 16 random bytes that the kernel gave its first task
/// (`AT_RANDOM`, 25 in linux/auxvec.h), by which the C library guards stacks and pointers.
const LOOK: &str = r#"
set -e
for cgroup; do
    pids=$(cat "$cgroup/cgroup.procs")
    for pid in $pids; do cat "/proc/$pid/smaps_rollup"; done |
        awk '/^Rss:/ { rss += $2 } /^Pss:/ { pss += $2 } END { printf "%d %d ", rss, pss }'
    first=$(echo "$pids" | head -n 1)
    address=$(od -An -v -t u8 -w16 "/proc/$first/auxv" | awk '$1 == 25 { print $2 }')
    dd if="/proc/$first/mem" iflag=skip_bytes,count_bytes skip="$address" count=16 status=none | od -An -v -t x1 | tr -d ' '
done
"#;

/// What was seen of a copy's memory.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    mapped_kib: u64,
    own_kib: u64,
    random: String,
}

impl Stage {
    /// Who the copies are: as many as the user wants.
    #[must_use]
    pub fn copies(&self) -> Vec<PodIdentity> {
        (1..=self.setting.copies).map(|number| self.workload().copy(number)).collect()
    }

    /// From now on, the first answer of a pod that starts is timed by the observer on this node.
    pub fn time_answers(&mut self, from: NodeName) {
        self.answers_from = Some(from);
    }

    /// Restores all copies at once, and removes them when each has answered the observer, if there
    /// is one; if not, when each runs. Nothing else happens meanwhile: no capture, no hook.
    ///
    /// # Errors
    /// When one of them does not come back, or does not answer.
    pub async fn time_copies(
        &mut self,
        node: NodeName,
        copies: &[PodIdentity],
    ) -> Result<(), Stop> {
        self.times.has_no_downtime();
        let guest = self.guest(node)?;
        if let Some(client) = self.answers_from {
            self.bring_observer(client).await?;
        }
        let began = Instant::now();
        let answers = copies.iter().map(|copy| self.time_copy(&guest, copy, began));
        let times = try_join_all(answers).await?;
        let last = times.iter().flatten().max().copied();
        if let Some(last) = last {
            self.times.set("first_answer_restored", last);
        }
        self.answers = copies.iter().map(|copy| copy.name.clone()).zip(times).collect();
        let removals = copies.iter().map(|copy| {
            let request = Request::Remove { pod: copy.name.clone() };
            guest.request(request, REQUEST + GRACE)
        });
        try_join_all(removals).await?;
        Ok(())
    }

    /// Restores one copy. How long it took from `began` until it answered.
    async fn time_copy(
        &self,
        guest: &Guest,
        copy: &PodIdentity,
        began: Instant,
    ) -> Result<Option<Duration>, Stop> {
        let request = restore_to(Destination::As(copy.clone()));
        let mut operation = guest.begin(request, OPERATION + GRACE).await?;
        let mut answered = None;
        while let Some(event) = operation.next().await? {
            let runs = matches!(event, GuestEvent::Phase { phase: Phase::PostResume, .. });
            if let (true, Some(client)) = (runs, self.answers_from) {
                let observing = self.first_answer(client, &address(copy)).await?;
                answered = Some(began.elapsed());
                observing.end().await?;
            }
        }
        Ok(answered)
    }

    /// Restores the pod as a copy of itself, captures it (B) before it runs, and lets it run. What is
    /// judged from now on is this copy.
    ///
    /// # Errors
    /// As [`Stage::restore`].
    pub async fn restore_copy(&mut self, node: NodeName, copy: &PodIdentity) -> Result<(), Stop> {
        self.identity = Some(copy.clone());
        match self.operate(node, restore_to(Destination::As(copy.clone()))).await? {
            Reply::Restore(report) => self.restored(node, report).await?,
            other => return Err(unexpected("restore", &other)),
        }
        self.restored_copies.insert(copy.name.clone(), self.pod()?.clone());
        self.emit(Event::Copied {
            cell: self.cell(),
            address: address(copy),
            hostname: copy.hostname.clone(),
            first_answer_ms: self.answers.get(&copy.name).copied().flatten().map(millis),
        });
        Ok(())
    }

    /// What is asked and judged from now on is this copy, which was restored before.
    ///
    /// # Errors
    /// When it was not.
    pub fn turn_to(&mut self, copy: &PodIdentity) -> Result<(), Stop> {
        let pod = self.restored_copies.get(&copy.name).cloned();
        let unknown =
            || Stop::broken(format!("the story turns to {}, which is not there", copy.name));
        self.pod = Some(pod.ok_or_else(unknown)?);
        self.identity = Some(copy.clone());
        Ok(())
    }

    /// Looks at what running copies share. What they should not share is told as a finding.
    ///
    /// # Errors
    /// When the node is not sound.
    pub async fn compare_copies(&mut self, node: NodeName) -> Result<(), Stop> {
        let pods = self.restored_copies.values();
        let cgroups =
            pods.flat_map(|pod| &pod.containers).map(|it| it.cgroup.display().to_string());
        let shell = ["/bin/sh", "-c", LOOK, "look"].map(str::to_owned);
        let command: Vec<String> = shell.into_iter().chain(cgroups).collect();
        let deadline_ms = millis(REQUEST);
        let run = Request::Run { place: Place::Node, command, env: BTreeMap::new(), deadline_ms };
        let told = match self.guest(node)?.request(run, REQUEST + GRACE).await? {
            Reply::Exited { code: 0, stdout, .. } => String::from_utf8_lossy(&stdout).into_owned(),
            Reply::Exited { code, stdout, stderr } => {
                let said = last_line(&stderr, &stdout);
                return Err(Stop::broken(format!("looking at the copies ended by {code}{said}")));
            }
            other => return Err(unexpected("looking at the copies", &other)),
        };
        let seen: Option<Vec<Seen>> = told.lines().map(Seen::of).collect();
        let unclear = || Stop::broken(format!("node {node} says `{told}` about the copies"));
        for text in findings(&seen.ok_or_else(unclear)?) {
            self.emit(Event::Finding { cell: self.cell(), text });
        }
        Ok(())
    }
}

/// The order to restore the pod.
pub(super) fn restore_to(destination: Destination) -> Request {
    restore_from(ARCHIVE, destination)
}

/// The order to restore the pod of an archive.
pub(super) fn restore_from(archive: &str, destination: Destination) -> Request {
    let (archive, deadline_ms) = (PathBuf::from(archive), millis(OPERATION));
    Request::Restore { archive, destination, deadline_ms }
}

/// A pod's address without the length of its prefix; empty without a link.
pub(super) fn address(identity: &PodIdentity) -> String {
    let address = identity.link.as_ref().and_then(|link| link.address.split('/').next());
    address.unwrap_or_default().to_owned()
}

impl Seen {
    fn of(line: &str) -> Option<Seen> {
        let mut words = line.split(' ');
        let mut number = || words.next()?.parse().ok();
        let (mapped_kib, own_kib) = (number()?, number()?);
        let random = words.next().filter(|random| random.len() == 32)?.to_owned();
        Some(Seen { mapped_kib, own_kib, random })
    }
}

/// What is to be told of copies, in words.
fn findings(seen: &[Seen]) -> Vec<String> {
    let mib = |of: fn(&Seen) -> u64| seen.iter().map(of).sum::<u64>() >> 10;
    let (mapped, own) = (mib(|it| it.mapped_kib), mib(|it| it.own_kib));
    let mut findings = vec![format!(
        "{} copies map {mapped} MiB, which take {own} MiB: the rest is there once for several",
        seen.len()
    )];
    if seen.windows(2).any(|pair| pair[0].random == pair[1].random) {
        findings.push(
            "copies share what was drawn at random before the checkpoint, such as the 16 bytes of \
             AT_RANDOM, of which the C library makes the guards of stacks and pointers: who learns \
             them of one copy knows them of all (CRIU restores memory as it was)"
                .to_owned(),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_copies_share_is_told() {
        let random = "00112233445566778899aabbccddeeff";
        let seen = ["20480 10240", "10240 1024"].map(|kib| Seen::of(&format!("{kib} {random}")));
        let told = findings(&seen.map(|seen| seen.expect("a line")));
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("2 copies map 30 MiB, which take 11 MiB"), "{}", told[0]);
        assert_eq!(Seen::of("1 2 short"), None);
        assert_eq!(Seen::of("1 no 00112233445566778899aabbccddeeff"), None);
    }
}
