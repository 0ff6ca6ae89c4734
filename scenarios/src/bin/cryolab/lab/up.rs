//! `lab up`: builds, starts, and leaves a lab behind.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use runner::cell::Pick;
use runner::perform::{self, Interrupts};
use runner::stage::Supply as _;
use tokio::sync::oneshot;
use vm::accel::Trial;
use vm::disk::DataDisk;
use vm::lab::Lab;
use vm::{Accel, Machine, Qemu, Templates};
use vm_images::{Bars, Progress as _};

use super::home::{Claim, Home};
use super::images::{build, only};
use super::supervisor::Standing;
use crate::arguments::lab::Up;
use crate::detach::Handle;
use crate::print;
use crate::selection::another_seed;
use crate::status::Exit;
use crate::supply::{Built, Catalogue};

/// Size of a node's disk `data`; what nobody writes takes no room.
const DATA_MIB: u64 = 4096;

/// The exit code of a command that was interrupted.
const INTERRUPTED: u8 = 130;

/// Starts a lab; this process is its supervisor from then on.
pub(super) fn up(wanted: &Up, handle: Handle) -> Result<u8, Exit> {
    let claim = Home::here().claim()?;
    let plan = Plan::make(wanted).inspect_err(|_| {
        // That it cannot be made is worse than that something is left.
        let _ = claim.home.remove();
    })?;
    // Machines die with the thread that started them, which is this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Exit::lab)?.block_on(async {
        let standing = plan.start_unless_interrupted(claim).await?;
        print(&welcome(&standing))?;
        standing.supervise(handle, 0).await.map(|()| 0)
    })
}

/// What is to be started.
struct Plan<'a> {
    wanted: &'a Up,
    kernels: Vec<Pick>,
    criu: Pick,
    catalogue: Arc<Catalogue>,
    bars: Arc<Bars>,
}

impl<'a> Plan<'a> {
    fn make(wanted: &'a Up) -> Result<Self, Exit> {
        let mut catalogue = Catalogue::open()?;
        let (modules, criu) = (wanted.modules.as_deref(), [wanted.criu.clone()]);
        let (kernels, crius) = catalogue.look_up(&wanted.kernel, modules, &criu)?;
        let criu = only(&wanted.criu, crius)?;
        Ok(Plan { wanted, kernels, criu, catalogue: Arc::new(catalogue), bars: Arc::default() })
    }

    async fn start_unless_interrupted(&self, claim: Claim) -> Result<Standing, Exit> {
        let mut interrupts = Interrupts::listen().map_err(Exit::lab)?;
        let home = claim.home.clone();
        let started = tokio::select! {
            biased;
            signal = interrupts.next() => {
                Err(Exit { code: INTERRUPTED, error: anyhow!("interrupted by {signal}") })
            }
            started = self.start(claim) => started,
        };
        if let Err(exit) = &started {
            perform::settled().await;
            // Consoles may say why it did not start. That is worse than that something is left.
            let _ = if exit.code == INTERRUPTED { home.remove() } else { home.tidy() };
        }
        started
    }

    async fn start(&self, claim: Claim) -> Result<Standing, Exit> {
        let names: Vec<String> = ('a'..='z').map(String::from).collect();
        let names = &names[..usize::from(self.wanted.nodes)];
        let built = self.build(names, &claim.home).await?;
        let qemu = Qemu::find().await.map_err(Exit::lab)?;
        let accel = self.accel(&built, &qemu).await?;
        let bars = Arc::clone(&self.bars);
        let templates =
            Templates::new(self.catalogue.cache(), move |notice| bars.note(&notice.to_string()));
        let seed = self.wanted.seed.unwrap_or_else(another_seed);
        let folder = claim.home.path("");
        let mut lab = Lab::new(&folder, templates, seed).map_err(Exit::lab)?;
        for (index, name) in names.iter().enumerate() {
            let machine = self.machine(index, &built, &qemu, accel)?;
            lab.node(name, machine).map_err(Exit::lab)?;
            let disk = DataDisk::open(&data_disk(&claim.home, name)).map_err(Exit::lab)?;
            lab.data_disk(name, disk).map_err(Exit::lab)?;
        }
        let pcap = self.wire_all(&mut lab, names, &claim.home)?;
        let step = self.bars.begin(&format!("start {}", names.join(", ")));
        lab.start_all().await.map_err(Exit::lab)?;
        step.finish("they answer");
        Ok(Standing { claim, lab, consoles: folder, pcap, seed })
    }

