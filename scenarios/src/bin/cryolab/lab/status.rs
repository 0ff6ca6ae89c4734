//! `lab status`: what stands, for people and for programs.

use std::fmt::Write as _;

use anyhow::Context as _;

use super::client::{status, wait_for};
use super::protocol::{NodeStatus, Status, WireStatus};
use crate::print;
use crate::status::Exit;

/// Prints the lab as it is.
pub(crate) fn show(json: bool) -> Result<u8, Exit> {
    let status = wait_for(status())?;
    let text = if json {
        serde_json::to_string_pretty(&status).context("status as JSON")? + "\n"
    } else {
        for_people(&status)
    };
    print(&text)?;
    Ok(0)
}

/// The lab as a table. (Writing to a text cannot fail.)
pub(crate) fn for_people(status: &Status) -> String {
    let mut text = String::new();
    let longest = status.nodes.iter().map(|node| node.kernel.len()).max().unwrap_or_default();
    for node in &status.nodes {
        let NodeStatus { name, kernel, address, state, .. } = node;
        let pid = node.pid.map(|pid| format!("pid {pid}")).unwrap_or_default();
        let _ = write!(text, "{name:<8} {address:<12} {kernel:<longest$}  {state:<8} {pid}");
        let _ = writeln!(text, "{}", node.reason.as_deref().unwrap_or_default());
    }
    for wire in status.wires.iter().filter(|wire| is_remarkable(wire)) {
        let WireStatus { from, to, frames, bytes, .. } = wire;
        let cut = if wire.cut { "cut, " } else { "" };
        let _ =
            writeln!(text, "{from} -> {to}  {cut}{}  {frames} frames, {bytes} bytes", wire.shape);
    }
    if !status.snapshots.is_empty() {
        let _ = writeln!(text, "snapshots: {}", status.snapshots.join(", "));
    }
    let _ = writeln!(text, "seed {}", status.seed);
    text
}

/// Of many nodes, most wires are clean and silent.
fn is_remarkable(wire: &WireStatus) -> bool {
    wire.cut || !wire.shape.is_clean() || wire.frames > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_is_told_in_a_few_lines() {
        let node = |name: &str, state: &str, reason: Option<&str>| NodeStatus {
            name: name.to_owned(),
            pid: reason.is_none().then_some(77),
            kernel: "6.12.57-cloud-amd64".to_owned(),
            address: "10.77.0.1".to_owned(),
            state: state.to_owned(),
            reason: reason.map(str::to_owned),
        };
        let wire = |from: &str, to: &str, frames| WireStatus {
            from: from.to_owned(),
            to: to.to_owned(),
            cut: frames == 0,
            shape: "delay=100ms".parse().expect("a shape"),
            frames,
            bytes: frames * 98,
            delivered: frames,
        };
        let status = Status {
            nodes: vec![
                node("a", "running", None),
                node("b", "ended", Some("Kernel panic - not syncing: sysrq")),
            ],
            wires: vec![wire("a", "b", 3), wire("b", "a", 0)],
            snapshots: vec!["before".to_owned()],
            seed: 7,
            supervisor: 1,
        };
        insta::assert_snapshot!(for_people(&status), @r"
        a        10.77.0.1    6.12.57-cloud-amd64  running  pid 77
        b        10.77.0.1    6.12.57-cloud-amd64  ended    Kernel panic - not syncing: sysrq
        a -> b  delay=100ms  3 frames, 294 bytes
        b -> a  cut, delay=100ms  0 frames, 0 bytes
        snapshots: before
        seed 7
        ");
    }
}
