//! Snapshots of the whole lab, and nodes that go on from there.

use std::rc::Rc;

use vm::lab::{Branch, Lab};

use super::Supervisor;
use super::outbox::Outbox;
use crate::lab::protocol::Refusal;

impl Supervisor {
    /// Keeps all nodes that run, at one moment, under a name.
    pub(super) async fn snapshot(&self, name: &str, outbox: &Outbox) -> Result<(), Refusal> {
        if self.branches.borrow().contains_key(name) {
            return Err(Refusal::usage(format!("there is a snapshot `{name}` already")));
        }
        let mut lab = self.have_lab(outbox).await;
        let nodes = self.table.borrow().all_running();
        if nodes.is_empty() {
            return Err(Refusal::lab("no node runs: there is nothing to keep"));
        }
        outbox.doing(format!("{name}: a snapshot of {}", nodes.join(", "))).await;
        let names: Vec<&str> = nodes.iter().map(String::as_str).collect();
        let branch = lab.branch(&names).await?;
        self.branches.borrow_mut().insert(name.to_owned(), Rc::new(branch));
        outbox.did("kept; `cargo xtask lab fork` goes on from it").await;
        Ok(())
    }

    /// Forks a snapshot's nodes into the lab, beside the others.
    pub(super) async fn fork(self: &Rc<Self>, name: &str, outbox: &Outbox) -> Result<(), Refusal> {
        let branch = self.branch(name)?;
        let mut lab = self.have_lab(outbox).await;
        for original in branch.names() {
            let letter = next_letter(&lab)?;
            outbox.doing(format!("{letter}: a fork of {original}")).await;
            branch.fork_into(&mut lab, original, &letter).await?;
            self.take_note(&lab, &letter);
            self.capture(&lab)?;
            self.write_down()?;
            outbox.did(lab.address(&letter).unwrap_or_default()).await;
        }
        Ok(())
    }

    /// Lets forks of a snapshot take the place of the lab's nodes.
    pub(super) async fn go_back(
        self: &Rc<Self>,
        name: &str,
        outbox: &Outbox,
    ) -> Result<(), Refusal> {
        let branch = self.branch(name)?;
        let mut lab = self.have_lab(outbox).await;
        outbox.doing(format!("going back to {name}")).await;
        let folder = self.claim.home.path(&format!("fork-{}", self.consoles.borrow().len()));
        let forked = branch.fork(&folder).await?;
        // What is not known is not mourned for.
        self.table.borrow_mut().clear();
        *lab = forked;
        self.switch.replace(lab.switch().clone());
        self.consoles.send_modify(|folders| folders.push(folder));
        let nodes: Vec<String> = lab.names().map(str::to_owned).collect();
        for node in &nodes {
            self.take_note(&lab, node);
        }
        self.capture(&lab)?;
        self.write_down()?;
        outbox.did(format!("{} are as they were", nodes.join(", "))).await;
        Ok(())
    }

    /// Captures the wires that have come, if wires are captured here.
    fn capture(&self, lab: &Lab) -> Result<(), Refusal> {
        let mut captures = self.pcap.borrow_mut();
        if captures.is_empty() {
            return Ok(());
        }
        let world = match self.consoles.borrow().len() {
            1 => String::new(),
            worlds => format!("-fork-{}", worlds - 1),
        };
        for (a, b) in lab.wires() {
            let file = self.claim.home.path(&format!("{a}-{b}{world}.pcapng"));
            if !captures.contains(&file) {
                let captured = lab.switch().capture(a, b, &file);
                captured.map_err(|error| Refusal::lab(error.to_string()))?;
                captures.push(file);
            }
        }
        Ok(())
    }

    fn branch(&self, name: &str) -> Result<Rc<Branch>, Refusal> {
        let branches = self.branches.borrow();
        branches.get(name).cloned().ok_or_else(|| {
            let known = branches.keys().cloned().collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none" } else { &known };
            Refusal::usage(format!("there is no snapshot `{name}`; there are: {known}"))
        })
    }
}

/// The first letter that no node has.
fn next_letter(lab: &Lab) -> Result<String, Refusal> {
    let taken = |letter: &String| lab.names().any(|name| name == letter);
    let mut letters = ('a'..='z').map(String::from);
    letters.find(|letter| !taken(letter)).ok_or_else(|| Refusal::lab("no letter is left"))
}
