//! A QEMU by itself: its monitor and the agent in it, over sockets with names.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use model::frame::{Decoder, encode};
use model::message::{PROTOCOL, Reply, Request, ToGuest, ToHost};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};

/// A running QEMU, killed when it is dropped.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) monitor: Monitor,
    pub(super) agent: Agent,
    child: Child,
}

impl Running {
    /// Starts it and waits until its sockets are connected.
    pub(super) async fn start(mut command: Command, folder: &Path) -> anyhow::Result<Running> {
        let listen = |name: &str| {
            let path = folder.join(name);
            // Left by the one before.
            let _ = std::fs::remove_file(&path);
            UnixListener::bind(&path).with_context(|| path.display().to_string())
        };
        let (monitor, agent) = (listen("monitor")?, listen("agent")?);
        let mut child = command.kill_on_drop(true).spawn().context("start QEMU")?;
        let connected = async { Ok((monitor.accept().await?.0, agent.accept().await?.0)) };
        let (monitor, agent) = tokio::select! {
            both = connected => both.map_err(|error: std::io::Error| error)?,
            status = child.wait() => bail!("QEMU ended: {}", status?),
        };
        let monitor = Monitor::greet(monitor).await?;
        let agent = Agent::new(agent);
        Ok(Running { monitor, agent, child })
    }

    /// QEMU's pid.
    pub(super) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().context("QEMU has ended")
    }

    /// Kills it and waits until it is gone.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("kill QEMU")
    }
}

/// Its monitor.
#[derive(Debug)]
pub(super) struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    async fn greet(stream: UnixStream) -> anyhow::Result<Monitor> {
        let mut monitor = Monitor { stream: BufReader::new(stream) };
        monitor.execute(json!({ "execute": "qmp_capabilities" })).await?;
        Ok(monitor)
    }

    /// Has a command of QEMU's human monitor carried out, to which there is nothing to say.
    pub(super) async fn tell(&mut self, command: &str) -> anyhow::Result<()> {
        let arguments = json!({ "command-line": command });
        let line = json!({ "execute": "human-monitor-command", "arguments": arguments });
        let said = self.execute(line).await.with_context(|| command.to_owned())?;
        let said = said.as_str().unwrap_or_default().trim();
        ensure!(said.is_empty(), "{command}: {said}");
        Ok(())
    }

    async fn execute(&mut self, command: Value) -> anyhow::Result<Value> {
        self.stream.write_all(format!("{command}\n").as_bytes()).await?;
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "QEMU closed its monitor");
            let mut answer: Value = serde_json::from_str(&line).context("QEMU's monitor")?;
            if answer.get("return").is_some() {
                return Ok(answer["return"].take());
            }
            // What is no answer is the greeting, or an event.
            if let Some(refusal) = answer["error"]["desc"].as_str() {
                bail!("{refusal}");
            }
        }
    }
}

/// The agent.
#[derive(Debug)]
pub(super) struct Agent {
    stream: UnixStream,
    decoder: Decoder,
    heard: VecDeque<ToHost>,
    requests: u32,
}

impl Agent {
    fn new(stream: UnixStream) -> Agent {
        Agent { stream, decoder: Decoder::default(), heard: VecDeque::new(), requests: 0 }
    }

    /// Waits until it says hello.
    pub(super) async fn hello(&mut self) -> anyhow::Result<()> {
        loop {
            if let ToHost::Hello(hello) = self.next().await? {
                ensure!(hello.protocol == PROTOCOL, "it speaks protocol {}", hello.protocol);
                return Ok(());
            }
        }
    }

    /// Asks for something and waits for the answer.
    pub(super) async fn request(&mut self, request: Request) -> anyhow::Result<Reply> {
        self.requests += 1;
        let ours = self.requests;
        let frame = encode(&ToGuest::Request { id: ours, request })?;
        self.stream.write_all(&frame).await.context("write to the agent")?;
        loop {
            if let ToHost::Done { id, outcome } = self.next().await?
                && id == ours
            {
                return Ok(outcome?);
            }
        }
    }

    async fn next(&mut self) -> anyhow::Result<ToHost> {
        let mut buffer = vec![0; 4096];
        loop {
            if let Some(message) = self.heard.pop_front() {
                return Ok(message);
            }
            let count = self.stream.read(&mut buffer).await.context("read from the agent")?;
            ensure!(count > 0, "the agent's connection was closed");
            for message in self.decoder.push(&buffer[..count]) {
                self.heard.push_back(message.context("the agent talks rubbish")?);
            }
        }
    }
}
