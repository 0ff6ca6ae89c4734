//! QEMU's own way to go on from a saved state, as a peer: a snapshot in a qcow2, and `-loadvm`.
//!
//! The twin has the command line of a node of ours, so it is the same machine. Only the sockets
//! behind its devices differ: they have names, as it is no child of the room `vm`. The qcow2 that
//! holds the snapshot is a disk of QEMU's that the guest does not see.

mod qemu;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fs_err as fs;
use model::message::{Identity, Request};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use self::qemu::Running;
use super::answers::private_mib;
use super::bed::Bed;

/// The snapshot's name.
const TAG: &str = "cryolab";

/// How long saving and loading may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine with a snapshot of its own.
#[derive(Debug)]
pub(super) struct Twin {
    program: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
}

/// A first answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// From the start of QEMU.
    pub(super) took: Duration,
    /// What it had of memory then that it shares with nobody.
    pub(super) private_mib: f64,
}

impl Twin {
    /// Boots the machine as QEMU alone has it, up to the point where a template is made of ours,
    /// and lets QEMU save it.
    pub(super) async fn prepare(bed: &Bed) -> anyhow::Result<Twin> {
        let machine = &bed.plain;
        let node = machine.boot(bed.seat(machine)?).await?;
        let words = fs::read(format!("/proc/{}/cmdline", node.pid()))?;
        node.kill().await;
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let words = String::from_utf8(words).context("the command line of a node")?;
        let mut words = words.trim_end_matches('\0').split('\0');
        let program = words.next().context("an empty command line")?.into();
        let mut arguments: Vec<_> = words.map(|word| apart(word, folder.path())).collect();
        arguments.extend(store(folder.path()).await?);
        let twin = Twin { program, arguments, folder };
        let boot = machine.boot_deadline();
        timeout(boot + PATIENCE, twin.save()).await.context("saving it took too long")??;
        Ok(twin)
    }

    async fn save(&self) -> anyhow::Result<()> {
        let mut running = self.start(&[]).await?;
        running.agent.hello().await?;
        running.agent.request(Request::Prepare).await?;
        running.monitor.tell("stop").await?;
        running.monitor.tell(&format!("savevm {TAG}")).await?;
        running.end().await
    }

    /// Starts QEMU with the saved state, and waits until the agent is this node.
    pub(super) async fn first_answer(&self, identity: Identity) -> anyhow::Result<Answer> {
        let answer = async {
            let began = Instant::now();
            let mut running = self.start(&["-loadvm", TAG]).await?;
            running.agent.request(Request::Become { identity }).await?;
            let took = began.elapsed();
            let private_mib = private_mib(running.pid()?)?;
            running.end().await?;
            Ok(Answer { took, private_mib })
        };
        timeout(PATIENCE, answer).await.context("no answer in time")?
    }

    async fn start(&self, more: &[&str]) -> anyhow::Result<Running> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.program).args(&self.arguments).args(more);
        Running::start(command, self.folder.path()).await
    }
}

/// Makes the disk that holds the snapshot; how QEMU is told of it.
async fn store(folder: &Path) -> anyhow::Result<[String; 2]> {
    let path = folder.join("snapshot.qcow2");
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2"]).arg(&path).arg("1M");
    let created = create.output().await.context("qemu-img (package qemu-utils)")?;
    let said = String::from_utf8_lossy(&created.stderr);
    ensure!(created.status.success(), "qemu-img: {}", said.trim());
    let file = format!("file.driver=file,file.filename={}", path.display());
    Ok(["-blockdev".to_owned(), format!("driver=qcow2,node-name=snapshot,{file}")])
}

/// A word of a node's command line, with a socket that it inherited replaced by one with a name.
fn apart(word: &str, folder: &Path) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    let Some(socket) = word.strip_prefix("socket,id=") else { return word.to_owned() };
    match socket.split(',').next().unwrap_or_default() {
        // Nobody reads it.
        "console" => format!("file,id=console,path={}", at("console.log")),
        id => format!("socket,id={id},path={}", at(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_inherited_is_replaced() {
        let words = [
            "virtio-serial-pci",
            "virtserialport,chardev=agent,name=cryolab.agent",
            "socket,id=agent,fd=12",
            "socket,id=console,fd=11,logfile=/out/console.log,logappend=on",
        ];
        let replaced = words.map(|word| apart(word, Path::new("/twin")));
        insta::assert_snapshot!(replaced.join("\n"), @r"
        virtio-serial-pci
        virtserialport,chardev=agent,name=cryolab.agent
        socket,id=agent,path=/twin/agent
        file,id=console,path=/twin/console.log
        ");
    }
}
