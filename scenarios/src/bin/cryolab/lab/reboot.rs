//! `lab reboot`: a node goes down in an orderly way and boots again, perhaps with another kernel.

use std::path::Path;

use anyhow::anyhow;

use super::client::{let_befall, status, wait_for};
use super::images::build_kernel;
use super::protocol::NodeFate;
use crate::status::Exit;

/// Reboots a node. Another kernel is built first, while the node still runs.
pub(super) fn reboot(node: &str, kernel: Option<&str>, modules: Option<&Path>) -> Result<u8, Exit> {
    let kernel = match kernel {
        None => None,
        Some(kernel) => {
            wait_for(is_known(node))?;
            Some(build_kernel(kernel, modules)?)
        }
    };
    wait_for(let_befall(node, NodeFate::Reboot { kernel })).map(|()| 0)
}

/// Nothing is built for a node that does not exist.
async fn is_known(node: &str) -> Result<(), Exit> {
    let status = status().await?;
    if status.nodes.iter().any(|it| it.name == node) {
        return Ok(());
    }
    let known = status.nodes.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
    Err(Exit::usage(anyhow!("there is no node `{node}`; there are: {known}")))
}
