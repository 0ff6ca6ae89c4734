//! The agent of a guest.
//!
//! One static binary with several faces. As PID 1 it boots the node and serves the host's
//! requests: each power is one file in `powers`. What the engine does happens in a child, this
//! binary again as `cryolab-agent engine`, so that it can fork, crash or hang without the node.
//! On the PATH of hooks it decodes and encodes CRIU's images.

mod boot;
mod child;
mod clock;
mod command;
mod failure;
mod image;
mod init;
mod kmsg;
mod mailbox;
mod node;
mod outbox;
mod output;
mod pods;
mod port;
mod powers;
mod pump;
mod reaper;
mod rtnetlink;
mod serve;
mod shows;
mod spoil;
mod sync;
mod sys;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Agent of a Cryolab guest.
#[derive(Debug, Parser)]
#[command(version, about, name = "cryolab-agent")]
struct Arguments {
    #[command(subcommand)]
    face: Face,
}

#[derive(Debug, Subcommand)]
enum Face {
    /// Look into CRIU's image files.
    Image(image::Arguments),
    /// List what this kernel shows about tasks, entry by entry.
    #[command(hide = true)]
    Shows(shows::Arguments),
    /// Spoil a restored pod or its images on purpose.
    #[command(hide = true)]
    Spoil(spoil::Arguments),
    /// Be one end of a stream of bytes, to measure a wire.
    #[command(hide = true)]
    Pump(pump::Arguments),
}

fn main() -> ExitCode {
    if std::process::id() == 1 {
        return init::main();
    }
    // Started many times, and waited for: reading all the words that people may use takes a while.
    let is_engine = std::env::args_os().nth(1).is_some_and(|word| word == "engine");
    let done = if is_engine { child::main() } else { face() };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cryolab-agent: {error:#}");
            ExitCode::from(spoil::code_of(&error))
        }
    }
}

/// What people and hooks ask for.
fn face() -> anyhow::Result<()> {
    match Arguments::parse().face {
        Face::Image(arguments) => image::main(&arguments),
        Face::Shows(arguments) => shows::main(&arguments),
        Face::Spoil(arguments) => spoil::main(&arguments),
        Face::Pump(arguments) => pump::main(&arguments),
    }
}
