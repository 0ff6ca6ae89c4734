//! A thin command for a plain Linux host: pods by hand.
//!
//! ```text
//! cryo start SPEC.json            make a pod; standard streams lead to /dev/null
//! cryo status POD
//! cryo exec POD CONTAINER PROGRAM ARGUMENT...
//! cryo checkpoint POD ARCHIVE
//! cryo restore ARCHIVE
//! cryo remove POD
//! cryo show ARCHIVE
//! cryo cycle SPEC.json ARCHIVE    start with pipes, checkpoint, restore, remove
//! ```
//!
//! `CRYO_CRIU` names the CRIU to use, `CRYO_DEADLINE` the seconds that an operation may take,
//! `CRYO_LOOK` a program that is run at each phase and fails the operation when it fails.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use engine::{Engine, EngineConfig, LinuxHost, PhaseReached, StdioSet, Watch};
use model::message::{Afterwards, Decision, Failure};
use model::pod::PodSpec;
use model::{Phase, Step};
use serde::Serialize;

/// How long an operation may take.
fn deadline() -> Duration {
    let seconds = std::env::var("CRYO_DEADLINE").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(120))
}

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let engine = engine();
    match words[..] {
        ["start", spec] => print(&engine.start(&read_spec(spec)?, StdioSet::default())?),
        ["status", pod] => print(&engine.status(pod)?),
        ["exec", pod, container, ref command @ ..] => exec(&engine, pod, container, command),
        ["checkpoint", pod, archive] => print(&told(engine.checkpoint(
            pod,
            Path::new(archive),
            Afterwards::Remove,
            deadline(),
            &mut Teller::default(),
        ))?),
        ["restore", archive] => {
            let streams = StdioSet::default();
            print(&told(engine.restore(
                Path::new(archive),
                None,
                deadline(),
                streams,
                &mut Teller::default(),
            ))?)
        }
        ["remove", pod] => Ok(engine.remove(pod)?),
        ["show", archive] => print(&engine::archive::show(Path::new(archive))?),
        ["cycle", spec, archive] => cycle(&engine, &read_spec(spec)?, Path::new(archive)),
        _ => bail!("cryo start|status|exec|checkpoint|restore|remove|show|cycle ..."),
    }
}

fn engine() -> Engine {
    let criu = std::env::var_os("CRYO_CRIU").unwrap_or_else(|| "criu".into());
    let config = EngineConfig { criu: criu.into(), ..EngineConfig::default() };
    Engine::new(config, Box::new(LinuxHost))
}

fn read_spec(path: &str) -> anyhow::Result<PodSpec> {
    let text = std::fs::read(path).with_context(|| path.to_owned())?;
    serde_json::from_slice(&text).with_context(|| path.to_owned())
}

fn print(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string_pretty(value)?)?)
}

/// A failure with all that is known about it.
fn told<T>(outcome: Result<T, engine::Error>) -> anyhow::Result<T> {
    outcome.map_err(|error| {
        let failure = Failure::from(error);
        let text = serde_json::to_string_pretty(&failure).unwrap_or_default();
        anyhow::Error::from(failure).context(text)
    })
}

fn exec(engine: &Engine, pod: &str, container: &str, command: &[&str]) -> anyhow::Result<()> {
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let exited = engine.exec(pod, container, &command, &[], deadline())?;
    io::stdout().write_all(&exited.stdout)?;
    io::stderr().write_all(&exited.stderr)?;
    std::process::exit(exited.code)
}

/// Tells steps and phases on standard error.
#[derive(Default)]
struct Teller {
    /// Containers to ask something when they are frozen.
    waiting: Vec<Ends>,
}

impl Watch for Teller {
    fn step(&mut self, step: Step) {
        eprintln!("step {step}");
    }

    fn phase(&mut self, reached: PhaseReached<'_>) -> Decision {
        eprintln!("phase {} {:?} {:?}", reached.phase, reached.pids, reached.images);
        if reached.phase == Phase::Frozen {
            let asked = self.waiting.iter_mut().map(|ends| ends.input.write_all(b"check\n"));
            if asked.collect::<io::Result<Vec<()>>>().is_err() {
                return Decision::Abort;
            }
        }
        let Some(look) = std::env::var_os("CRYO_LOOK") else { return Decision::Continue };
        let pids: Vec<String> = reached.pids.iter().map(ToString::to_string).collect();
        let status = Command::new(look).arg(reached.phase.name()).args(pids).status();
        match status {
            Ok(status) if status.success() => Decision::Continue,
            _ => Decision::Abort,
        }
    }
}

/// Our ends of a container's standard streams.
struct Ends {
    container: String,
    input: io::PipeWriter,
    output: BufReader<io::PipeReader>,
}

impl Ends {
    /// Reads a line of the container's output.
    fn hear(&mut self, when: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(writeln!(io::stdout(), "{} {when}: {}", self.container, line.trim_end())?)
    }

    /// Sends a line and reads the answer.
    fn ask(&mut self, when: &str) -> anyhow::Result<()> {
        self.input.write_all(b"check\n")?;
        self.hear(when)
    }
}

fn pipes(spec: &PodSpec) -> anyhow::Result<(StdioSet, Vec<Ends>)> {
    let mut streams = StdioSet::default();
    let mut all = Vec::new();
    for container in spec.containers.iter().map(|container| container.name.clone()) {
        let (input_out, input) = io::pipe()?;
        let (output, output_in) = io::pipe()?;
        let error: OwnedFd = output_in.try_clone()?.into();
        streams.give(&container, input_out.into(), output_in.into(), error);
        all.push(Ends { container, input, output: BufReader::new(output) });
    }
    Ok((streams, all))
}

/// A round trip on one node. The containers answer `check` on their standard input by a line; one
/// such question waits unread during the checkpoint, and its answer is heard after the restore.
fn cycle(engine: &Engine, spec: &PodSpec, archive: &Path) -> anyhow::Result<()> {
    let (streams, mut ends) = pipes(spec)?;
    print(&engine.start(spec, streams)?)?;
    for ends in &mut ends {
        ends.hear("begins")?;
        ends.ask("before")?;
    }
    let mut teller = Teller { waiting: ends };
    print(&told(engine.checkpoint(
        &spec.name,
        archive,
        Afterwards::Remove,
        deadline(),
        &mut teller,
    ))?)?;
    let (streams, mut ends) = pipes(spec)?;
    print(&told(engine.restore(archive, None, deadline(), streams, &mut Teller::default()))?)?;
    for ends in &mut ends {
        ends.hear("had waiting")?;
        ends.ask("after")?;
    }
    Ok(engine.remove(&spec.name)?)
}
