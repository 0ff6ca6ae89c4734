//! Links between a pod and its node, made by iproute2's `ip`.

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use model::pod::Link;

/// Makes `eth0` in the namespace with its address and default route, and the node's end, down.
///
/// IPv6 addresses are not made up by the kernel: nothing appears in a pod that its spec does not
/// name, and a second sandbox is equal to the first.
pub(super) fn make_link(net: &Path, link: &Link, node_end: &str) -> io::Result<()> {
    let Link { address, gateway, mac } = link;
    let node = std::process::id();
    let via = gateway.split('/').next().unwrap_or_default();
    let pod_side = format!(
        "link add name eth0 address {mac} type veth peer name {node_end} netns {node}\n\
         link set dev eth0 addrgenmode none\n\
         link set dev eth0 up\n\
         address add {address} dev eth0\n\
         route add default via {via} dev eth0\n"
    );
    batch(&mut within(net, "ip"), &pod_side)?;
    let node_side = format!(
        "link set dev {node_end} addrgenmode none\n\
         address add {gateway} dev {node_end}\n"
    );
    batch(&mut Command::new("ip"), &node_side)
}

/// Removes both ends of a link.
pub(super) fn remove_link(node_end: &str) -> io::Result<()> {
    if !Path::new("/sys/class/net").join(node_end).exists() {
        return Ok(());
    }
    batch(&mut Command::new("ip"), &format!("link delete dev {node_end}\n"))
}

/// Removes network locks that a CRIU which was killed has left.
pub(super) fn remove_locks(net: &Path) -> io::Result<()> {
    let output = within(net, "nft").args(["list", "tables"]).stdin(Stdio::null()).output()?;
    let tables = String::from_utf8_lossy(&output.stdout);
    for table in tables.lines().filter(|table| table.starts_with("table inet CRIU-")) {
        let mut command = within(net, "nft");
        let status = command.arg(format!("delete {table}")).stdin(Stdio::null()).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("nft cannot delete {table}: {status}")));
        }
    }
    Ok(())
}

/// A program that runs in a network namespace.
fn within(net: &Path, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", net.display())).args(["--", program]);
    command
}

/// Runs `ip` with these commands, one a line; it stops at the first that fails and says which.
fn batch(command: &mut Command, commands: &str) -> io::Result<()> {
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(commands.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip: {}", told.trim().replace('\n', "; "))))
}
