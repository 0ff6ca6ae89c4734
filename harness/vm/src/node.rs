//! A machine that runs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::message::{Hello, Identity, Reply, Request, Shutdown};
use tokio::time::{Instant, timeout};

use crate::console::Console;
use crate::disk::DataDisk;
use crate::life::Life;
use crate::process::{self, Birth, Leash};
use crate::qmp::Monitor;
use crate::{Error, Guest, Machine, Seat};

/// How long QEMU may take until its monitor greets.
const START: Duration = Duration::from_secs(30);

/// How long the agent may take to be somebody.
pub(crate) const BECOME: Duration = Duration::from_secs(60);

/// How long a node may take to flush, unmount and go down.
const SHUTDOWN: Duration = Duration::from_secs(60);

/// How long the kernel may take to say that it panics.
const PANIC: Duration = Duration::from_secs(30);

impl Machine {
    /// Boots the machine: firmware, kernel and init run. Waits until its agent says hello and is
    /// who it is to be.
    ///
    /// # Errors
    /// When QEMU does not start, or the guest panics, stays silent or talks rubbish.
    pub async fn boot(&self, seat: Seat) -> Result<Node, Error> {
        let began = Instant::now();
        let (identity, behind) = (seat.identity.clone(), seat.behind);
        let started = Started::start(self, seat, Birth::BOOT).await?;
        let hello = started.guest.greeting(self.boot_patience()).await?;
        let mut node = started.node(self, hello, began);
        node.assume(identity, behind).await?;
        Ok(node)
    }
}

/// A QEMU whose monitor has greeted; what runs in it is not known yet.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) life: Life,
    pub(crate) guest: Guest,
    leash: Leash,
    data: Option<DataDisk>,
}

impl Started {
    pub(crate) async fn start(
        machine: &Machine,
        seat: Seat,
        birth: Birth<'_>,
    ) -> Result<Started, Error> {
        let (process, leash, wires) = process::start(machine, &seat, birth)?;
        let Seat { name, data, .. } = seat;
        let console = Console::follow(wires.console);
        let monitor = Arc::new(OnceLock::new());
        let (node, pace) = (name.as_str().into(), machine.pace());
        let life = Life { node, pace, process, console, monitor };
        let guest = Guest::new(life.clone(), wires.agent);
        let during = "start of QEMU";
        match life.within(during, START, Monitor::greet(&name, wires.monitor)).await {
            Ok(monitor) => life.monitor.get_or_init(|| monitor),
            Err(error @ Error::Monitor { .. }) => return Err(life.explain(during, error).await),
            Err(error) => return Err(error),
        };
        Ok(Started { life, leash, guest, data })
    }

    /// Its monitor.
    pub(crate) fn monitor(&self) -> Result<&Monitor, Error> {
        self.life.greeted()
    }

    /// The node, whose agent has said this.
    pub(crate) fn node(self, machine: &Machine, hello: Hello, began: Instant) -> Node {
        let Started { life, guest, leash, data } = self;
        let machine = machine.clone();
        let (start_time, boot_id) = (began.elapsed(), String::new());
        Node { life, guest, hello, boot_id, began, start_time, forked: false, machine, data, leash }
    }
}

/// A running machine whose agent has said hello. It is killed when it is dropped.
#[derive(Debug)]
pub struct Node {
    life: Life,
    guest: Guest,
    hello: Hello,
    pub(crate) boot_id: String,
    began: Instant,
    pub(crate) start_time: Duration,
    pub(crate) forked: bool,
    machine: Machine,
    data: Option<DataDisk>,
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

    /// `/proc/sys/kernel/random/boot_id`: no two nodes, and no two boots of one, have the same.
    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// From the start of QEMU until the agent had answered and was who it is to be.
    #[must_use]
    pub fn start_time(&self) -> Duration {
        self.start_time
    }

    /// Whether it was forked, and has not gone through a boot of its own.
    #[must_use]
    pub fn is_fork(&self) -> bool {
        self.forked
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Its disk `data`.
    #[must_use]
    pub fn data(&self) -> Option<&DataDisk> {
        self.data.as_ref()
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
        let patience = self.life.pace.on_host(SHUTDOWN);
        let deadline = Instant::now() + patience;
        match self.guest.request(Request::Shutdown { how }, SHUTDOWN).await {
            // The machine may be gone before its answer is through.
            Ok(_) | Err(Error::Exited { .. }) => {}
            Err(error) => return self.killed(error).await,
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(exit) = timeout(left, self.life.process.exited()).await else {
            let error = self.life.silent("shutdown", patience).await;
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

    /// Makes the kernel panic, and waits until the machine is gone.
    ///
    /// # Errors
    /// When it does not panic.
    pub async fn panic(self) -> Result<(), Error> {
        let guest = self.guest.clone();
        let asked = guest.request(Request::Panic, PANIC).await;
        self.kill().await;
        match asked {
            Err(Error::Panicked { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(reply) => Err(guest.wrong("panic", format!("{reply:?}"))),
        }
    }

    /// Ends the machine at once, as its reset button would: its disk keeps what it has taken.
    pub async fn kill(self) {
        self.gone().await;
    }

    /// Cuts the machine's power: whatever the guest has not flushed to its disk is lost.
    ///
    /// # Errors
    /// When the disk cannot be read any more.
    pub async fn cut_power(self) -> Result<(), Error> {
        let data = self.data.clone();
        self.gone().await;
        let cut = data.map_or(Ok(()), |data| data.power_cut());
        cut.map_err(Error::host("cut the power of the data disk"))
    }

    async fn gone(self) {
        let Node { life, leash, .. } = self;
        drop(leash);
        life.process.exited().await;
    }

    /// Tells the agent who it is, and what time of day, unless that is part of it: so much behind the
    /// host's.
    pub(crate) async fn assume(
        &mut self,
        mut identity: Identity,
        behind: Duration,
    ) -> Result<(), Error> {
        if identity.clock_ns.is_none() {
            identity.clock_ns = self.machine.time_of_day(behind);
        }
        match self.guest.request(Request::Become { identity }, BECOME).await? {
            Reply::Became { boot_id } => self.boot_id = boot_id,
            other => return Err(self.guest.wrong("become", format!("{other:?}"))),
        }
        self.start_time = self.began.elapsed();
        Ok(())
    }

    pub(crate) fn life(&self) -> &Life {
        &self.life
    }
}
