//! A seat: what is one node's own, apart from the machine that it shares with others.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::message::Identity;

use crate::disk::DataDisk;
use crate::{Error, Machine};

/// What a machine needs to become a node. Used up by its start.
#[derive(Debug)]
pub struct Seat {
    /// The node's name, in errors and in QEMU's window title.
    pub name: String,
    /// QEMU writes the console here, after what is there already.
    pub console_log: PathBuf,
    /// Who the node is; the guest is told.
    pub identity: Identity,
    /// How far its time of day is to be behind the host's.
    pub behind: Duration,
    /// Seeds what QEMU gives the guest as random; without it each boot is different.
    pub seed: Option<u64>,
    /// Its disk `data`, for a machine that has one.
    pub data: Option<DataDisk>,
    /// QEMU's end of the wire of each card (see [`crate::wire::Switch::plug`]).
    pub cards: Vec<OwnedFd>,
}

impl Seat {
    /// A seat for a machine without cards and without a disk to write to.
    #[must_use]
    pub fn new(name: &str, console_log: impl Into<PathBuf>) -> Seat {
        let identity = Identity { hostname: name.to_owned(), ..Identity::default() };
        Seat {
            name: name.to_owned(),
            console_log: console_log.into(),
            identity,
            behind: Duration::ZERO,
            seed: None,
            data: None,
            cards: Vec::new(),
        }
    }

    /// A seat for a machine that only prepares something: with an empty disk, and with cards whose
    /// wires lead nowhere. Their far ends must be kept as long as the machine runs.
    pub(crate) fn aside(
        name: &str,
        machine: &Machine,
        folder: &Path,
    ) -> Result<(Seat, Vec<OwnedFd>), Error> {
        let mut seat = Seat::new(name, folder.join(format!("console-{name}.log")));
        let mut far_ends = Vec::new();
        for _ in 0..machine.cards {
            let (near, far) = UnixStream::pair().map_err(Error::host("make a socket pair"))?;
            seat.cards.push(near.into());
            far_ends.push(far.into());
        }
        if let Some(bytes) = machine.data_bytes {
            let path = folder.join(format!("empty-{name}"));
            let disk = empty_disk(&path, bytes);
            seat.data = Some(disk.map_err(Error::host(format!("make {}", path.display())))?);
        }
        Ok((seat, far_ends))
    }
}

/// A disk whose file goes with its last user.
fn empty_disk(path: &Path, bytes: u64) -> std::io::Result<DataDisk> {
    File::create(path)?.set_len(bytes)?;
    let disk = DataDisk::open(path)?;
    std::fs::remove_file(path)?;
    Ok(disk)
}
