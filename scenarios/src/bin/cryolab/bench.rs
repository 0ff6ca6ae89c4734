//! `cryolab bench`: how much better than a peer that runs beside it, and what else costs time.

mod figure;
mod micro;
mod verify;
mod vm;

use anyhow::anyhow;
use clap::ValueEnum;

use self::figure::Figure;
use self::micro::Micro;
use crate::print;
use crate::status::Exit;

/// The benches that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// Boots, forks, answers, memory and wires of machines, beside other ways to have them
    Vm,
    /// What the verdict costs, beside the dump and restore that it is about
    Verify,
    /// Digests of pages, rules of facts and comparisons
    Verdict,
    /// Reading and writing CRIU's images
    Codec,
    /// Messages between host and guest
    Framing,
    /// The switch that wires end at
    Switch,
}

impl Bench {
    /// What criterion measures, without a machine.
    fn micro(self) -> Option<Micro> {
        let (package, target) = match self {
            Bench::Vm | Bench::Verify => return None,
            Bench::Verdict => ("state", "verdict"),
            Bench::Codec => ("criu", "image"),
            Bench::Framing => ("model", "frame"),
            Bench::Switch => ("vm", "wire"),
        };
        Some(Micro { package, target })
    }
}

/// Runs a bench and prints its figures; without one, lists them.
pub(crate) fn run(bench: Option<Bench>, json: bool) -> Result<u8, Exit> {
    let Some(bench) = bench else { return list() };
    match bench.micro() {
        Some(micro) if !json => micro.show()?,
        Some(micro) => told(bench, &micro.measure()?, json)?,
        None if bench == Bench::Verify => {
            told(bench, &verify::measure().map_err(Exit::lab)?, json)?;
        }
        None => {
            let mut figures = Vec::new();
            let done = vm::measure(&mut figures);
            // Whatever else went wrong.
            told(bench, &figures, json)?;
            done?;
        }
    }
    Ok(0)
}

fn list() -> Result<u8, Exit> {
    let value = |bench: &Bench| bench.to_possible_value();
    let lines = Bench::value_variants().iter().filter_map(value).map(|value| {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        format!("{:<8} {help}\n", value.get_name())
    });
    print(&lines.collect::<String>())?;
    Ok(0)
}

fn told(bench: Bench, figures: &[Figure], json: bool) -> Result<(), Exit> {
    let value = bench.to_possible_value().ok_or_else(|| anyhow!("a bench without a name"))?;
    let text = match json {
        true => figure::json_lines(value.get_name(), figures),
        false => figure::table(figures),
    };
    print(&text)?;
    eprint!("{}", figure::lacking(figures));
    Ok(())
}
