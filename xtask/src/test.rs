//! `cargo xtask test`: all tests, the fast ones first.

use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use xshell::{Shell, cmd};

use crate::fuzz;
use crate::programs::{GUEST_PROGRAMS, Programs, build_static, cargo};
use crate::tally::Tally;

/// Tells tests that `--full` is asked for: then they look at all of the catalogue.
const FULL: &str = "CRYOLAB_TEST_FULL";

/// What a filter must be part of for these parts to run: they are no tests of cargo's.
const SWEEP: &str = "sweep";
const FUZZING: &str = "fuzzing";

/// Packages with tests that boot machines.
const WITH_MACHINES: [&str; 2] = ["vm", "scenarios"];

/// What tests are told of images, and by which variable.
const IMAGES: [(&str, &str); 6] = [
    ("CRYOLAB_TEST_KERNEL", "kernel"),
    ("CRYOLAB_TEST_MODULES", "modules"),
    ("CRYOLAB_TEST_INITRAMFS", "initramfs"),
    ("CRYOLAB_TEST_ROOTFS", "rootfs"),
    ("CRYOLAB_TEST_CRIU", "criu"),
    ("CRYOLAB_TEST_CACHE", "cache"),
];

/// Suites of the sweep.
const KERNELS: &str = "bookworm,trixie,trixie-backports,sid";
const CRIUS: &str = "bookworm,trixie,sid";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only tests whose names contain this
    filter: Option<String>,
    /// Look at all of the catalogue; then sweep every kernel with every CRIU, and fuzz what comes
    /// from a guest (with a filter: where `sweep` or `fuzzing` contains it)
    #[arg(long)]
    full: bool,
}

/// Runs the parts, up to the first that fails.
pub(crate) fn test(shell: &Shell, options: &Options) -> Result<()> {
    tell_plan(options);
    let mut tally = Tally::new(std::io::stdout());
    tally.run("fast tests", vec![with_filter(&["test", "--workspace"], options)])?;
    let machines = Machines::prepare(shell, &mut tally)?;
    for package in WITH_MACHINES {
        let mut command = with_filter(&["test", "--package", package], options);
        command.args(["--", "--ignored"]);
        if options.full {
            command.env(FULL, "1");
        }
        tally.run(package, vec![machines.told_to(command)])?;
    }
    if options.runs(SWEEP) {
        tally.run(SWEEP, vec![machines.sweep()])?;
    }
    if options.runs(FUZZING) {
        let targets = tally.prepare("fuzz targets", fuzz::prepare)?;
        tally.run(FUZZING, targets)?;
    }
    let nothing = || format!("no test matches `{}`", options.filter.as_deref().unwrap_or(""));
    ensure!(tally.passed() > 0 || options.runs(SWEEP) || options.runs(FUZZING), nothing());
    eprintln!("\n{tally}");
    tally.told().for_each(|line| eprintln!("{line}"));
    Ok(())
}

impl Options {
    /// Whether a part that only `--full` has is asked for.
    fn runs(&self, part: &str) -> bool {
        self.full && self.filter.as_deref().is_none_or(|filter| part.contains(filter))
    }
}

fn tell_plan(options: &Options) {
    let part = |part, words| if options.runs(part) { words } else { "" };
    let sweep = part(SWEEP, ", sweep of kernels and CRIUs");
    let fuzzing = part(FUZZING, ", a minute of fuzzing");
    let filter = options.filter.as_deref().map(|it| format!(", only `{it}`")).unwrap_or_default();
    let machines = WITH_MACHINES.join(", ");
    eprintln!(
        "plan: fast tests, programs, images, tests that boot machines ({machines}){sweep}{fuzzing}{filter}"
    );
}

fn with_filter(words: &[&str], options: &Options) -> Command {
    let mut command = cargo();
    command.args(words).args(&options.filter);
    command
}

/// What tests that boot machines need.
#[derive(Debug)]
struct Machines {
    programs: Programs,
    /// Variables that tell tests where images are.
    images: Vec<(&'static str, String)>,
    guest: String,
}

impl Machines {
    /// Builds programs and images.
    fn prepare(shell: &Shell, tally: &mut Tally<impl Write>) -> Result<Self> {
        let (programs, examples) = tally.prepare("programs", || {
            let examples = build_static(["--package", "vm", "--example", "mishap_guest"])?;
            Ok((Programs::build()?, examples))
        })?;
        let mut build = Command::new(&programs.cryolab);
        build.args(["images", "build"]).env(GUEST_PROGRAMS, &programs.guest);
        tally.run("images", vec![build])?;
        let cryolab = &programs.cryolab;
        let mut images = Vec::new();
        for (variable, what) in IMAGES {
            let path = cmd!(shell, "{cryolab} images path {what}");
            let path = path.env(GUEST_PROGRAMS, &programs.guest).quiet().ignore_stderr().read();
            images.push((variable, path.with_context(|| format!("find the {what} for tests"))?));
        }
        let guest = examples.join("examples/mishap_guest").display().to_string();
        Ok(Machines { programs, images, guest })
    }

    /// Tells a test command where everything is.
    fn told_to(&self, mut command: Command) -> Command {
        command
            .env(GUEST_PROGRAMS, &self.programs.guest)
            .envs(self.images.iter().map(|(variable, path)| (variable, path)))
            .env("CRYOLAB_TEST_GUEST", &self.guest);
        command
    }

    /// One cell for every kernel and CRIU; it fails where one is not as expected.
    fn sweep(&self) -> Command {
        let mut command = Command::new(&self.programs.cryolab);
        command.args(["e2e", "--scenario", "reboot", "--kernel", KERNELS, "--criu", CRIUS]);
        self.told_to(command)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(None, true, true)]
    #[case(Some("complete"), true, false)]
    #[case(Some("sweep"), true, true)]
    #[case(None, false, false)]
    fn a_filter_holds_for_the_sweep_too(
        #[case] filter: Option<&str>,
        #[case] full: bool,
        #[case] expected: bool,
    ) {
        let options = Options { filter: filter.map(str::to_owned), full };
        assert_eq!(options.runs(SWEEP), expected);
    }
}
