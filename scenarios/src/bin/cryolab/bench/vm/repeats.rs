//! How well a figure of a guest repeats in virtual time, beside real time.
//!
//! The figure is the time from the kernel's first clock tick to its init, as the kernel's own log
//! has it. In virtual time a nanosecond is an instruction, so what else the host does does not
//! show. All runs have the same seed.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::{Context as _, bail};
use model::message::{Place, Reply, Request};
use vm::{Accel, Machine, Node, Time};
use vm_images::Progress;

use super::bed::Bed;
use crate::bench::figure::{Better, Figure, Sample, What};

/// Boots of each sort; the differences are those of one boot and the next.
const BOOTS: u32 = 4;

const SEED: u64 = 1;

const SOON: Duration = Duration::from_secs(60);

/// What the kernel says when it hands over.
const HANDS_OVER: &str = "Run /init as init process";

const DIFFERENCE: What =
    What { name: Cow::Borrowed("difference of two boots"), unit: "%", better: Better::Less };

/// The kernel's share of a boot, in instructions.
const INSTRUCTIONS: What =
    What { name: Cow::Borrowed("kernel boot"), unit: "M instr", better: Better::Less };

/// Boots in virtual and in real time by turns. Nothing where time cannot be virtual.
pub(super) async fn measure(bed: &Bed, progress: &dyn Progress) -> anyhow::Result<Vec<Figure>> {
    if bed.plain.accel != Accel::Tcg {
        return Ok(Vec::new());
    }
    let machine = |time| Machine { time, cpus: 1, ..bed.plain.clone() };
    let (with_instructions, real) = (machine(Time::Virtual), machine(Time::Real));
    let step = progress.begin("boots in virtual and in real time");
    let (mut counted, mut measured) = (Vec::new(), Vec::new());
    for boot in 1..=BOOTS {
        step.say(&format!("boot {boot} of {BOOTS}"));
        counted.push(kernel_us(bed, &with_instructions).await?);
        measured.push(kernel_us(bed, &real).await?);
    }
    step.finish(&format!("{BOOTS} of each"));
    // A thousand instructions are a microsecond.
    let instructions: Sample = counted.iter().map(|us| us / 1000.0).collect();
    Ok(vec![
        Figure::alone(INSTRUCTIONS, &instructions),
        Figure::beside(DIFFERENCE, &differences(&counted), "real time", Ok(differences(&measured))),
    ])
}

/// How far each value is from the one before it, in percent.
fn differences(values: &[f64]) -> Sample {
    values.windows(2).map(|pair| (pair[1] / pair[0] - 1.0).abs() * 100.0).collect()
}

/// Boots; when the kernel handed over to its init, in microseconds of its own clock.
async fn kernel_us(bed: &Bed, machine: &Machine) -> anyhow::Result<f64> {
    let mut seat = bed.seat(machine)?;
    seat.seed = Some(SEED);
    let node = machine.boot(seat).await?;
    let log = kernel_log(&node).await?;
    node.kill().await;
    handed_over_us(&log).with_context(|| format!("the kernel's log has no `{HANDS_OVER}`"))
}

async fn kernel_log(node: &Node) -> anyhow::Result<String> {
    let request = Request::Run {
        place: Place::Node,
        command: ["dmesg"].map(str::to_owned).into(),
        env: Default::default(),
        deadline_ms: u64::try_from(SOON.as_millis())?,
    };
    match node.guest().request(request, SOON * 2).await? {
        Reply::Exited { code: 0, stdout, .. } => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        other => bail!("dmesg: {other:?}"),
    }
}

/// Reads `[    2.583350] Run /init as init process`.
fn handed_over_us(log: &str) -> Option<f64> {
    let line = log.lines().find(|line| line.contains(HANDS_OVER))?;
    let (time, _) = line.strip_prefix('[')?.split_once(']')?;
    Some(time.trim().parse::<f64>().ok()? * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_init_is_read_from_the_log() {
        let log = "[    0.000000] Linux version 6.12\n[    2.583350] Run /init as init process\n";
        assert_eq!(handed_over_us(log), Some(2_583_350.0));
        assert_eq!(handed_over_us("[    1.0] nothing"), None);
    }

    #[test]
    fn differences_are_those_of_neighbours() {
        assert_eq!(differences(&[100.0, 101.0, 50.5]).quartiles(), [13.25, 37.75]);
    }
}
