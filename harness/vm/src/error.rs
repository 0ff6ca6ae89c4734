//! What can go wrong with a machine. Each error names the node and what was being done, and
//! whatever concerns a guest brings the last lines of its console along.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use model::message::Failure;

use crate::qemu::{MINIMUM, Version};

/// Something is wrong with a machine, or with the QEMU that should run it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no QEMU.
    #[error(
        "`{}` was not found; install QEMU {MINIMUM} or newer (Debian: `apt install qemu-system-x86`)",
        program.display()
    )]
    QemuMissing {
        /// What was looked for.
        program: PathBuf,
    },
    /// QEMU is there but does not say its version.
    #[error("`{} --version` is of no use: {why}", program.display())]
    QemuUnusable {
        /// The program.
        program: PathBuf,
        /// What it did instead.
        why: String,
    },
    /// QEMU is older than what the command line needs.
    #[error("`{}` is QEMU {found}, but {MINIMUM} or newer is needed", program.display())]
    QemuTooOld {
        /// The program.
        program: PathBuf,
        /// Its version.
        found: Version,
    },
    /// KVM was asked for and cannot be had.
    #[error("KVM cannot be used: {why}")]
    NoKvm {
        /// Why not.
        why: String,
    },
    /// A lab was asked for what it does not have.
    #[error("{0}")]
    Lab(String),
    /// A wire was asked for what it cannot do.
    #[error(transparent)]
    Wire(#[from] crate::wire::Error),
    /// A file, socket or process of the host.
    #[error("cannot {what}")]
    Host {
        /// What was tried, naming the thing.
        what: String,
        /// Why it did not work.
        source: io::Error,
    },
    /// QEMU's monitor did not do as it was told.
    #[error("{node}: QEMU's monitor, at `{command}`: {why}")]
    Monitor {
        /// Name of the node.
        node: String,
        /// The monitor command.
        command: String,
        /// What it answered.
        why: String,
    },
    /// QEMU ended, and no panic of the guest was seen.
    #[error(
        "{node}: QEMU ended during {during} ({status}{}){}{}",
        parenthesis(reason),
        lines("QEMU's own words", stderr),
        lines("last console lines", console)
    )]
    Exited {
        /// Name of the node.
        node: String,
        /// What was being done.
        during: String,
        /// QEMU's exit status.
        status: ExitStatus,
        /// Why, by QEMU's monitor: `guest-reset`, `guest-shutdown` ...
        reason: Option<String>,
        /// The end of QEMU's standard error.
        stderr: Vec<String>,
        /// The last lines of the console.
        console: Vec<String>,
    },
    /// The guest's kernel panicked; that is also how it ends when its init (the agent) dies.
    #[error("{node}: the guest panicked during {during}: {headline}{}", lines("console", console))]
    Panicked {
        /// Name of the node.
        node: String,
        /// What was being done.
        during: String,
        /// The line that says why: that of the oops, if it was one, else that of the panic.
        headline: String,
        /// The console around the first sign of trouble.
        console: Vec<String>,
    },
    /// The guest's kernel goes on, but what is done on it is worth nothing: it had an oops that
    /// was not followed by a panic, a CPU or a task of it does not move, or it was out of memory
    /// and killed somebody.
    #[error(
        "{node}: trouble in the guest during {during}: {headline}{}",
        lines("console", console)
    )]
    Trouble {
        /// Name of the node.
        node: String,
        /// What was being done.
        during: String,
        /// The line that says what happened.
        headline: String,
        /// The console around it.
        console: Vec<String>,
    },
    /// The guest did not answer in time.
    #[error(
        "{node}: no end of {during} within {seconds} s, {machine}{}",
        lines("last console lines", console)
    )]
    Silent {
        /// Name of the node.
        node: String,
        /// What was being done.
        during: String,
        /// How long that was waited for.
        seconds: u64,
        /// What QEMU says of the machine, and the guest's kernel of a CPU or a task that does not
        /// move, if it did.
        machine: String,
        /// The last lines of the console.
        console: Vec<String>,
    },
    /// Something talks on the agent's port, but not as an agent does.
    #[error(
        "{node}: {bytes} bytes of rubbish on the agent's port, beginning with \"{sample}\"{}",
        lines("last console lines", console)
    )]
    Rubbish {
        /// Name of the node.
        node: String,
        /// How much of it came.
        bytes: u64,
        /// Its first bytes, escaped.
        sample: String,
        /// The last lines of the console.
        console: Vec<String>,
    },
    /// The agent speaks another version of the messages.
    #[error("{node}: the agent (build {build}) speaks protocol {theirs}, this program {ours}")]
    Protocol {
        /// Name of the node.
        node: String,
        /// The agent's build.
        build: String,
        /// The agent's protocol.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// An answer breaks the rules: too much of it, or not of the kind that belongs to the request.
    #[error("{node}: wrong answer to {during}: {why}")]
    Answer {
        /// Name of the node.
        node: String,
        /// The request.
        during: String,
        /// What is wrong with it.
        why: String,
    },
    /// The agent answered that it did not work.
    #[error("{node}: {during} failed: {failure}")]
    Failure {
        /// Name of the node.
        node: String,
        /// The request.
        during: String,
        /// The agent's words.
        failure: Box<Failure>,
    },
}

impl Error {
    /// The lines of the guest's console that belong to this error.
    #[must_use]
    pub fn console(&self) -> &[String] {
        match self {
            Error::Exited { console, .. }
            | Error::Panicked { console, .. }
            | Error::Trouble { console, .. }
            | Error::Silent { console, .. }
            | Error::Rubbish { console, .. } => console,
            _ => &[],
        }
    }

    /// What the agent said, when it is the agent who reports the failure of a request.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Error::Failure { failure, .. } => Some(failure),
            _ => None,
        }
    }

    /// For `map_err`: the host could not do `what`.
    pub(crate) fn host(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Host { what: what.into(), source }
    }
}

fn parenthesis(reason: &Option<String>) -> String {
    reason.as_ref().map(|reason| format!(", {reason}")).unwrap_or_default()
}

/// A block of lines below the message, or a word that there are none.
fn lines(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return format!("\n{title}: none");
    }
    lines.iter().fold(format!("\n{title}:"), |text, line| text + "\n  | " + line)
}
