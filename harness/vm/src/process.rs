//! The QEMU process: started, watched until it ends, never left behind.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::{oneshot, watch};

use crate::command::{Launch, Memory, Sockets};
use crate::{Error, Machine, Seat, tether};

/// Most bytes of QEMU's standard error that are kept: its end.
const STDERR_BYTES: usize = 4096;

/// How QEMU ended.
#[derive(Clone, Debug)]
pub(crate) struct Exit {
    pub(crate) status: ExitStatus,
    /// The end of its standard error.
    pub(crate) stderr: Arc<[String]>,
}

/// Sees a QEMU end. Cheap to clone; does not keep it alive.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    exit: watch::Receiver<Option<Exit>>,
}

/// Keeps a QEMU alive: it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Leash(
    #[expect(dead_code, reason = "what counts is when it is dropped")] oneshot::Sender<()>,
);

/// Our ends of the sockets that QEMU inherits.
#[derive(Debug)]
pub(crate) struct Wires {
    pub(crate) monitor: UnixStream,
    pub(crate) console: UnixStream,
    pub(crate) agent: UnixStream,
}

/// How a machine's memory comes to be, and its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth<'a> {
    pub(crate) memory: Memory<'a>,
    pub(crate) incoming: bool,
}

impl Birth<'_> {
    /// A boot.
    pub(crate) const BOOT: Birth<'static> = Birth { memory: Memory::Own, incoming: false };
}

/// Starts QEMU for `machine` on `seat`.
pub(crate) fn start(
    machine: &Machine,
    seat: &Seat,
    birth: Birth<'_>,
) -> Result<(Process, Leash, Wires), Error> {
    let (wires, theirs) = wire().map_err(Error::host("make a socket pair"))?;
    let data = match (machine.data_bytes, &seat.data) {
        (Some(_), Some(disk)) => Some(disk.serve().map_err(Error::host("serve the data disk"))?),
        _ => None,
    };
    let [monitor, console, agent] = theirs.each_ref().map(AsRawFd::as_raw_fd);
    let sockets = Sockets {
        monitor,
        console,
        agent,
        data: data.as_ref().map(AsRawFd::as_raw_fd),
        cards: seat.cards.iter().map(AsRawFd::as_raw_fd).collect(),
    };
    let child = spawn(machine, seat, birth, &sockets)?;
    drop((theirs, data));
    let (process, leash) = keep(child);
    Ok((process, leash, wires))
}

fn spawn(
    machine: &Machine,
    seat: &Seat,
    birth: Birth<'_>,
    sockets: &Sockets,
) -> Result<Child, Error> {
    let mut command = Command::new(&machine.qemu.program);
    command.args(machine.arguments(&Launch {
        name: &seat.name,
        console_log: &seat.console_log,
        seed: seat.seed,
        memory: birth.memory,
        incoming: birth.incoming,
        sockets,
        cards: &seat.identity.cards,
    }));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // A group of its own: Ctrl-C in a terminal is for us, who then take the machine down.
    command.process_group(0).kill_on_drop(true);
    tether::tie(&mut command, sockets.all());
    let program = machine.qemu.program.display();
    command.spawn().map_err(Error::host(format!("start `{program}` for {}", seat.name)))
}

fn wire() -> std::io::Result<(Wires, [OwnedFd; 3])> {
    let (monitor, their_monitor) = pair()?;
    let (console, their_console) = pair()?;
    let (agent, their_agent) = pair()?;
    Ok((Wires { monitor, console, agent }, [their_monitor, their_console, their_agent]))
}

fn pair() -> std::io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

/// Watches over a child in a task of its own, which reaps it, too.
fn keep(mut child: Child) -> (Process, Leash) {
    let pid = child.id().unwrap_or_default();
    let (leash, mut loosened) = oneshot::channel();
    let (tell, exit) = watch::channel(None);
    tokio::spawn(async move {
        let stderr = tokio::spawn(end_of(child.stderr.take()));
        let ended = tokio::select! {
            ended = child.wait() => ended,
            _ = &mut loosened => match child.start_kill() {
                Ok(()) => child.wait().await,
                Err(error) => Err(error),
            },
        };
        let stderr = stderr.await.unwrap_or_default().into();
        // Waiting for a child of ours fails only if somebody else reaped it: then it is gone, too.
        let status = ended.unwrap_or_default();
        tell.send_replace(Some(Exit { status, stderr }));
    });
    (Process { pid, exit }, Leash(leash))
}

impl Process {
    /// Waits until it has ended.
    pub(crate) async fn exited(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await.map(|exit| exit.clone()) {
            Ok(Some(exit)) => exit,
            // The watching task goes only with the runtime, and then nobody waits here.
            _ => std::future::pending().await,
        }
    }
}

async fn end_of(stderr: Option<ChildStderr>) -> Vec<String> {
    let Some(mut stderr) = stderr else { return Vec::new() };
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        let excess = kept.len().saturating_sub(STDERR_BYTES);
        kept.drain(..excess);
    }
    String::from_utf8_lossy(&kept).lines().map(str::to_owned).collect()
}
