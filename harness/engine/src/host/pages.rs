//! CRIU's two programs for pages that come later. It has no request for either, so they are started
//! by their command lines, each with its end of the connection as standard input.
//!
//! The daemon that puts pages in holds the tasks' userfaultfds. When it ends, for whatever reason, the
//! kernel forgets that pages were to come (fs/userfaultfd.c, `userfaultfd_release`) and **fills what is
//! missing with zeroes, in silence** [measured]. So a guard traces it: the kernel stops a tracee that
//! ends before its descriptors are closed, and then the guard kills the tasks first. The guard is a
//! process of its own, in a session of its own: it outlives the engine.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::poll::PollFlags;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::linux::{LinuxHost, wait_for};
use super::sys::{self, Clone3};
use crate::cgroup;

/// How long the daemon may take until it can be asked.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What the guard ends with when it cannot tell what became of the daemon.
const LOST: i32 = 125;

/// A CRIU that brings or serves the pages of one container.
#[derive(Debug)]
pub struct PageProgram {
    /// CRIU.
    pub program: PathBuf,
    /// The container's images.
    pub images: PathBuf,
    /// Where its log goes, and the daemon's socket is.
    pub work: PathBuf,
    /// The connection to the other node.
    pub socket: TcpStream,
}

/// A daemon that puts pages in, and its guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageDaemon {
    /// The guard, a child of this process: it ends as the daemon did.
    pub guard: i32,
    /// The daemon, a child of the guard.
    pub daemon: i32,
}

impl PageProgram {
    fn command(self, name: &str) -> io::Result<Command> {
        let mut command = Command::new(self.program);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg(name).args(["-v4", "--ps-socket", "0", "-D"]).arg(self.images);
        command.arg("-W").arg(self.work).arg("-o").arg(format!("{name}.log"));
        self.socket.set_nonblocking(false)?;
        command.stdin(OwnedFd::from(self.socket)).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command)
    }
}

/// Starts a page server, which ends with its connection.
pub(super) fn serve(pages: PageProgram) -> io::Result<i32> {
    let mut command = pages.command("page-server")?;
    let child = command.arg("--lazy-pages").spawn()?;
    i32::try_from(child.id()).map_err(io::Error::other)
}

/// Starts a daemon under a guard that kills all in a cgroup before the daemon can end without having
/// put in all pages. Returns when a restore can ask the daemon.
pub(super) fn bring(pages: PageProgram, group: &Path) -> io::Result<PageDaemon> {
    let (mut ready, ready_in) = io::pipe()?;
    let clone = Clone3 { flags: nix::sched::CloneFlags::empty(), cgroup: None };
    let Some(guard) = clone.fork()? else {
        sys::exit_now(guard_pages(pages, group, ready_in).unwrap_or(LOST))
    };
    drop(ready_in);
    let mut pid = [0; 4];
    let told = match wait_for(ready.as_fd(), PollFlags::POLLIN, START_LIMIT)? {
        true => ready.read_exact(&mut pid),
        false => Err(io::ErrorKind::TimedOut.into()),
    };
    // One more byte comes from the daemon itself, when it listens.
    let told = told.and_then(|()| match wait_for(ready.as_fd(), PollFlags::POLLIN, START_LIMIT)? {
        true => ready.read_exact(&mut [0]),
        false => Err(io::ErrorKind::TimedOut.into()),
    });
    let daemon = PageDaemon { guard, daemon: i32::from_ne_bytes(pid) };
    match told {
        Ok(()) => Ok(daemon),
        Err(error) => {
            // The first failure is the one to tell.
            let _ = end(daemon);
            Err(io::Error::new(error.kind(), "the daemon did not come to listen: see its log"))
        }
    }
}

/// Ends a daemon and its guard; whoever waits for pages is killed before.
pub(super) fn end(pages: PageDaemon) -> io::Result<()> {
    let victim = if pages.daemon > 0 { pages.daemon } else { pages.guard };
    match nix::sys::signal::kill(Pid::from_raw(victim), Signal::SIGKILL) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The guard's life. Its code is the daemon's, or 128 and the signal that ended it.
fn guard_pages(pages: PageProgram, group: &Path, ready: io::PipeWriter) -> io::Result<i32> {
    // A signal for the engine's group is not for it.
    nix::unistd::setsid()?;
    let daemon = start(pages, ready)?;
    let pid = Pid::from_raw(i32::try_from(daemon.id()).map_err(io::Error::other)?);
    sys::close_all();
    let watched = watch(pid, group);
    if watched.is_err() {
        // Nobody would know when it ends.
        let _ = cgroup::kill(&LinuxHost, group);
        let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
    }
    watched
}

/// Starts the daemon, traced from its first step on. Its pid is told, and then it tells itself.
fn start(pages: PageProgram, mut ready: io::PipeWriter) -> io::Result<Child> {
    let mut command = pages.command("lazy-pages")?;
    command.args(["--page-server", "--status-fd", "1"]).stdout(ready.try_clone()?);
    let mut daemon = command.spawn()?;
    let pid = i32::try_from(daemon.id()).map_err(io::Error::other)?;
    let seized = ptrace::seize(Pid::from_raw(pid), Options::PTRACE_O_TRACEEXIT);
    let seized = seized.map_err(io::Error::from);
    if let Err(error) = seized.and_then(|()| ready.write_all(&pid.to_ne_bytes())) {
        // It holds no pages yet.
        let _ = daemon.kill();
        let _ = daemon.wait();
        return Err(error);
    }
    Ok(daemon)
}

/// Watches until the daemon has ended.
fn watch(daemon: Pid, group: &Path) -> io::Result<i32> {
    loop {
        match waitpid(daemon, Some(WaitPidFlag::__WALL))? {
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXIT) => {
                // It still has its descriptors: whoever waits for a page still waits.
                if ptrace::getevent(daemon)? != 0 {
                    cgroup::kill(&LinuxHost, group).map_err(io::Error::other)?;
                }
                go_on(daemon, None)?;
            }
            WaitStatus::Stopped(_, signal) => go_on(daemon, Some(signal))?,
            WaitStatus::PtraceEvent(..) => go_on(daemon, None)?,
            WaitStatus::Exited(_, code) => return Ok(code),
            WaitStatus::Signaled(_, signal, _) => return Ok(128 + signal as i32),
            _ => {}
        }
    }
}

fn go_on(daemon: Pid, signal: Option<Signal>) -> io::Result<()> {
    match ptrace::cont(daemon, signal) {
        // It was killed while it was stopped: its end is seen next.
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
