//! What befalls nodes: on purpose, and by itself.

use std::os::unix::process::ExitStatusExt as _;
use std::rc::Rc;
use std::time::Duration;

use model::message::{Request, Shutdown};
use nix::libc::SIGKILL;
use tokio::task::spawn_local;
use vm::lab::Lab;
use vm::{Disk, Error, Guest};

use super::outbox::Outbox;
use super::table::{Life, Running};
use super::{Supervisor, note};
use crate::lab::protocol::{NodeFate, OtherKernel, Refusal};

/// How long a kernel may take to panic.
const PANIC: Duration = Duration::from_secs(60);

/// The serial of the disk with the kernel's modules.
const MODULES: &str = "modules";

/// Why QEMU ends when a guest reboots by itself, in QEMU's words.
const REBOOTED: &str = "guest-reset";

/// ... and when it powers itself off.
const POWERED_OFF: &str = "guest-shutdown";

impl Supervisor {
    /// Lets something befall a node.
    pub(super) async fn befall(
        self: &Rc<Self>,
        name: &str,
        fate: NodeFate,
        outbox: &Outbox,
    ) -> Result<(), Refusal> {
        if !matches!(fate, NodeFate::Reboot { .. }) {
            self.table.borrow().running(name)?;
        }
        if fate == NodeFate::Panic {
            return self.panic(name, outbox).await;
        }
        let mut lab = self.have_lab(outbox).await;
        match fate {
            NodeFate::PowerCut { stay_down } => {
                self.put_down(name, "its power was cut")?;
                lab.power_cut(name).await?;
                if stay_down {
                    outbox.did(format!("{name} is off")).await;
                    return Ok(self.write_down()?);
                }
            }
            NodeFate::Reboot { kernel } => {
                self.shut_down(&mut lab, name, outbox).await?;
                if let Some(kernel) = kernel {
                    change_kernel(&mut lab, name, kernel)?;
                }
            }
            NodeFate::Reset | NodeFate::Panic => {
                self.put_down(name, "it was reset")?;
                lab.reset(name).await?;
            }
        }
        self.boot(&mut lab, name, outbox).await
    }

    /// Takes note that a node is about to be taken down.
    fn put_down(&self, name: &str, how: &str) -> Result<(), Refusal> {
        let mut table = self.table.borrow_mut();
        // It may have ended while something befell another one.
        table.running(name)?;
        table.set(name, Life::Down(how.to_owned()));
        Ok(())
    }

    async fn shut_down(&self, lab: &mut Lab, name: &str, outbox: &Outbox) -> Result<(), Refusal> {
        if !self.table.borrow().is_running(name)? {
            return Ok(());
        }
        outbox.doing(format!("{name}: going down")).await;
        self.put_down(name, "it was shut down")?;
        match lab.shut_down(name, Shutdown::Reboot).await {
            Ok(()) => outbox.did("down").await,
            // It is gone now even so.
            Err(error) => outbox.did(format!("not in an orderly way: {error}")).await,
        }
        Ok(())
    }

    /// Boots a node that is down.
    async fn boot(
        self: &Rc<Self>,
        lab: &mut Lab,
        name: &str,
        outbox: &Outbox,
    ) -> Result<(), Refusal> {
        outbox.doing(format!("{name}: booting")).await;
        self.table.borrow_mut().set(name, Life::Starting);
        // One that has ended by itself is still in the lab.
        lab.forget(name);
        let booted = lab.boot(name).await.map(|node| (node.start_time(), release(node)));
        match booted {
            Ok((time, kernel)) => {
                self.take_note(lab, name);
                self.write_down()?;
                let seconds = time.as_secs_f64();
                outbox.did(format!("{kernel} after {seconds:.1} s")).await;
                Ok(())
            }
            Err(error) => {
                self.table.borrow_mut().set(name, Life::Ended(headline(&error)));
                self.write_down()?;
                Err(error.into())
            }
        }
    }

