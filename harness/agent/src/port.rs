//! The virtio-serial port that leads to the host.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use fs_err as fs;
use model::message::PORT;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::boot::{DEVICE_DEADLINE, Uevents};

/// Between two looks for a host, when the kernel tells nothing.
const LOOK_EVERY_MS: u16 = 1000;

/// Waits for the port, and opens it.
pub(crate) fn open() -> anyhow::Result<File> {
    let folder = Path::new("/sys/class/virtio-ports");
    let device = Uevents::until(DEVICE_DEADLINE, || device(folder))?.with_context(|| {
        format!("no port {PORT} in {} within {DEVICE_DEADLINE:?}", folder.display())
    })?;
    let port = fs::OpenOptions::new().read(true).write(true).open(device)?;
    Ok(port.into_parts().0)
}

fn device(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let ours = |path: &Path| fs::read_to_string(path).is_ok_and(|name| name.trim() == PORT);
    let port = entries.into_iter().find(|entry| ours(&entry.path().join("name")))?;
    Some(Path::new("/dev").join(port.file_name()))
}

/// Whether somebody holds the other end of the port.
///
/// Without a host, the port reads as ended and polls as ready, again and again. Edge-triggered,
/// epoll tells only changes.
#[derive(Debug)]
pub(crate) struct Presence {
    epoll: Epoll,
}

impl Presence {
    /// Watches this port.
    pub(crate) fn of(port: &File) -> nix::Result<Presence> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(port, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))?;
        Ok(Presence { epoll })
    }

    /// Waits for a change, or a second.
    pub(crate) fn wait(&self) -> nix::Result<()> {
        self.epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::from(LOOK_EVERY_MS))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_by_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        for (port, name) in [("vport1p1", "org.qemu.other"), ("vport1p2", PORT)] {
            fs::create_dir(folder.path().join(port)).expect("made");
            fs::write(folder.path().join(port).join("name"), format!("{name}\n")).expect("written");
        }
        assert_eq!(device(folder.path()), Some("/dev/vport1p2".into()));
        assert_eq!(device(Path::new("/nonexistent")), None);
    }
}
