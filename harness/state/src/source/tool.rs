//! Programs of the node that print JSON.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::Value as Json;

use crate::error::{Error, Result};

/// A program that was started and has not been listened to yet.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) command: String,
    child: Child,
}

impl Tool {
    /// Starts a program in the namespaces of the calling thread and feeds it.
    pub(crate) fn start(program: &str, arguments: &[&str], input: &str) -> Result<Self> {
        let command = format!("{program} {}", arguments.join(" "));
        let failed = |error: std::io::Error| Error::Tool {
            command: command.clone(),
            what: error.to_string(),
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).map_err(failed)?;
        }
        Ok(Tool { command, child })
    }

    /// Waits for its end and reads the JSON values that it printed one after the other.
    pub(crate) fn values(self) -> Result<Vec<Json>> {
        let failed = |what: String| Error::Tool { command: self.command.clone(), what };
        let output = self.child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}: {}", output.status, told.trim_end())));
        }
        let values = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        values.collect::<Result<_, _>>().map_err(|error| failed(error.to_string()))
    }
}