    /// Builds images and makes disks, on another thread: it may take minutes.
    async fn build(&self, names: &[String], home: &Home) -> Result<Built, Exit> {
        let (done, built) = oneshot::channel();
        let (catalogue, bars) = (Arc::clone(&self.catalogue), Arc::clone(&self.bars));
        let (kernels, crius) = (self.kernels.clone(), vec![self.criu.clone()]);
        let disks: Vec<PathBuf> = names.iter().map(|name| data_disk(home, name)).collect();
        std::thread::spawn(move || {
            let made = disks.iter().try_for_each(|path| {
                let made = catalogue.data_disk(path, DATA_MIB);
                made.map_err(|why| Exit::lab(anyhow!("data disk {}: {why}", path.display())))
            });
            // Nobody waits any more when this was interrupted.
            let _ = done.send(made.and_then(|()| build(&catalogue, kernels, crius, bars)));
        });
        built.await.context("the builder of images has died")?
    }

    async fn accel(&self, built: &Built, qemu: &Qemu) -> Result<Accel, Exit> {
        let (kernel, initramfs) = built.some_kernel()?;
        let (kernel, initramfs) = (kernel.to_owned(), initramfs.to_owned());
        let trial = Trial { qemu: qemu.clone(), kernel, initramfs };
        let setting = self.wanted.accel.setting();
        let choice = vm::accel::choose(setting, &trial, self.catalogue.cache()).await;
        let choice = choice.map_err(Exit::lab)?;
        self.bars.note(&format!("{}: {}", choice.accel, choice.reason));
        Ok(choice.accel)
    }

    fn machine(
        &self,
        index: usize,
        built: &Built,
        qemu: &Qemu,
        accel: Accel,
    ) -> Result<Machine, Exit> {
        let kernel = self.kernels.get(index).or(self.kernels.last()).context("no kernel")?;
        let mut machine = built.bare(&kernel.selector, &self.criu.selector, qemu, accel)?;
        machine.memory_mib = self.wanted.memory;
        Ok(machine)
    }

    /// Joins every two nodes by a wire; captures of them, if that is wanted.
    fn wire_all(&self, lab: &mut Lab, names: &[String], home: &Home) -> Result<Vec<PathBuf>, Exit> {
        let mut captures = Vec::new();
        for (index, a) in names.iter().enumerate() {
            for b in &names[index + 1..] {
                lab.wire(a, b).map_err(Exit::lab)?;
                if self.wanted.pcap {
                    let file = home.path(&format!("{a}-{b}.pcapng"));
                    lab.switch().capture(a, b, &file).map_err(Exit::lab)?;
                    captures.push(file);
                }
            }
        }
        Ok(captures)
    }
}

fn data_disk(home: &Home, name: &str) -> PathBuf {
    home.path(&format!("data-{name}.img"))
}

/// What there is, and what can be done with it.
fn welcome(standing: &Standing) -> String {
    let mut text = String::new();
    for name in standing.lab.names() {
        let address = standing.lab.address(name).unwrap_or_default();
        let node = standing.lab.running(name);
        let kernel = node.map_or("", |node| node.hello().kernel_release.as_str());
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{name}  {address:<11}  {kernel}");
    }
    text + "`cargo xtask lab enter a` for a shell, `cargo xtask lab down` when done\n"
}
