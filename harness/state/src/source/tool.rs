//! Programs of the node that print JSON.

use std::process::{Command, Stdio};

use serde_json::Value as Json;

use crate::error::{Error, Result};

/// Runs a program in the namespaces of the calling thread and reads what it prints.
pub(crate) fn json(program: &str, arguments: &[&str]) -> Result<Json> {
    let command = || format!("{program} {}", arguments.join(" "));
    let failed = |what: String| Error::Tool { command: command(), what };
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("{}: {}", output.status, told.trim_end())));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}
