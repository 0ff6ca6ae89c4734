//! Runs test commands, shows what they say, and counts what passed.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The parts that were run so far, and where their output goes.
#[derive(Debug)]
pub(crate) struct Tally<W> {
    out: W,
    parts: Vec<Part>,
    /// Results that a test told in a line of its own, to be seen at the very end.
    told: Vec<String>,
}

/// How such a line begins.
const TELLS: &str = "complete: ";

/// A part that passed.
#[derive(Debug)]
struct Part {
    name: &'static str,
    passed: usize,
    took: Duration,
}

impl<W: Write> Tally<W> {
    /// Nothing was run yet.
    pub(crate) fn new(out: W) -> Self {
        Tally { out, parts: Vec::new(), told: Vec::new() }
    }

    /// Runs a part to its end, or to its first command that fails.
    pub(crate) fn run(&mut self, name: &'static str, commands: Vec<Command>) -> Result<()> {
        eprintln!("\n== {name}");
        let began = Instant::now();
        let mut passed = 0;
        for command in commands {
            let ran = run(command, &mut self.out, &mut self.told);
            passed += ran.with_context(|| format!("{name}: failed; {self} before"))?;
        }
        self.parts.push(Part { name, passed, took: began.elapsed() });
        Ok(())
    }

    /// Does a part without tests.
    pub(crate) fn prepare<T>(
        &mut self,
        name: &'static str,
        part: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        eprintln!("\n== {name}");
        let began = Instant::now();
        let done = part().with_context(|| format!("{name}: failed; {self} before"))?;
        self.parts.push(Part { name, passed: 0, took: began.elapsed() });
        Ok(done)
    }
}

impl<W> Tally<W> {
    /// Results that tests told in a line of their own.
    pub(crate) fn told(&self) -> impl Iterator<Item = &str> {
        self.told.iter().map(String::as_str)
    }

    /// How many tests passed in all parts.
    pub(crate) fn passed(&self) -> usize {
        self.parts.iter().map(|part| part.passed).sum()
    }
}

/// `312 passed in 95 s (fast tests 40 s, machines 55 s)`
impl<W> fmt::Display for Tally<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took: Duration = self.parts.iter().map(|part| part.took).sum();
        write!(f, "{} passed in {} s", self.passed(), took.as_secs())?;
        let parts =
            self.parts.iter().map(|part| format!("{} {} s", part.name, part.took.as_secs()));
        match parts.collect::<Vec<_>>().join(", ") {
            parts if parts.is_empty() => Ok(()),
            parts => write!(f, " ({parts})"),
        }
    }
}

/// Runs a command and passes on its output; how many tests it says have passed.
fn run(mut command: Command, out: &mut impl Write, told: &mut Vec<String>) -> Result<usize> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.stdout(Stdio::piped()).spawn().context(program.clone())?;
    let mut passed = 0;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("read what {program} says"))?;
            out.write_all(&line).and_then(|()| out.write_all(b"\n"))?;
            let line = String::from_utf8_lossy(&line);
            passed += passed_in(&line);
            told.extend(line.starts_with(TELLS).then(|| line.into_owned()));
        }
    }
    let status = child.wait().with_context(|| format!("wait for {program}"))?;
    let arguments = command.get_args().map(|word| word.to_string_lossy().into_owned());
    let arguments = arguments.collect::<Vec<_>>().join(" ");
    ensure!(status.success(), "{program} {arguments}: {status}");
    Ok(passed)
}

/// Reads `test result: ok. 12 passed; 0 failed; ...`.
fn passed_in(line: &str) -> usize {
    let number = || {
        let rest = line.split_once("test result: ok. ")?.1;
        rest.split_once(" passed")?.0.parse().ok()
    };
    number().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_passed_is_counted_over_commands_and_parts() {
        let mut tally = Tally::new(Vec::new());
        let result = |passed: u32| {
            shell(&format!("echo 'test result: ok. {passed} passed; 0 failed; 1 ignored'"))
        };
        tally.run("one", vec![result(3), result(4)]).expect("it passes");
        tally.run("two", vec![result(5), shell("echo nothing")]).expect("it passes");
        assert_eq!(tally.passed(), 12);
        assert!(tally.out.ends_with(b"nothing\n"));
        assert_eq!(tally.to_string(), "12 passed in 0 s (one 0 s, two 0 s)");
    }

    #[test]
    fn a_result_that_a_test_tells_is_kept_for_the_end() {
        let mut tally = Tally::new(Vec::new());
        tally.run("one", vec![shell("echo 'complete: 1 kernels'; echo else")]).expect("it passes");
        assert_eq!(tally.told().collect::<Vec<_>>(), ["complete: 1 kernels"]);
    }

    #[test]
    fn a_part_that_fails_is_named_and_ends_it() {
        let mut tally = Tally::new(Vec::new());
        let failed = tally.run("machines", vec![shell("exit 3"), shell("touch /never")]);
        let message = format!("{:#}", failed.expect_err("it fails"));
        assert_eq!(
            message,
            "machines: failed; 0 passed in 0 s before: sh -c exit 3: exit status: 3"
        );
    }
}
