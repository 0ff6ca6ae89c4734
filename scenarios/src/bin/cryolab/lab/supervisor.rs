//! The supervisor: the process that owns a lab's machines and does what commands ask of it.
//!
//! One thread, since machines die with the thread that started them. Whatever befalls nodes is done
//! by one task at a time, which has the lab; programs, wires and the status need only what
//! [`Table`] knows, so that they are served while a node boots.

mod asked;
mod branches;
mod fates;
mod outbox;
mod programs;
mod table;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Zoned;
use runner::perform::{self, Interrupts};
use tokio::net::UnixListener;
use tokio::sync::{Mutex, MutexGuard, mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::interval;
use vm::lab::{Branch, Lab};
use vm::wire::Switch;

use self::asked::Asker;
use self::outbox::Outbox;
use self::table::Table;
use super::home::{Claim, Process, State};
use super::protocol::{Remains, Reply, ToCommand};
use crate::detach::Handle;
use crate::status::Exit;

/// How often what may have changed by itself is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// A lab that is to stand.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The place where commands find it.
    pub(crate) claim: Claim,
    /// Its nodes, as they are.
    pub(crate) lab: Lab,
    /// Where their consoles are.
    pub(crate) consoles: PathBuf,
    /// Captures of its wires; those that come later are captured, too, if there are any.
    pub(crate) pcap: Vec<PathBuf>,
    /// What is drawn at random in it is drawn from this.
    pub(crate) seed: u64,
}

impl Standing {
    /// Lets the command end with `code`, and the lab stand until somebody takes it down.
    ///
    /// # Errors
    /// When it cannot be left alone, or not be taken down as it should.
    pub(crate) async fn supervise(self, handle: Handle, code: u8) -> Result<(), Exit> {
        let listener = self.claim.listen()?;
        let (end, ended) = mpsc::channel(1);
        let supervisor = Rc::new(Supervisor::of(self, end));
        let tasks = LocalSet::new();
        let stood = tasks.run_until(async {
            supervisor.take_note_of_all().await;
            supervisor.write_down()?;
            handle.stand(&supervisor.claim.home.log(), code)?;
            supervisor.stand(&listener, ended).await
        });
        let (asker, stood) = match stood.await {
            Ok(asker) => (asker, Ok(())),
            Err(error) => (None, Err(Exit::lab(error))),
        };
        // What is under way goes with its task, and so does every other hold on the supervisor.
        drop(tasks);
        stood.and(supervisor.take_down(asker).await)
    }
}

/// What all tasks share.
struct Supervisor {
    claim: Claim,
    /// Whoever has it lets something befall nodes.
    lab: Mutex<Lab>,
    table: RefCell<Table>,
    switch: RefCell<Switch>,
    branches: RefCell<BTreeMap<String, Rc<Branch>>>,
    /// Folders with consoles, the oldest first.
    consoles: watch::Sender<Vec<PathBuf>>,
    pcap: RefCell<Vec<PathBuf>>,
    seed: u64,
    end: mpsc::Sender<Asker>,
}

impl Supervisor {
    fn of(standing: Standing, end: mpsc::Sender<Asker>) -> Self {
        let Standing { claim, lab, consoles, pcap, seed } = standing;
        Supervisor {
            claim,
            switch: RefCell::new(lab.switch().clone()),
            lab: Mutex::new(lab),
            table: RefCell::default(),
            branches: RefCell::default(),
            consoles: watch::Sender::new(vec![consoles]),
            pcap: RefCell::new(pcap),
            seed,
            end,
        }
    }

    /// Serves commands until the lab is to be taken down; by whom, if a command asks for that.
    async fn stand(
        self: &Rc<Self>,
        listener: &UnixListener,
        mut ended: mpsc::Receiver<Asker>,
    ) -> anyhow::Result<Option<Asker>> {
        let mut interrupts = Interrupts::listen()?;
        note("the lab stands");
        let (asker, why) = tokio::select! {
            asker = ended.recv() => (asker, "as a command asks for"),
            signal = interrupts.next() => (None, signal),
            () = self.homeless() => (None, "its folder was removed"),
            () = self.accept(listener) => (None, "nobody can reach it"),
        };
        note(&format!("the lab is taken down: {why}"));
        Ok(asker)
    }

    /// Serves commands for ever.
    async fn accept(self: &Rc<Self>, listener: &UnixListener) {
        let mut again = interval(LOOK);
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(spawn_local(asked::serve(Rc::clone(self), stream))),
                // So many commands that no descriptor is left, say.
                Err(error) => {
                    note(&format!("wait for commands: {error}"));
                    again.tick().await;
                }
            }
        }
    }

    /// The lab, as soon as nothing befalls it any more.
    async fn have_lab(&self, outbox: &Outbox) -> MutexGuard<'_, Lab> {
        if let Ok(lab) = self.lab.try_lock() {
            return lab;
        }
        outbox.doing("waiting for what befalls another node").await;
        let lab = self.lab.lock().await;
        outbox.did("over").await;
        lab
    }

    /// Waits until somebody has removed the lab's folder: no command would find it any more.
    async fn homeless(&self) {
        let mut look = interval(LOOK);
        while self.claim.home.is_there() {
            look.tick().await;
        }
    }

    /// Writes down what `lab down` must know if this process dies.
    fn write_down(&self) -> anyhow::Result<()> {
        let table = self.table.borrow();
        self.claim.write_down(&State {
            supervisor: Process::of(std::process::id()),
            machines: table.processes(),
            nodes: table.names().map(str::to_owned).collect(),
            pcap: self.pcap.borrow().clone(),
        })
    }

    /// Ends all machines, tidies up, and tells whoever asked for that.
    async fn take_down(self: Rc<Self>, asker: Option<Asker>) -> Result<(), Exit> {
        let Supervisor { claim, lab, table, pcap, .. } =
            Rc::into_inner(self).context("somebody still holds the lab")?;
        let (lab, nodes) = (lab.into_inner(), table.borrow().names().map(str::to_owned).collect());
        let remains = Remains { nodes, pcap: pcap.into_inner() };
        let spoiled = if remains.pcap.is_empty() { Vec::new() } else { end_captures(&lab) };
        drop((table, lab));
        perform::settled().await;
        if claim.home.is_there() {
            claim.home.tidy().map_err(Exit::lab)?;
        }
        // Only now another lab may come.
        drop(claim);
        if let Some(Asker(mut outgoing)) = asker {
            for why in spoiled {
                outgoing.send(&ToCommand::Did(why)).await?;
            }
            outgoing.send(&ToCommand::Done(Ok(Reply::Down(remains)))).await?;
        }
        Ok(())
    }
}

/// Ends captures; what went wrong with them.
fn end_captures(lab: &Lab) -> Vec<String> {
    let ended = lab.wires().map(|(a, b)| lab.switch().stop_capture(a, b));
    ended.filter_map(|ended| ended.err().map(|error| format!("capture: {error}"))).collect()
}

/// Says something that nobody has asked for: to the log, once the lab stands.
fn note(text: &str) {
    eprintln!("{} {text}", Zoned::now().strftime("%F %T"));
}