    async fn panic(self: &Rc<Self>, name: &str, outbox: &Outbox) -> Result<(), Refusal> {
        let running = self.table.borrow().running(name)?;
        match running.guest.request(Request::Panic, PANIC).await {
            Err(error @ Error::Panicked { .. }) => {
                self.bury(name, running.pid, &error).await;
                outbox.did(format!("{name}: {}", headline(&error))).await;
                Ok(())
            }
            Err(error) => Err(error.into()),
            Ok(reply) => Err(Refusal::lab(format!("{name} did not panic, but said {reply:?}"))),
        }
    }

    /// Takes note of all nodes of the lab, as they are.
    pub(super) async fn take_note_of_all(self: &Rc<Self>) {
        let lab = self.lab.lock().await;
        let names: Vec<String> = lab.names().map(str::to_owned).collect();
        for name in names {
            self.take_note(&lab, &name);
        }
    }

    /// Takes note of a node as it is, and waits for its end.
    pub(super) fn take_note(self: &Rc<Self>, lab: &Lab, name: &str) {
        let Some(node) = lab.running(name) else {
            return self.table.borrow_mut().enter(lab, name, Life::Down("it was down".to_owned()));
        };
        let running = Running::of(node);
        spawn_local(Rc::clone(self).mourn(name.to_owned(), node.guest().clone(), node.pid()));
        self.table.borrow_mut().enter(lab, name, Life::Running(Rc::new(running)));
    }

    /// Waits for a machine's end.
    async fn mourn(self: Rc<Self>, name: String, guest: Guest, pid: u32) {
        let error = guest.ended().await;
        self.bury(&name, pid, &error).await;
    }

    /// A machine has ended. If it was not put down, its node has ended by itself; one that has
    /// rebooted itself is booted, as its firmware would do.
    async fn bury(self: &Rc<Self>, name: &str, pid: u32, error: &Error) {
        if self.table.borrow().pid(name) != Some(pid) {
            return;
        }
        note(&error.to_string());
        let (how, reason) = (headline(error), reason(error));
        let orderly = reason == Some(POWERED_OFF);
        let life = if orderly { Life::Down(how) } else { Life::Ended(how) };
        self.table.borrow_mut().set(name, life);
        let noted = self.write_down().map_err(Refusal::from);
        if let Err(refusal) = noted.and(self.clear_away(name, reason == Some(REBOOTED)).await) {
            note(&refusal.message);
        }
    }

    /// Takes what is left of a node out of the lab: after a panic there may still be a machine.
    async fn clear_away(self: &Rc<Self>, name: &str, boot_again: bool) -> Result<(), Refusal> {
        let mut lab = self.lab.lock().await;
        // Somebody may have been quicker.
        if self.table.borrow().is_running(name)? {
            return Ok(());
        }
        lab.forget(name);
        if boot_again { self.boot(&mut lab, name, &Outbox::nowhere()).await } else { Ok(()) }
    }
}

fn reason(error: &Error) -> Option<&str> {
    match error {
        Error::Exited { reason, .. } => reason.as_deref(),
        _ => None,
    }
}

fn release(node: &vm::Node) -> String {
    node.hello().kernel_release.clone()
}

/// From the next boot on, the node has another kernel, with its modules.
fn change_kernel(lab: &mut Lab, name: &str, kernel: OtherKernel) -> Result<(), Refusal> {
    let known = lab.machine(name).cloned();
    let mut machine = known.ok_or_else(|| Refusal::lab(format!("{name} has no machine")))?;
    machine.kernel = kernel.image;
    machine.initramfs = kernel.initramfs;
    machine.disks.retain(|disk| disk.serial != MODULES);
    machine.disks.push(Disk::read_only(MODULES, kernel.modules));
    Ok(lab.set_machine(name, machine)?)
}

/// How a node ended, in one line.
pub(super) fn headline(error: &Error) -> String {
    match (error, reason(error)) {
        (Error::Panicked { headline, .. }, _) => headline.clone(),
        (_, Some(REBOOTED)) => "it has rebooted itself".to_owned(),
        (_, Some(POWERED_OFF)) => "it has powered itself off".to_owned(),
        (Error::Exited { status, .. }, _) if status.signal() == Some(SIGKILL) => {
            "its machine was killed".to_owned()
        }
        (other, _) => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        Refusal::lab(format!("{error:#}"))
    }
}
