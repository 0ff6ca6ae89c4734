//! Nodes of a story: what they are, and how they come and go.

use model::message::Shutdown;
use tokio::time::Instant;
use vm::disk::DataDisk;
use vm::lab::Lab;

use super::{NodeName, Reached, Stage, Stop, millis};
use crate::event::{Boot, Event, Start};

impl Stage {
    /// Describes a node with a disk that survives its reboots: an empty filesystem in a sparse
    /// file of this cell.
    ///
    /// # Errors
    /// When the disk cannot be made.
    pub fn node(&mut self, name: NodeName, data_mib: u64) -> Result<(), Stop> {
        let path = self.folder().join(format!("data-{name}.img"));
        if self.is_retold {
            return Ok(());
        }
        if self.is_open() {
            self.disks.push(path);
            return Ok(());
        }
        let made = self.setting.supply.data_disk(&path, data_mib);
        made.map_err(|why| Stop::broken(format!("data disk {}: {why}", path.display())))?;
        let disk = DataDisk::open(&path)?;
        self.disks.push(path);
        let machine = self.setting.machine.clone();
        let lab = self.lab()?;
        lab.node(name.0, machine)?;
        Ok(lab.data_disk(name.0, disk)?)
    }

    /// From its next start on, this node is the one to which the pod goes: it runs the kernel and the
    /// CRIU of the target, where the user wants others.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn target(&mut self, name: NodeName) -> Result<(), Stop> {
        match self.setting.target.clone() {
            Some(machine) => Ok(self.lab()?.set_machine(name.0, machine)?),
            None => Ok(()),
        }
    }

    /// A running node for the first time: forked from a machine that has booted before.
    ///
    /// # Errors
    /// When the machine does not get as far as its agent, or CRIU does not run there.
    pub async fn fork(&mut self, name: NodeName) -> Result<(), Stop> {
        self.start_node(name, Start::Fork).await
    }

    /// Boots a node: firmware, kernel and init run, whether for the first time or again.
    ///
    /// # Errors
    /// As [`Stage::fork`].
    pub async fn boot(&mut self, name: NodeName) -> Result<(), Stop> {
        self.start_node(name, Start::Boot).await
    }

    pub(super) async fn start_node(&mut self, name: NodeName, start: Start) -> Result<(), Stop> {
        if self.is_retold && self.guest(name).is_ok() {
            return Ok(());
        }
        if self.is_open() {
            self.runs_already(name)?;
            return self.note_things(name).await;
        }
        let number = self.starts.get(&name).map_or(1, |last| last + 1);
        self.starts.insert(name, number);
        let (cell, node) = (self.cell(), name.to_string());
        self.emit(Event::NodeStarting { cell, node, number, start });
        let lab = self.lab()?;
        let node = match start {
            Start::Boot => lab.boot(name.0).await?,
            Start::Fork | Start::Branch => lab.start(name.0).await?,
        };
        let (time, hello) = (node.start_time(), node.hello().clone());
        let start = if node.is_fork() { Start::Fork } else { Start::Boot };
        let boot = Boot {
            node: name.to_string(),
            boot: number,
            start,
            boot_id: node.boot_id().to_owned(),
            kernel_release: hello.kernel_release.clone(),
            criu_version: hello.criu_version.clone().unwrap_or_default(),
        };
        // A fork never passes as a boot.
        self.times.set(if start == Start::Fork { "fork" } else { "boot" }, time);
        self.boots.push(boot.clone());
        self.emit(Event::NodeStarted { cell: self.cell(), boot, ms: millis(time) });
        let criu =
            hello.criu_version.map_err(|why| Stop::failed(format!("CRIU does not run: {why}")))?;
        self.versions.get_or_insert((hello.kernel_release, criu));
        self.note_things(name).await
    }

    /// The lab that the nodes stand in, made when the first is described.
    pub(super) fn lab(&mut self) -> Result<&mut Lab, Stop> {
        if self.lab.is_none() {
            let (templates, seed) = (self.setting.templates.clone(), self.setting.cell.seed);
            self.lab = Some(Lab::new(&self.setting.folder, templates, seed)?);
        }
        self.lab.as_mut().ok_or_else(|| Stop::broken("there is no lab"))
    }

    /// Takes a node down in an orderly way: what is on its disks is flushed, all else is gone.
    ///
    /// # Errors
    /// When it does not get down.
    pub async fn shut_down(&mut self, name: NodeName, how: Shutdown) -> Result<(), Stop> {
        if self.reached == Reached::Restored {
            return Ok(());
        }
        let began = Instant::now();
        self.lab()?.shut_down(name.0, how).await?;
        self.times.set("shutdown", began.elapsed());
        Ok(())
    }

    /// Cuts a node's power: what it has not flushed is lost.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn cut_power(&mut self, name: NodeName) -> Result<(), Stop> {
        if self.reached == Reached::Restored {
            return Ok(());
        }
        Ok(self.lab()?.power_cut(name.0).await?)
    }
}
