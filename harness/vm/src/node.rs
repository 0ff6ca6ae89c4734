//! A machine that runs.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::message::{Hello, Request, Shutdown};
use tokio::time::{Instant, timeout};

use crate::console::Console;
use crate::life::Life;
use crate::process::{self, Leash};
use crate::qmp::Monitor;
use crate::{Error, Guest, Machine};

/// How long QEMU may take until its monitor greets.
const START: Duration = Duration::from_secs(30);

/// How long a node may take to flush, unmount and go down.
const SHUTDOWN: Duration = Duration::from_secs(60);

impl Machine {
    /// Boots the machine and waits until its agent says hello. QEMU writes the console to
    /// `console_log`, from its beginning.
    ///
    /// # Errors
    /// When QEMU does not start, or the guest panics, stays silent or talks rubbish.
    pub async fn boot(&self, name: &str, console_log: &Path) -> Result<Node, Error> {
        let began = Instant::now();
        let started = Started::start(self, name, console_log).await?;
        let Started { life, leash, guest } = started;
        let hello = guest.greeting(self.boot_deadline()).await?;
        let boot_time = began.elapsed();
        Ok(Node { life, guest, hello, boot_time, leash })
    }
}

/// A QEMU whose monitor has greeted; whether a kernel boots in it is not known yet.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) life: Life,
    leash: Leash,
    guest: Guest,
}

impl Started {
    pub(crate) async fn start(
        machine: &Machine,
        name: &str,
        console_log: &Path,
    ) -> Result<Started, Error> {
        let (process, leash, wires) = process::start(machine, name, console_log)?;
        let console = Console::follow(wires.console);
        let monitor = Arc::new(OnceLock::new());
        let life = Life { node: name.into(), process, console, monitor };
        let guest = Guest::new(life.clone(), wires.agent);
        let during = "start of QEMU";
        match life.within(during, START, Monitor::greet(name, wires.monitor)).await {
            Ok(monitor) => life.monitor.get_or_init(|| monitor),
            Err(error @ Error::Monitor { .. }) => return Err(life.explain(during, error).await),
            Err(error) => return Err(error),
        };
        Ok(Started { life, leash, guest })
    }
}

/// A running machine whose agent has said hello. It is killed when it is dropped.
#[derive(Debug)]
pub struct Node {
    life: Life,
    guest: Guest,
    hello: Hello,
    boot_time: Duration,
    leash: Leash,
}

impl Node {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.life.node
    }

    /// Its agent.
    #[must_use]
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// What the agent said of itself and its kernel.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// From the start of QEMU to hello.
    #[must_use]
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// QEMU's pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.life.process.pid
    }

    /// The last lines of the console.
    #[must_use]
    pub fn console_tail(&self) -> Vec<String> {
        self.life.console.tail()
    }

    /// Waits until the machine has ended by itself, and tells how. May be dropped and asked again.
    pub async fn exited(&self) -> Error {
        let exit = self.life.process.exited().await;
        self.life.obituary("its life", &exit).await
    }

    /// Takes the machine down in an orderly way and waits until it is gone; in case of an error
    /// it is killed.
    ///
    /// # Errors
    /// When the agent refuses, the guest panics on its way down or does not get down in time.
    pub async fn shut_down(self, how: Shutdown) -> Result<(), Error> {
        let deadline = Instant::now() + SHUTDOWN;
        match self.guest.request(Request::Shutdown { how }, SHUTDOWN).await {
            // The machine may be gone before its answer is through.
            Ok(_) | Err(Error::Exited { .. }) => {}
            Err(error) => return self.killed(error).await,
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(exit) = timeout(left, self.life.process.exited()).await else {
            let error = self.life.silent("shutdown", SHUTDOWN).await;
            return self.killed(error).await;
        };
        match self.life.obituary("shutdown", &exit).await {
            Error::Exited { status, .. } if status.success() => Ok(()),
            error => Err(error),
        }
    }

    async fn killed(self, error: Error) -> Result<(), Error> {
        self.kill().await;
        Err(error)
    }

    /// Kills the machine, as a power failure would (what QEMU has taken stays in the host's page
    /// cache, though), and waits until it is gone.
    pub async fn kill(self) {
        let Node { life, leash, .. } = self;
        drop(leash);
        life.process.exited().await;
    }
}
