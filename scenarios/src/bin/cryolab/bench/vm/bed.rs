//! What all runs have in common: the machine, and seats for it.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use model::message::{Card, Identity};
use tempfile::TempDir;
use vm::accel::{self, Setting, Trial};
use vm::disk::DataDisk;
use vm::{Disk, Machine, Node, Notice, Qemu, Seat, Templates};
use vm_images::host::{self, Purpose};
use vm_images::{Bars, Cache, KernelImage, Progress as _};

use crate::places;
use crate::status::Exit;
use crate::supply::failed;

/// Kernel and CRIU that machines have unless somebody asks for others.
const SUITE: &str = "trixie";

/// Size of the disk that a node writes to.
const DATA_MIB: u64 = 256;

/// What a machine is made of.
#[derive(Debug)]
pub(super) struct Images {
    images: vm_images::Images,
    kernel: KernelImage,
    initramfs: PathBuf,
    disks: Vec<Disk>,
}

impl Images {
    /// Has them built, if they are not in the cache.
    pub(super) fn ensure(progress: &Arc<Bars>) -> Result<Images, Exit> {
        // Peers need some of what builds images.
        host::ensure_tools(Purpose::Build, &**progress).map_err(failed)?;
        let images = vm_images::Images::new(Cache::open().map_err(failed)?, progress.clone());
        Images::of(images).map_err(failed)?.context("nothing to boot").map_err(Exit::lab)
    }

    fn of(images: vm_images::Images) -> Result<Option<Images>, vm_images::Error> {
        let kernel = images.resolve_kernel(SUITE, None)?.into_iter().next();
        let criu = images.resolve_criu(SUITE)?.into_iter().next();
        let Some((kernel, criu)) = kernel.zip(criu) else { return Ok(None) };
        let kernel = images.ensure_kernel(&kernel)?;
        let initramfs = images.ensure_initramfs(&places::agent(), &kernel)?;
        let disks = vec![
            Disk::read_only("root", images.ensure_rootfs()?),
            Disk::read_only("modules", &kernel.modules),
            Disk::read_only("criu", images.ensure_criu(&criu)?.disk),
        ];
        Ok(Some(Images { images, kernel, initramfs, disks }))
    }
}

/// The machines, and what their nodes need.
#[derive(Debug)]
pub(super) struct Bed {
    /// With nothing that its peers do not have: a kernel, and a root that it only reads.
    pub(super) plain: Machine,
    /// As a lab has them: with a card too, and a disk to write to.
    pub(super) lab: Machine,
    pub(super) kernel: KernelImage,
    pub(super) cache: PathBuf,
    templates: Templates,
    images: vm_images::Images,
    folder: TempDir,
    seats: Cell<u8>,
    /// Ends of wires that lead nowhere.
    loose: RefCell<Vec<UnixStream>>,
}

impl Bed {
    /// Finds QEMU and chooses the accelerator, which is told.
    pub(super) async fn make(images: Images, progress: &Arc<Bars>) -> anyhow::Result<Bed> {
        let Images { images, kernel, initramfs, disks } = images;
        let cache = images.cache().root().to_owned();
        let qemu = Qemu::find().await?;
        let trial = Trial {
            qemu: qemu.clone(),
            kernel: kernel.image.clone(),
            initramfs: initramfs.clone(),
        };
        let choice = accel::choose(Setting::Auto, &trial, &cache).await?;
        progress.note(&format!("accelerator: {} ({})", choice.accel, choice.reason));
        let mut plain = Machine::new(qemu, choice.accel, &kernel.image, initramfs);
        plain.disks = disks;
        let lab = Machine { data_bytes: Some(DATA_MIB << 20), cards: 1, ..plain.clone() };
        let notes = Arc::clone(progress);
        let templates = Templates::new(&cache, move |notice: Notice| {
            notes.note(&notice.to_string());
        });
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let (seats, loose) = (Cell::default(), RefCell::default());
        Ok(Bed { plain, lab, kernel, cache, templates, images, folder, seats, loose })
    }

    /// A fork of a machine.
    pub(super) async fn fork(&self, machine: &Machine, seat: Seat) -> anyhow::Result<Node> {
        Ok(self.templates.fork(machine, seat).await?)
    }

    /// A new seat for a machine; cards lead nowhere.
    pub(super) fn seat(&self, machine: &Machine) -> anyhow::Result<Seat> {
        let identity = self.identity();
        let name = identity.hostname.clone();
        let mut seat = Seat::new(&name, self.folder.path().join(format!("{name}.log")));
        seat.identity = identity;
        for _ in 0..machine.cards {
            let (near, far) = UnixStream::pair().context("a socket pair")?;
            seat.cards.push(near.into());
            self.loose.borrow_mut().push(far);
        }
        seat.identity.cards.truncate(seat.cards.len());
        if machine.data_bytes.is_some() {
            let data = self.folder.path().join(format!("{name}.data"));
            self.images.data_disk(&data, DATA_MIB)?;
            seat.data = Some(DataDisk::open(&data)?);
        }
        Ok(seat)
    }

    /// A new seat for the machine of a lab, at an end of a wire.
    pub(super) fn wired_seat(&self, wire: OwnedFd) -> anyhow::Result<Seat> {
        let mut seat = self.seat(&self.lab)?;
        seat.cards = vec![wire];
        Ok(seat)
    }

    /// Somebody new to be.
    fn identity(&self) -> Identity {
        let number = self.seats.get() + 1;
        self.seats.set(number);
        let card = Card {
            mac: [2, 0, 0, 0, 0, number],
            addresses: vec![format!("{}/24", address(number))],
        };
        Identity {
            hostname: format!("bench{number}"),
            machine_id: format!("{number:032x}"),
            entropy: vec![number; 64],
            cards: vec![card],
            ..Identity::default()
        }
    }
}

/// The address of the seat with this number.
fn address(number: u8) -> String {
    format!("10.77.1.{number}")
}

/// The address of a seat's card.
pub(super) fn address_of(identity: &Identity) -> anyhow::Result<String> {
    let first = identity.cards.first().and_then(|card| card.addresses.first());
    let (address, _) = first.and_then(|it| it.split_once('/')).context("it has no address")?;
    Ok(address.to_owned())
}
