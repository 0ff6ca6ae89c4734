//! The initramfs: the agent as `/init`, and the modules that it loads to reach the disks.

use std::io::{self, Write};
use std::path::Path;

use fs_err as fs;

use crate::{Error, cache};

/// Version of the steps below; part of the key of what they make.
pub(crate) const RECIPE: u32 = 1;

/// Writes the initramfs (cpio, format newc, not compressed) to `path`.
///
/// `/modules` holds the files of the folder `modules`, whose names sort in load order.
pub(crate) fn write(agent: &Path, modules: &Path, path: &Path) -> Result<(), Error> {
    let mut archive =
        Archive { out: io::BufWriter::new(fs::File::create(path)?), entries: 0, at: 0 };
    archive.folder("modules")?;
    archive.file("init", 0o755, &fs::read(agent)?)?;
    for module in cache::files(modules)? {
        let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        archive.file(&format!("modules/{name}"), 0o644, &fs::read(&module)?)?;
    }
    archive.finish()?;
    Ok(())
}

/// A cpio archive in the format newc, as the kernel's `buffer-format.rst` describes it.
struct Archive<W> {
    out: W,
    entries: u32,
    at: usize,
}

impl<W: Write> Archive<W> {
    fn folder(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, 0o040_755, &[])
    }

    fn file(&mut self, name: &str, permissions: u32, data: &[u8]) -> io::Result<()> {
        self.entry(name, 0o100_000 | permissions, data)
    }

    fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, &[])?;
        self.out.flush()
    }

    fn entry(&mut self, name: &str, mode: u32, data: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let length = u32::try_from(data.len()).map_err(io::Error::other)?;
        let name_length = name.len() as u32 + 1;
        // inode, mode, uid, gid, links, mtime, size, device, device of a node, name, checksum
        let fields = [self.entries, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name_length, 0]
            .map(|field| format!("{field:08X}"));
        self.put(format!("070701{}", fields.concat()).as_bytes())?;
        self.put(name.as_bytes())?;
        self.put(b"\0")?;
        self.align()?;
        self.put(data)?;
        self.align()
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len();
        self.out.write_all(bytes)
    }

    fn align(&mut self) -> io::Result<()> {
        let padding = self.at.next_multiple_of(4) - self.at;
        self.put(&[0; 3][..padding])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_in_load_order() {
        let folder = tempfile::tempdir().unwrap();
        let (agent, modules) = (folder.path().join("agent"), folder.path().join("modules"));
        fs::write(&agent, "agent!").unwrap();
        fs::create_dir(&modules).unwrap();
        fs::write(modules.join("001-b.ko"), "second").unwrap();
        fs::write(modules.join("000-a.ko"), "first").unwrap();
        let path = folder.path().join("initramfs");
        write(&agent, &modules, &path).unwrap();
        let archive = fs::read(&path).unwrap();
        let magics: Vec<_> =
            (0..archive.len()).filter(|&at| archive[at..].starts_with(b"070701")).collect();
        assert_eq!(magics.len(), 5);
        assert!(magics.iter().all(|at| at % 4 == 0));
        let find = |text: &[u8]| archive.windows(text.len()).position(|w| w == text).unwrap();
        assert!(find(b"modules/000-a.ko\0") < find(b"modules/001-b.ko\0"));
        assert_eq!(find(b"agent!") % 4, 0);
    }
}
