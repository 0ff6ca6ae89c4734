//! The level *self*: the workload and its client say whether all is as it was.

use std::collections::BTreeMap;
use std::path::Path;

use model::message::{Place, Reply, Request};

use super::phases::last_line;
use super::{GRACE, NodeName, REQUEST, Stage, Stop, millis, unexpected};
use crate::event::Event;
use crate::verdict::{Difference, Level, LevelVerdict, plain};
use crate::workload::{Client, Container, Proof};

/// Where a node has the client.
const CLIENT: &str = "/run/cryolab/client";

/// Most things that a program is heard to have noticed.
const MOST_NOTICED: usize = 50;

const SIGTERM: i32 = 15;

/// How a program ended, and what it wrote.
struct Ended {
    code: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Stage {
    /// Lets the client fill the service before the checkpoint.
    pub(super) async fn fill(&mut self, name: NodeName) -> Result<(), Stop> {
        let Some(client) = self.workload().client.clone() else { return Ok(()) };
        let ended = self.client(name, &client, "before", &client.before).await?;
        if ended.code == 0 {
            return Ok(());
        }
        let said = last_line(&ended.stderr, &ended.stdout);
        Err(Stop::broken(format!("the client before the event ended with {}{said}", ended.code)))
    }

    /// Lets the client, the workload's own check and the workload itself say what was lost.
    ///
    /// # Errors
    /// When they cannot be asked.
    pub async fn prove(&mut self, name: NodeName) -> Result<(), Stop> {
        let (client, proofs) = (self.workload().client.clone(), self.proofs());
        if client.is_none() && proofs.is_empty() {
            let reason = "the workload has neither `check` nor `self`";
            self.judge(Level::Itself, LevelVerdict::not_run(Level::Itself, reason));
            return Ok(());
        }
        let mut lost = Vec::new();
        if let Some(client) = client {
            let ended = self.client(name, &client, "after", &client.after).await?;
            lost.extend(losses("client", &ended));
        }
        let mut ended = Vec::new();
        for (container, who, proof) in proofs {
            let said = match proof {
                Proof::Check(command) => self.check(name, container, command).await?,
                Proof::OnSigterm => attested(self.terminate(name, container).await?),
                Proof::None => continue,
            };
            ended.push((who, said));
        }
        for text in ended.iter().flat_map(|(_, ended)| noticed(ended)) {
            self.emit(Event::Finding { cell: self.cell(), text });
        }
        lost.extend(ended.iter().flat_map(|(who, ended)| losses(who, ended)));
        self.judge(Level::Itself, LevelVerdict::judged(Level::Itself, lost));
        Ok(())
    }

    /// Lets a witness that is none of the workload's containers end, and say by that what it lost.
    pub(super) async fn prove_by_end(
        &mut self,
        name: NodeName,
        container: &str,
    ) -> Result<(), Stop> {
        let ended = attested(self.terminate(name, container.to_owned()).await?);
        self.judge(Level::Itself, LevelVerdict::judged(Level::Itself, losses(container, &ended)));
        Ok(())
    }

    /// The containers that prove themselves, each with what its losses are called after, in the order
    /// in which they are asked: checks, and then those that end by it, the main one first.
    fn proofs(&self) -> Vec<(String, String, Proof)> {
        let mut proofs = Vec::new();
        for (index, Container { name, proof, .. }) in self.workload().containers.iter().enumerate()
        {
            let what = match proof {
                Proof::Check(_) => "check",
                Proof::OnSigterm => "witness",
                Proof::None => continue,
            };
            let of = if index == 0 { String::new() } else { format!("{name}.") };
            proofs.push((name.clone(), format!("{of}{what}"), proof.clone()));
        }
        proofs.sort_by_key(|(_, _, proof)| *proof == Proof::OnSigterm);
        proofs
    }

    async fn client(
        &mut self,
        name: NodeName,
        client: &Client,
        when: &str,
        arguments: &[String],
    ) -> Result<Ended, Stop> {
        let guest = self.guest(name)?;
        guest.put(Path::new(CLIENT), 0o755, &fs_err::read(&client.binary)?).await?;
        let address = self.pod_address();
        let arguments = arguments.iter().map(|argument| argument.replace("{address}", &address));
        let command = std::iter::once(CLIENT.to_owned()).chain(arguments).collect();
        let ended = self.run(name, Place::Node, command).await?;
        let said = last_line(&ended.stderr, &ended.stdout).trim_start_matches(": ").to_owned();
        let (cell, when, code) = (self.cell(), when.to_owned(), ended.code);
        self.emit(Event::ClientFinished { cell, when, code, said });
        Ok(ended)
    }

    async fn check(
        &self,
        name: NodeName,
        container: String,
        command: Vec<String>,
    ) -> Result<Ended, Stop> {
        let pod = self.pod_name()?;
        self.run(name, Place::Container { pod, container }, command).await
    }

    async fn terminate(&self, name: NodeName, container: String) -> Result<Ended, Stop> {
        let pod = self.pod_name()?;
        let deadline_ms = millis(REQUEST);
        self.ask(name, Request::Stop { pod, container, signal: SIGTERM, deadline_ms }).await
    }

    async fn run(&self, name: NodeName, place: Place, command: Vec<String>) -> Result<Ended, Stop> {
        let deadline_ms = millis(REQUEST);
        let env = BTreeMap::new();
        self.ask(name, Request::Run { place, command, env, deadline_ms }).await
    }

    /// Asks for a program's end. That the node cannot ask it (the container has died, say) is an
    /// answer too, and not a good one; only a node that does not answer is the lab's fault.
    async fn ask(&self, name: NodeName, request: Request) -> Result<Ended, Stop> {
        match self.guest(name)?.request(request, REQUEST + GRACE).await {
            Ok(Reply::Exited { code, stdout, stderr }) => Ok(Ended { code, stdout, stderr }),
            Ok(other) => Err(unexpected("the question for an exit code", &other)),
            Err(vm::Error::Failure { failure, .. }) => {
                Ok(Ended { code: 255, stdout: Vec::new(), stderr: failure.message.into_bytes() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A witness that ends well without its verdict has attested nothing.
fn attested(mut ended: Ended) -> Ended {
    let said = String::from_utf8_lossy(&ended.stdout).lines().any(|line| line == "verdict: intact");
    if ended.code == 0 && !said {
        ended.stdout.extend_from_slice(b"\nlost: verdict: no line `verdict: intact` on SIGTERM\n");
    }
    ended
}

/// What a program says that it noticed, which is right and yet worth knowing: a line `noticed: NAME:
/// WORDS` each.
fn noticed(ended: &Ended) -> Vec<String> {
    let output = String::from_utf8_lossy(&ended.stdout);
    let lines = output.lines().filter(|line| line.starts_with("noticed: "));
    lines.take(MOST_NOTICED).map(plain).collect()
}

/// What a program says was lost: a line `lost: NAME: WORDS` each, or else its exit code.
fn losses(who: &str, ended: &Ended) -> Vec<Difference> {
    let output = String::from_utf8_lossy(&ended.stdout);
    let lines = output.lines().filter_map(|line| line.strip_prefix("lost: "));
    let mut lost: Vec<Difference> = lines.map(|line| loss(who, line)).collect();
    if lost.is_empty() && ended.code != 0 {
        let said = last_line(&ended.stderr, &ended.stdout);
        lost.push(Difference::of(
            format!("self.{who}"),
            "exit code 0",
            format!("exit code {}{said}", ended.code),
        ));
    }
    lost
}

fn loss(who: &str, line: &str) -> Difference {
    let (name, words) = line.split_once(": ").unwrap_or((line, "lost"));
    let name: Vec<&str> = name.split_whitespace().collect();
    Difference::of(format!("self.{who}.{}", name.join("-")), "intact", words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: i32, stdout: &str, stderr: &str) -> Vec<String> {
        let (stdout, stderr) = (stdout.into(), stderr.into());
        losses("witness", &Ended { code, stdout, stderr })
            .iter()
            .map(Difference::in_words)
            .collect()
    }

    #[test]
    fn a_witness_is_taken_by_its_word() {
        assert!(said(0, "ready\nverdict: intact\n", "").is_empty());
        let lost = said(1, "lost: file offset: expected 3, found 0\nverdict: 1 lost\n", "");
        assert_eq!(lost, ["self.witness.file-offset was `intact`, is `expected 3, found 0`"]);
    }

    #[test]
    fn what_a_witness_noticed_is_no_loss() {
        let stdout = b"ready\nnoticed: stall: 9 ms\x1b[2J\nverdict: intact\n".to_vec();
        let ended = Ended { code: 0, stdout, stderr: Vec::new() };
        assert_eq!(noticed(&ended), ["noticed: stall: 9 ms.[2J"]);
        assert!(losses("witness", &ended).is_empty());
    }

    #[test]
    fn a_witness_that_says_nothing_attests_nothing() {
        let silent = Ended { code: 0, stdout: b"ready\n".to_vec(), stderr: Vec::new() };
        let lost = losses("witness", &attested(silent));
        assert_eq!(lost[0].fact, "self.witness.verdict");
    }

    #[test]
    fn a_check_that_says_nothing_is_taken_by_its_code() {
        let lost = said(2, "", "cannot connect\n");
        assert_eq!(lost, ["self.witness was `exit code 0`, is `exit code 2: cannot connect`"]);
    }
}
