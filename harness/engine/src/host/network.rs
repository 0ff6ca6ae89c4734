//! Links between a pod and its node, made by iproute2's `ip` and gated by `nft`.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use model::pod::Link;
use nix::poll::PollFlags;
use nix::sched::CloneFlags;
use nix::sys::socket::{self, AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType};

use super::linux::wait_for;
use super::{child, sys};

/// How long the kernel may take to see that both ends of a link are up.
const CARRIER_PATIENCE: Duration = Duration::from_secs(20);

/// Makes `eth0` in the namespace with its address and default route, and the node's end. Both are
/// up and the gate is closed.
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
    feed(within(net, "ip").args(["-batch", "-"]), &pod_side)?;
    close_gate(node_end)?;
    let node_side = format!(
        "link set dev {node_end} addrgenmode none\n\
         address add {gateway} dev {node_end}\n\
         link set dev {node_end} up\n"
    );
    feed(Command::new("ip").args(["-batch", "-"]), &node_side)?;
    await_carrier(net, "eth0")
}

/// Waits until the kernel has told everybody in the namespace that the device has a carrier. It
/// does so a while after the device is up, and routes appear with it (net/core/link_watch.c).
fn await_carrier(net: &Path, device: &str) -> io::Result<()> {
    let pin = std::fs::File::open(net)?;
    let waited = child::run(|_| {
        nix::sched::setns(&pin, CloneFlags::CLONE_NEWNET)?;
        let news = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        let links = libc::RTMGRP_LINK.cast_unsigned();
        socket::bind(news.as_raw_fd(), &NetlinkAddr::new(0, links))?;
        let end = Instant::now() + CARRIER_PATIENCE;
        while !sys::device_runs(device)? {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if wait_for(news.as_fd(), PollFlags::POLLIN, left)? {
                let _ = nix::unistd::read(&news, &mut [0; 4096])?;
            }
        }
        Ok(())
    });
    waited.map(drop).map_err(|error| io::Error::new(error.kind(), format!("{device}: {error}")))
}

/// Drops all that crosses a link, in both directions, without a trace in the pod: its device
/// keeps its carrier, and its routes and connections see silence.
pub(super) fn close_gate(node_end: &str) -> io::Result<()> {
    let table = gate(node_end);
    let chains: String = ["ingress", "egress"]
        .map(|hook| {
            format!(
                "add chain netdev {table} {hook} \
                 {{ type filter hook {hook} device \"{node_end}\" priority -500; policy drop; }}\n"
            )
        })
        .concat();
    feed(Command::new("nft").args(["-f", "-"]), &format!("add table netdev {table}\n{chains}"))
}

/// Lets the link work; the gate may be open already.
pub(super) fn open_gate(node_end: &str) -> io::Result<()> {
    let table = gate(node_end);
    let commands = format!("add table netdev {table}\ndelete table netdev {table}\n");
    feed(Command::new("nft").args(["-f", "-"]), &commands)
}

/// The table that gates a link.
fn gate(node_end: &str) -> String {
    format!("gate_{}", node_end.replace('-', "_"))
}

/// Removes both ends of a link, and its gate last: what closed sockets still say on their way out
/// must not reach a peer that a restored one will talk to.
pub(super) fn remove_link(node_end: &str) -> io::Result<()> {
    if Path::new("/sys/class/net").join(node_end).exists() {
        let delete = format!("link delete dev {node_end}\n");
        feed(Command::new("ip").args(["-batch", "-"]), &delete)?;
    }
    open_gate(node_end)
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

/// Runs a program with these commands, one a line; an error says which program and what it said.
fn feed(command: &mut Command, commands: &str) -> io::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(commands.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program}: {}", told.trim().replace('\n', "; "))))
}
