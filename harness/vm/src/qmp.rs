//! QEMU's monitor protocol: one JSON object a line, greetings first, events in between.
//!
//! Only what this room needs. What a newer QEMU adds (events, members) passes unnoticed.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Mutex, mpsc, watch};

use crate::Error;

/// A connection to a monitor that is ready for commands. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    node: Arc<str>,
    channel: Arc<Mutex<Channel>>,
    news: watch::Sender<News>,
}

/// What QEMU told without being asked.
#[derive(Clone, Debug, Default)]
struct News {
    /// Why the machine went down.
    shutdown: Option<String>,
    /// How the migration under way, or the last one, stands.
    migration: Option<String>,
}

#[derive(Debug)]
struct Channel {
    writer: OwnedWriteHalf,
    answers: mpsc::Receiver<Value>,
    sent: u64,
}

impl Monitor {
    /// Exchanges greetings with the monitor at the other end of `stream`.
    pub(crate) async fn greet(node: &str, stream: UnixStream) -> Result<Monitor, Error> {
        let (reader, writer) = stream.into_split();
        let (tell, answers) = mpsc::channel(4);
        let news = watch::Sender::new(News::default());
        tokio::spawn(read(reader, tell, news.clone()));
        let channel = Channel { writer, answers, sent: 0 };
        let monitor = Monitor { node: node.into(), channel: Arc::new(Mutex::new(channel)), news };
        monitor.greeting().await?;
        monitor.execute("qmp_capabilities").await?;
        Ok(monitor)
    }

    async fn greeting(&self) -> Result<(), Error> {
        match self.channel.lock().await.answers.recv().await {
            Some(greeting) if greeting.get("QMP").is_some() => Ok(()),
            Some(other) => Err(self.error("greeting", format!("it said {other}"))),
            None => Err(self.error("greeting", CLOSED)),
        }
    }

    /// Carries out a command that takes no arguments.
    pub(crate) async fn execute(&self, command: &str) -> Result<Value, Error> {
        self.execute_with(command, json!({})).await
    }

    /// Carries out a command.
    pub(crate) async fn execute_with(
        &self,
        command: &str,
        arguments: Value,
    ) -> Result<Value, Error> {
        let mut channel = self.channel.lock().await;
        channel.sent += 1;
        let id = channel.sent;
        let line =
            json!({ "execute": command, "arguments": arguments, "id": id }).to_string() + "\n";
        let sent = channel.writer.write_all(line.as_bytes()).await;
        sent.map_err(|error| self.error(command, error.to_string()))?;
        loop {
            let Some(mut answer) = channel.answers.recv().await else {
                return Err(self.error(command, CLOSED));
            };
            // The answer to a command whose caller gave up waiting comes with an older id.
            // A line that QEMU could not parse is answered without any.
            match answer.get("id").map(|theirs| *theirs == id) {
                Some(false) => {}
                _ if answer.get("return").is_some() => return Ok(answer["return"].take()),
                _ => return Err(self.error(command, description(&answer))),
            }
        }
    }

    /// What the machine does, in QEMU's words: `running`, `io-error` ...
    pub(crate) async fn status(&self) -> Result<String, Error> {
        let answer = self.execute("query-status").await?;
        let status = answer["status"].as_str().map(str::to_owned);
        status.ok_or_else(|| self.error("query-status", format!("it answered {answer}")))
    }

    /// Why the machine went down, in QEMU's words, once it has.
    pub(crate) fn shutdown_reason(&self) -> Option<String> {
        self.news.borrow().shutdown.clone()
    }

    /// Begins a migration by `command` and waits for its end, which must be a good one. The
    /// capability `events` must be on.
    pub(crate) async fn migrate(&self, command: &str, arguments: Value) -> Result<(), Error> {
        let mut news = self.news.subscribe();
        self.news.send_modify(|news| news.migration = None);
        self.execute_with(command, arguments).await?;
        let ended = |news: &News| {
            matches!(news.migration.as_deref(), Some("completed" | "failed" | "cancelled"))
        };
        let status = match news.wait_for(ended).await {
            Ok(news) => news.migration.clone().unwrap_or_default(),
            Err(_) => return Err(self.error(command, CLOSED)),
        };
        if status == "completed" {
            return Ok(());
        }
        let answer = self.execute("query-migrate").await?;
        let why = answer["error-desc"].as_str().map(|why| format!(": {why}"));
        Err(self.error(command, format!("the migration {status}{}", why.unwrap_or_default())))
    }

