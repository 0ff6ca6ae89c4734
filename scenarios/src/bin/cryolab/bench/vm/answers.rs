//! The first answer of a fork, beside a boot of the same machine, vng's and QEMU's own snapshot;
//! the next answer; and the memory that each of them shares with nobody.

use std::time::Duration;

use anyhow::Context as _;
use fs_err as fs;
use model::message::Request;
use tokio::time::Instant;
use vm::Node;
use vm_images::Progress;

use super::bed::Bed;
use super::twin::Twin;
use super::vng::Vng;
use crate::bench::figure::{Figure, Sample, What};

/// How often each of them takes its turn.
const ROUNDS: u32 = 5;

/// Forks are quick: as many in each round.
const FORKS: u32 = 4;

/// Fewer runs are no figure.
const LEAST_RUNS: usize = 3;

/// The peer that is a boot of the same machine.
const OWN: &str = "own boot";

const SOON: Duration = Duration::from_secs(30);

/// What is seen of machines of one sort.
#[derive(Debug, Default)]
struct Seen {
    first_answer: Sample,
    next_answer: Sample,
    private: Sample,
}

/// Who takes turns.
#[derive(Debug)]
struct Turns {
    forks: Seen,
    boots: Seen,
    /// The same for the machine of a lab.
    lab_forks: Seen,
    lab_boots: Seen,
    vng: Invited<Vng>,
    twin: Invited<Twin>,
}

/// A peer that may fail, at once or at some of its turns.
#[derive(Debug)]
struct Invited<T> {
    peer: anyhow::Result<T>,
    seen: Seen,
    trouble: Option<anyhow::Error>,
}

/// Lets all of them take turns.
pub(super) async fn measure(
    bed: &Bed,
    vng: anyhow::Result<Vng>,
    twin: anyhow::Result<Twin>,
    progress: &dyn Progress,
) -> anyhow::Result<Vec<Figure>> {
    let mut turns = Turns {
        forks: Seen::default(),
        boots: Seen::default(),
        lab_forks: Seen::default(),
        lab_boots: Seen::default(),
        vng: Invited::new(vng),
        twin: Invited::new(twin),
    };
    // What one more of them costs is seen while another one has its share of what they share.
    let mut companions = Vec::new();
    for machine in [&bed.plain, &bed.lab] {
        companions.push(bed.fork(machine, bed.seat(machine)?).await?);
    }
    let step = progress.begin("answers of forks, boots, vng and snapshots");
    for round in 1..=ROUNDS {
        step.say(&format!("round {round} of {ROUNDS}"));
        turns.round(bed).await?;
    }
    step.finish(&format!("{ROUNDS} rounds"));
    drop(companions);
    Ok(turns.figures())
}

