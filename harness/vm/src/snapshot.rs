//! The state of a machine in files, and machines that are forked from it.
//!
//! The memory of a machine that is going to be forked is a file that QEMU maps shared; what is
//! saved beside it is the state of the devices, without the memory (`x-ignore-shared`). A fork
//! maps the same file privately: nothing is copied but the pages that it changes. So a fork costs
//! the start of a QEMU, whatever the size of its memory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::message::Hello;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::command::{Memory, state_from, state_to};
use crate::node::Started;
use crate::process::Birth;
use crate::qmp::Monitor;
use crate::{Error, Machine, Node, Seat, Version};

/// How long QEMU may take to write or read a state.
const TRANSFER: Duration = Duration::from_secs(120);

/// Between two looks at what QEMU tells nobody by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Whether a state file holds the memory, or a file of its own does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ram {
    Within,
    Apart,
}

/// A machine as it was at one moment. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) machine: Machine,
    pub(crate) hello: Hello,
    pub(crate) memory: PathBuf,
    pub(crate) state: PathBuf,
    /// The console of the time before.
    pub(crate) console: PathBuf,
    /// Held locked, so that nobody removes the files while they are needed.
    #[expect(dead_code, reason = "what counts is that it is open")]
    pub(crate) held: Option<Arc<File>>,
}

impl Snapshot {
    /// A node that goes on from here, once it is told to [`Node::go_on`].
    pub(crate) async fn fork(&self, seat: Seat) -> Result<Node, Error> {
        let past = format!("-- a fork; what came before is in {}\n", self.console.display());
        let log = &seat.console_log;
        fs::write(log, past).map_err(Error::host(format!("write {}", log.display())))?;
        let birth = Birth { memory: Memory::CopyOf(&self.memory), incoming: true };
        let mut node = self.born(seat, birth, &self.state, Ram::Apart).await?;
        node.forked = true;
        Ok(node)
    }

    /// Makes a snapshot with its memory apart out of the state file `whole`, which has it within.
    pub(crate) async fn unpack(&self, seat: Seat, whole: &Path) -> Result<(), Error> {
        let birth = Birth { memory: Memory::File(&self.memory), incoming: true };
        let node = self.born(seat, birth, whole, Ram::Within).await?;
        node.save(&self.state, Ram::Apart).await?;
        node.kill().await;
        Ok(())
    }

    async fn born(
        &self,
        seat: Seat,
        birth: Birth<'_>,
        state: &Path,
        ram: Ram,
    ) -> Result<Node, Error> {
        let began = Instant::now();
        let started = Started::start(&self.machine, seat, birth).await?;
        let version = self.machine.qemu.version;
        let load = async { started.monitor()?.load(version, state, ram).await };
        let loaded = started.life.within("fork", TRANSFER, load).await;
        if let Err(error @ Error::Monitor { .. }) = loaded {
            // QEMU ends when a state makes no sense to it, and says why.
            return Err(started.life.explain("fork", error).await);
        }
        loaded.map(|()| started.node(&self.machine, self.hello.clone(), began))
    }
}

impl Node {
    /// Stops the machine's CPUs and devices.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        self.tell("stop").await
    }

    /// Stops the machine without making durable what the guest has not flushed to its disk: QEMU
    /// by itself flushes all disks when it stops. To be undone by [`Node::resume_honestly`].
    pub(crate) async fn stop_honestly(&self) -> Result<(), Error> {
        let Some(data) = self.data() else { return self.stop().await };
        let before = self.guest_flushes().await?;
        data.hold_flushes();
        self.stop().await?;
        if self.guest_flushes().await? == before {
            return Ok(());
        }
        data.honour_held_flush().map_err(Error::host("write the data disk"))
    }

    /// Lets a machine go on that was stopped so.
    pub(crate) async fn resume_honestly(&self) -> Result<(), Error> {
        if let Some(data) = self.data() {
            data.release_flushes();
        }
        self.go_on().await
    }

    /// How often the guest, and not QEMU, has flushed its disk.
    async fn guest_flushes(&self) -> Result<u64, Error> {
        let query = async { self.life().greeted()?.execute("query-blockstats").await };
        let answer = self.life().within("query-blockstats", TRANSFER, query).await?;
        let disks = answer.as_array().into_iter().flatten();
        let mut data = disks.filter(|disk| disk["node-name"] == "data");
        let flushes = data.find_map(|disk| disk["stats"]["flush_operations"].as_u64());
        flushes.ok_or_else(|| self.guest().wrong("query-blockstats", answer.to_string()))
    }

    /// Lets a stopped machine go on.
    pub(crate) async fn go_on(&self) -> Result<(), Error> {
        self.tell("cont").await
    }

    async fn tell(&self, command: &str) -> Result<(), Error> {
        let work = async { self.life().greeted()?.execute(command).await.map(drop) };
        self.life().within(command, TRANSFER, work).await
    }

    /// Writes a stopped machine's state to a file.
    pub(crate) async fn save(&self, path: &Path, ram: Ram) -> Result<(), Error> {
        let version = self.machine().qemu.version;
        let work = async { self.life().greeted()?.save(version, path, ram).await };
        self.life().within("snapshot", TRANSFER, work).await
    }
}

impl Monitor {
    async fn save(&self, version: Version, path: &Path, ram: Ram) -> Result<(), Error> {
        self.set_up(ram).await?;
        self.migrate("migrate", json!({ "uri": state_to(version, path) })).await?;
        // Completed is not over: until then `cont` is refused (`Migration is not finalized yet`),
        // and no event tells the end.
        while self.status().await? != "postmigrate" {
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    async fn load(&self, version: Version, path: &Path, ram: Ram) -> Result<(), Error> {
        self.set_up(ram).await?;
        self.migrate("migrate-incoming", json!({ "uri": state_from(version, path) })).await
    }

    async fn set_up(&self, ram: Ram) -> Result<(), Error> {
        let capabilities = json!([
            { "capability": "events", "state": true },
            { "capability": "x-ignore-shared", "state": ram == Ram::Apart },
        ]);
        let arguments = json!({ "capabilities": capabilities });
        self.execute_with("migrate-set-capabilities", arguments).await?;
        if ram == Ram::Within {
            // By default QEMU spares the network: 128 MiB a second.
            let arguments = json!({ "max-bandwidth": 1_u64 << 40 });
            self.execute_with("migrate-set-parameters", arguments).await?;
        }
        Ok(())
    }
}