    fn error(&self, command: &str, why: impl Into<String>) -> Error {
        Error::Monitor { node: self.node.to_string(), command: command.into(), why: why.into() }
    }
}

/// Longest line of a QEMU that is in its right mind: answers of some commands are long.
const LINE_BYTES: u64 = 4 << 20;

const CLOSED: &str = "the connection was closed";

fn description(answer: &Value) -> String {
    match answer["error"]["desc"].as_str() {
        Some(description) => description.to_owned(),
        None => format!("it answered {answer}"),
    }
}

/// Reads to the end: answers go to whoever asked; of events, two are noted.
async fn read(
    reader: impl AsyncRead + Unpin,
    answers: mpsc::Sender<Value>,
    news: watch::Sender<News>,
) {
    let (mut reader, mut line) = (BufReader::new(reader), Vec::new());
    // A line that does not end within its bounds ends the conversation: it is broken off then.
    while let Ok(1..) = (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut line).await {
        let text = || String::from_utf8_lossy(&line).trim_end().to_owned();
        let message = serde_json::from_slice(&line).unwrap_or_else(|_| Value::String(text()));
        if !line.ends_with(b"\n") && line.len() as u64 == LINE_BYTES {
            return;
        }
        line.clear();
        let data = |key: &str| message["data"][key].as_str().map(str::to_owned);
        match message["event"].as_str() {
            Some("SHUTDOWN") => news.send_modify(|news| news.shutdown = data("reason")),
            Some("MIGRATION") => news.send_modify(|news| news.migration = data("status")),
            Some(_) => {}
            None => {
                if answers.send(message).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor whose peer sends each of `lines` after one command (the first: at once).
    async fn monitor(lines: &'static [&'static str]) -> Result<Monitor, Error> {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        tokio::spawn(async move {
            let (reader, mut writer) = theirs.into_split();
            let mut commands = BufReader::new(reader).lines();
            for line in lines {
                writer.write_all(line.as_bytes()).await.expect("the peer listens");
                writer.write_all(b"\n").await.expect("the peer listens");
                commands.next_line().await.expect("the peer writes");
            }
        });
        Monitor::greet("node", ours).await
    }

    const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": ["oob"], "new": 1}}"#;
    const READY: &str = r#"{"return": {}, "id": 1}"#;

    #[tokio::test]
    async fn events_and_late_answers_pass() {
        let answer = concat!(
            r#"{"timestamp": {}, "event": "NEWER_THAN_WE", "data": {}}"#,
            "\n",
            r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#,
            "\n",
            r#"{"return": {}, "id": 1}"#,
            "\n",
            r#"{"return": {"status": "running", "running": true}, "id": 2}"#
        );
        let monitor = monitor(Box::leak(Box::new([GREETING, READY, answer]))).await;
        let monitor = monitor.expect("greets");
        assert_eq!(monitor.status().await.expect("answers"), "running");
        assert_eq!(monitor.shutdown_reason().as_deref(), Some("guest-reset"));
    }

    #[tokio::test]
    async fn an_error_names_the_command() {
        let refusal = r#"{"error": {"class": "GenericError", "desc": "not now"}, "id": 2}"#;
        let monitor = monitor(Box::leak(Box::new([GREETING, READY, refusal]))).await;
        let error = monitor.expect("greets").status().await.expect_err("refused");
        insta::assert_snapshot!(error, @"node: QEMU's monitor, at `query-status`: not now");
    }

    #[tokio::test]
    async fn a_peer_that_is_no_monitor_is_told_with_what_it_said() {
        let error = monitor(&["220 mail ESMTP"]).await.expect_err("not a monitor");
        insta::assert_snapshot!(error, @r#"node: QEMU's monitor, at `greeting`: it said "220 mail ESMTP""#);
    }

    #[tokio::test]
    async fn a_monitor_that_goes_away_is_told() {
        let error = monitor(&[GREETING]).await.expect_err("gone");
        insta::assert_snapshot!(error, @"node: QEMU's monitor, at `qmp_capabilities`: the connection was closed");
    }
}
