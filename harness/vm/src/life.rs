//! By what the death of a node is noticed, and how it is told.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::Error;
use crate::accel::Pace;
use crate::console::{Console, Told, Trouble};
use crate::process::{Exit, Process};
use crate::qmp::Monitor;

/// A guest that panics takes its machine down at once (`panic=-1`), unless the panic itself hangs.
/// An oops is followed by a panic (`oops=panic`), unless somebody has changed that.
const PANIC_GRACE: Duration = Duration::from_secs(5);

/// How long QEMU may take for what should be immediate.
const QEMU_GRACE: Duration = Duration::from_secs(5);

/// What is watched of a running node. Cheap to clone; does not keep the node alive.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) node: Arc<str>,
    pub(crate) pace: Pace,
    pub(crate) process: Process,
    pub(crate) console: Console,
    /// Known from the monitor's greeting on.
    pub(crate) monitor: Arc<OnceLock<Monitor>>,
}

impl Life {
    /// Does `work`, for at most `patience`, and not longer than the node is sound: it ends when
    /// the machine does, and at an oops, a lockup or a kill for lack of memory.
    ///
    /// This is the one place where a deadline is scaled for the machine: `patience` is what the
    /// work may take under TCG in real time.
    ///
    /// Work that lost its connection may simply wait: what happened to the node is told from here.
    pub(crate) async fn within<T>(
        &self,
        during: &str,
        patience: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let patience = self.pace.on_host(patience);
        tokio::select! {
            biased;
            result = work => result.map_err(|error| self.blame(during, error)),
            error = self.death(during) => Err(error),
            error = self.trouble(during) => Err(error),
            () = sleep(patience) => Err(self.silent(during, patience).await),
        }
    }

    /// Waits for the node's end and tells it.
    pub(crate) async fn death(&self, during: &str) -> Error {
        tokio::select! {
            exit = self.process.exited() => self.obituary(during, &exit).await,
            error = self.lasting_panic(during) => error,
        }
    }

    /// Tells how the node ended.
    pub(crate) async fn obituary(&self, during: &str, exit: &Exit) -> Error {
        // What QEMU wrote to the console before it ended may still be on its way.
        let _ = timeout(QEMU_GRACE, self.console.shows(|signs| signs.closed)).await;
        self.panicked(during).unwrap_or_else(|| Error::Exited {
            node: self.node.to_string(),
            during: during.to_owned(),
            status: exit.status,
            reason: self.monitor.get().and_then(Monitor::shutdown_reason),
            stderr: exit.stderr.to_vec(),
            console: self.console.tail(),
        })
    }

    /// The monitor, once it has greeted.
    pub(crate) fn greeted(&self) -> Result<&Monitor, Error> {
        let (node, command, why) = (self.node.to_string(), String::new(), "it has not greeted");
        self.monitor.get().ok_or(Error::Monitor { node, command, why: why.to_owned() })
    }

    /// Tells how the node ended, if that is why `error` came.
    pub(crate) async fn explain(&self, during: &str, error: Error) -> Error {
        match timeout(QEMU_GRACE, self.death(during)).await {
            Ok(death) => death,
            Err(_) => error,
        }
    }

    /// The panic that is to be read on the console, if there is one.
    pub(crate) fn panicked(&self, during: &str) -> Option<Error> {
        let Told { headline, console } = self.console.panic()?;
        let (node, during) = (self.node.to_string(), during.to_owned());
        Some(Error::Panicked { node, during, headline, console })
    }

    /// Waits for trouble that does not end the machine, and for what the kernel says of it.
    async fn trouble(&self, during: &str) -> Error {
        let trouble = self.console.trouble().await;
        if trouble.kind.goes_on() {
            sleep(self.pace.on_host(PANIC_GRACE)).await;
        }
        self.panicked(during).unwrap_or_else(|| self.troubled(during, trouble))
    }

    fn troubled(&self, during: &str, trouble: Trouble) -> Error {
        let Told { headline, console } = self.console.tell(trouble);
        Error::Trouble { node: self.node.to_string(), during: during.to_owned(), headline, console }
    }

    /// What failed in the guest failed because of trouble, if there was some meanwhile.
    fn blame(&self, during: &str, error: Error) -> Error {
        match (&error, self.console.untold_trouble()) {
            (Error::Failure { .. }, Some(trouble)) => self.troubled(during, trouble),
            _ => error,
        }
    }

    /// Waits for a panic after which QEMU does not end.
    async fn lasting_panic(&self, during: &str) -> Error {
        self.console.shows(|signs| signs.panic).await;
        sleep(self.pace.on_host(PANIC_GRACE)).await;
        match self.panicked(during) {
            Some(error) => error,
            // The console was closed without a panic: QEMU is about to end.
            None => std::future::pending().await,
        }
    }

    /// Tells that the node is there, but `during` does not come to an end.
    pub(crate) async fn silent(&self, during: &str, patience: Duration) -> Error {
        let node = self.node.to_string();
        let mut machine = match self.monitor.get() {
            None => "QEMU has not greeted".to_owned(),
            Some(monitor) => match timeout(QEMU_GRACE, monitor.status()).await {
                Ok(Ok(status)) => format!("the machine is {status}"),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "QEMU's monitor does not answer".to_owned(),
            },
        };
        let (during, seconds) = (during.to_owned(), patience.as_secs());
        let mut console = self.console.tail();
        if let Some(lockup) = self.console.lockup() {
            machine += &format!("; its kernel said: {}", lockup.headline);
            console = lockup.console;
        }
        Error::Silent { node, during, seconds, machine, console }
    }
}
