//! How the agent starts programs of the node.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::sys;

/// Where the node's programs are; hooks find the agent's own binary there too.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command with the node's environment, without standard input, in a process group of its own.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = plain(program);
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// The same with a terminal, as the leader of a session: programs in it may control each other.
pub(crate) fn on_terminal(program: impl AsRef<OsStr>, terminal: &OwnedFd) -> io::Result<Command> {
    let mut command = plain(program);
    command.stdin(terminal.try_clone()?).stdout(terminal.try_clone()?);
    command.stderr(terminal.try_clone()?);
    sys::lead_session(&mut command);
    Ok(command)
}

fn plain(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("HOME", "/root").env("LANG", "C.UTF-8");
    command.current_dir("/");
    command
}
