//! How the agent starts programs of the node.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// Where the node's programs are; hooks find the agent's own binary there too.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command with the node's environment, without standard input, in a process group of its own.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("HOME", "/root").env("LANG", "C.UTF-8");
    command.current_dir("/").stdin(Stdio::null()).process_group(0);
    command
}