impl Turns {
    async fn round(&mut self, bed: &Bed) -> anyhow::Result<()> {
        let Turns { forks, boots, lab_forks, lab_boots, .. } = self;
        for (machine, forks) in [(&bed.plain, forks), (&bed.lab, lab_forks)] {
            for _ in 0..FORKS {
                let seat = bed.seat(machine)?;
                let began = Instant::now();
                forks.look(began, bed.fork(machine, seat).await?).await?;
            }
        }
        for (machine, boots) in [(&bed.plain, boots), (&bed.lab, lab_boots)] {
            let seat = bed.seat(machine)?;
            let began = Instant::now();
            boots.look(began, machine.boot(seat).await?).await?;
        }
        if let Ok(vng) = &self.vng.peer {
            match vng.first_answer().await {
                Ok(took) => self.vng.seen.first_answer.push(milliseconds(took)),
                Err(error) => self.vng.trouble = Some(error),
            }
        }
        if let Ok(twin) = &self.twin.peer {
            match twin.first_answer(bed.seat(&bed.plain)?.identity).await {
                Ok(answer) => self.twin.seen.note(answer.took, answer.private_mib),
                Err(error) => self.twin.trouble = Some(error),
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        let Turns { forks, boots, lab_forks, lab_boots, vng, twin } = self;
        let (first, private) = (|| What::ms("first answer"), || What::mib("private memory"));
        let (lab_first, lab_private) =
            (What::ms("lab node: first answer"), What::mib("lab node: private memory"));
        let had = |sample: &Sample| Ok(sample.clone());
        let of_vng = vng.outcome(|seen| &seen.first_answer);
        let of_twin = twin.outcome(|seen| &seen.first_answer);
        let private_of_twin = twin.outcome(|seen| &seen.private);
        let (answer, next, booted) = (&forks.first_answer, &forks.next_answer, &boots.first_answer);
        vec![
            Figure::beside(first(), answer, OWN, had(booted)),
            Figure::beside(first(), answer, "vng", of_vng.clone()),
            Figure::beside(first(), answer, "snapshot-load", of_twin),
            Figure::beside(private(), &forks.private, OWN, had(&boots.private)),
            Figure::beside(private(), &forks.private, "snapshot-load", private_of_twin),
            Figure::beside(What::ms("next answer"), next, OWN, had(&boots.next_answer)),
            Figure::beside(What::ms("boot"), booted, "vng", of_vng),
            Figure::beside(lab_first, &lab_forks.first_answer, OWN, had(&lab_boots.first_answer)),
            Figure::beside(lab_private, &lab_forks.private, OWN, had(&lab_boots.private)),
        ]
    }
}

impl Seen {
    /// Notes a node that has just answered for the first time, and ends it.
    async fn look(&mut self, began: Instant, node: Node) -> anyhow::Result<()> {
        let first = began.elapsed();
        let asked = Instant::now();
        node.guest().request(Request::Ping, SOON).await?;
        self.next_answer.push(milliseconds(asked.elapsed()));
        self.note(first, private_mib(node.pid())?);
        node.kill().await;
        Ok(())
    }

    fn note(&mut self, first: Duration, private_mib: f64) {
        self.first_answer.push(milliseconds(first));
        self.private.push(private_mib);
    }
}

impl<T> Invited<T> {
    fn new(peer: anyhow::Result<T>) -> Invited<T> {
        Invited { peer, seen: Seen::default(), trouble: None }
    }

    /// What it came to, or why that is nothing.
    fn outcome(&self, of: impl Fn(&Seen) -> &Sample) -> Result<Sample, String> {
        let sample = of(&self.seen);
        match (&self.peer, &self.trouble) {
            (Err(error), _) => Err(format!("{error:#}")),
            (Ok(_), Some(error)) if sample.runs() < LEAST_RUNS => Err(format!("{error:#}")),
            (Ok(_), _) => Ok(sample.clone()),
        }
    }
}

/// Memory of a process that it shares with no other one, in MiB.
pub(super) fn private_mib(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    private_of(&fs::read_to_string(&path)?).context(path)
}

fn private_of(rollup: &str) -> Option<f64> {
    let kib = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
    };
    Some((kib("Private_Clean:")? + kib("Private_Dirty:")?) / 1024.0)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_memory_is_what_is_clean_and_what_is_dirty() {
        let rollup =
            "Rss:  9000 kB\nPrivate_Clean:   1024 kB\nPrivate_Dirty:  512 kB\nSwap: 0 kB\n";
        assert_eq!(private_of(rollup), Some(1.5));
        assert_eq!(private_of("Rss: 9000 kB"), None);
    }

    #[test]
    fn a_peer_with_too_few_runs_is_none_and_its_trouble_is_told() {
        let mut peer = Invited::new(Ok(()));
        peer.trouble = Some(anyhow::anyhow!("it panicked"));
        peer.seen.note(Duration::from_secs(1), 1.0);
        assert_eq!(peer.outcome(|seen| &seen.first_answer), Err("it panicked".to_owned()));
        peer.seen.note(Duration::from_secs(2), 1.0);
        peer.seen.note(Duration::from_secs(3), 1.0);
        assert_eq!(peer.outcome(|seen| &seen.first_answer).map(|it| it.median()), Ok(2000.0));
    }
}
