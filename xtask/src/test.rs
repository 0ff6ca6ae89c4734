//! `cargo xtask test`: all tests, the fast ones first.

use std::io::Write;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use xshell::{Shell, cmd};

use crate::fuzz;
use crate::programs::{GUEST_PROGRAMS, Programs, build_static, cargo};
use crate::tally::Tally;

/// Packages with tests that boot machines.
const WITH_MACHINES: [&str; 2] = ["vm", "scenarios"];

/// What tests are told of images, and by which variable.
const IMAGES: [(&str, &str); 5] = [
    ("CRYOLAB_TEST_KERNEL", "kernel"),
    ("CRYOLAB_TEST_MODULES", "modules"),
    ("CRYOLAB_TEST_INITRAMFS", "initramfs"),
    ("CRYOLAB_TEST_ROOTFS", "rootfs"),
    ("CRYOLAB_TEST_CACHE", "cache"),
];

/// Suites of the sweep.
const KERNELS: &str = "bookworm,trixie,trixie-backports,sid";
const CRIUS: &str = "bookworm,trixie,sid";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run only tests whose names contain this
    filter: Option<String>,
    /// Then sweep every kernel with every CRIU, and fuzz what comes from a guest
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
        tally.run(package, vec![machines.told_to(command)])?;
    }
    if options.full {
        tally.run("sweep", vec![machines.sweep()])?;
        let targets = tally.prepare("fuzz targets", fuzz::prepare)?;
        tally.run("fuzzing", targets)?;
    }
    ensure!(tally.passed() > 0, "no test matches `{}`", options.filter.as_deref().unwrap_or(""));
    eprintln!("\n{tally}");
    Ok(())
}

fn tell_plan(options: &Options) {
    let sweep = if options.full { ", sweep of kernels and CRIUs, a minute of fuzzing" } else { "" };
    let filter = options.filter.as_deref().map(|it| format!(", only `{it}`")).unwrap_or_default();
    let machines = WITH_MACHINES.join(", ");
    eprintln!(
        "plan: fast tests, programs, images, tests that boot machines ({machines}){sweep}{filter}"
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
