//! `vng` as a peer: virtme-ng boots the same kernel on the host's own root filesystem.
//!
//! It is run as it likes best: its defaults, quiet, our own words on the kernel's command line,
//! with as many CPUs and as much memory as our machine has. Under TCG it lets each CPU be a thread
//! (ours has one for all of them), which is to its advantage. The clock stops when the first bytes
//! of a command in the guest arrive.

mod install;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use fs_err as fs;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};
use vm::{Accel, Machine};
use vm_images::{KernelImage, Progress};

use self::install::Installed;

/// What the guest's command says first.
const ANSWER: &str = "cryolab-first-answer";

/// Says it where vng listens. Udev gives the port of standard output its name; on hosts without
/// udev, vng falls back to a console that nobody sees, so the port is looked up.
const SAY: &str = "echo ANSWER; for p in /sys/class/virtio-ports/*; do read n < $p/name; \
                   [ $n = virtme.stdout ] && echo ANSWER > /dev/${p##*/}; done";

/// Where its standard error goes.
const STDERR: &str = "stderr";

/// How long a guest may take to go down once it has answered.
const DOWN: Duration = Duration::from_secs(20);

/// An installed vng with a kernel to boot.
#[derive(Debug)]
pub(super) struct Vng {
    installed: Installed,
    kernel: PathBuf,
    arguments: Vec<String>,
    patience: Duration,
    folder: tempfile::TempDir,
}

impl Vng {
    /// Installs it into the cache, if it is not there, and gets ready to boot this kernel.
    pub(super) fn prepare(
        machine: &Machine,
        kernel: &KernelImage,
        cache: &Path,
        progress: &dyn Progress,
    ) -> anyhow::Result<Vng> {
        let installed = Installed::ensure(cache, progress)?;
        let kernel = install::kernel_tree(cache, kernel, progress)?;
        let words = machine.kernel_command_line();
        // Where the console is, and what runs as init, is vng's own affair.
        let foreign = ["console=", "earlyprintk=", "loglevel=", "rdinit="];
        let words = words.split(' ').filter(|word| !foreign.iter().any(|it| word.starts_with(it)));
        let mut arguments = vec![
            format!("--append={}", words.collect::<Vec<_>>().join(" ")),
            format!("--cpus={}", machine.cpus),
            format!("--memory={}M", machine.memory_mib),
            format!("--qemu={}", install::find(&machine.qemu.program)?.display()),
        ];
        if machine.accel == Accel::Tcg {
            arguments.push("--disable-kvm".to_owned());
        }
        let name = install::VNG;
        progress.note(&format!("{name}, as it comes, with {}", arguments.join(" ")));
        let patience = machine.boot_deadline();
        let folder = tempfile::tempdir().context("a temporary folder")?;
        Ok(Vng { installed, kernel, arguments, patience, folder })
    }

    /// Boots, lets a command answer, and waits until all is gone; the time until the answer.
    pub(super) async fn first_answer(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let mut family = Family::start(self.command()?)?;
        let answered = timeout(self.patience, family.hear(ANSWER)).await;
        let took = began.elapsed();
        match answered {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => bail!("it ended without an answer; {}", self.last_words()),
            Ok(Err(error)) => return Err(error).context("read from vng"),
            Err(_) => bail!("no answer within {} s", self.patience.as_secs()),
        }
        // It is gone by then or killed: both are good enough once it has answered.
        let _ = timeout(DOWN, family.child.wait()).await;
        Ok(took)
    }

    fn command(&self) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.installed.vng);
        command.arg("--run").arg(&self.kernel).arg("--busybox").arg(&self.installed.busybox);
        command.args(&self.arguments).arg("--exec").arg(SAY.replace("ANSWER", ANSWER));
        command.env("PATH", &self.installed.path);
        // Its settings and its leftovers are not the user's.
        command.env("HOME", self.folder.path()).env("TMPDIR", self.folder.path());
        command.current_dir("/").stdin(Stdio::null());
        let stderr = fs::File::create(self.folder.path().join(STDERR))?.into_parts().0;
        command.stdout(Stdio::piped()).stderr(stderr);
        Ok(command)
    }

    fn last_words(&self) -> String {
        let said = fs::read(self.folder.path().join(STDERR)).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
        last.map_or_else(|| "it said nothing".to_owned(), |last| format!("its last words: {last}"))
    }
}

/// A process with its descendants in a group of their own, killed when it is dropped.
#[derive(Debug)]
struct Family {
    child: Child,
    group: Pid,
    stdout: BufReader<ChildStdout>,
}

impl Family {
    fn start(mut command: Command) -> anyhow::Result<Family> {
        let mut child = command.process_group(0).spawn().context("start vng")?;
        let pid = child.id().context("vng has no pid")?;
        let stdout = BufReader::new(child.stdout.take().context("vng has no output")?);
        Ok(Family { child, group: Pid::from_raw(i32::try_from(pid)?), stdout })
    }

    /// Reads until something contains `text`; whether it did.
    async fn hear(&mut self, text: &str) -> std::io::Result<bool> {
        let mut line = Vec::new();
        while self.stdout.read_until(b'\n', &mut line).await? > 0 {
            if String::from_utf8_lossy(&line).contains(text) {
                return Ok(true);
            }
            line.clear();
        }
        Ok(false)
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // Fails when all are gone.
        let _ = killpg(self.group, Signal::SIGKILL);
    }
}
