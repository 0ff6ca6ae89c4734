//! Sysctls of the pod's network and IPC namespaces: every file that can be read.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::read;

/// How folders and files are opened.
const OPEN: OFlag = OFlag::O_RDONLY.union(OFlag::O_CLOEXEC);

/// IPC sysctls are single files among others in these folders.
const IPC: &[(&str, &[&str])] =
    &[("kernel", &["sem", "shm", "msg", "auto_msgmni"]), ("fs/mqueue", &[""])];

/// Sysctls of the network namespace that the calling thread is in.
pub(crate) fn net(facts: &mut Facts) -> Result<()> {
    let path = Path::new("/proc/sys/net");
    if !path.join("netfilter/nf_conntrack_max").exists() {
        facts.not_offered("pod.sysctl.net.*nf_*", "connection tracking is not loaded");
    }
    let folder = Dir::open(path, OPEN, Mode::empty());
    let folder = folder.map_err(|errno| Error::read(path, errno.into()))?;
    Walk { buffer: vec![0; 4096], facts }.below(folder, path, "pod.sysctl.net")
}

/// Sysctls of the IPC namespace that the calling thread is in.
pub(crate) fn ipc(facts: &mut Facts) -> Result<()> {
    let root = Path::new("/proc/sys");
    for (folder, heads) in IPC {
        for name in read::names(root.join(folder))? {
            if heads.iter().any(|head| name.starts_with(head)) {
                let key = folder.replace('/', ".");
                one(&root.join(folder).join(&name), &format!("pod.sysctl.{key}.{name}"), facts)?;
            }
        }
    }
    Ok(())
}

/// A walk through hundreds of small files. Each is opened from the folder that it lies in, and
/// read into one buffer: looking up whole paths would cost more than reading.
struct Walk<'a> {
    buffer: Vec<u8>,
    facts: &'a mut Facts,
}

impl Walk<'_> {
    fn below(&mut self, mut folder: Dir, path: &Path, name: &str) -> Result<()> {
        let entries = entries(&mut folder).map_err(|error| Error::read(path, error))?;
        for (entry, is_folder) in entries {
            let plain = read::lossless(entry.to_bytes());
            let name = format!("{name}.{plain}");
            let failed = |error| Error::read(&path.join(&plain), error);
            if is_folder {
                let inner = Dir::openat(&folder, entry.as_c_str(), OPEN, Mode::empty());
                let inner = inner.map_err(|errno| failed(errno.into()))?;
                self.below(inner, &path.join(&plain), &name)?;
            } else if let Some(bytes) = read::shown(self.read(&folder, &entry)).map_err(failed)? {
                put(&name, &read::lossless(bytes), self.facts);
            }
        }
        Ok(())
    }

    /// A sysctl tells all that fits at once, so that a buffer which is not full holds all of it.
    fn read(&mut self, folder: &Dir, entry: &CString) -> io::Result<&[u8]> {
        let file = openat(folder, entry.as_c_str(), OPEN, Mode::empty())?;
        let mut file = File::from(file);
        let mut length = 0;
        loop {
            let read = file.read(&mut self.buffer[length..])?;
            length += read;
            if length < self.buffer.len() {
                return Ok(&self.buffer[..length]);
            }
            self.buffer.resize(2 * length, 0);
        }
    }
}

/// Names in a folder, and whether each is a folder itself. Procfs knows that of every entry.
fn entries(folder: &mut Dir) -> io::Result<Vec<(CString, bool)>> {
    let mut entries = Vec::new();
    for entry in folder.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if ![c".", c".."].contains(&name) {
            entries.push((name.to_owned(), entry.file_type() == Some(Type::Directory)));
        }
    }
    Ok(entries)
}

/// Write-only ones, and those that are not set (`stable_secret`), show nothing.
fn one(path: &Path, name: &str, facts: &mut Facts) -> Result<()> {
    if let Some(text) = read::text_if_shown(path)? {
        put(name, &text, facts);
    }
    Ok(())
}

fn put(name: &str, text: &str, facts: &mut Facts) {
    facts.put(name, text.split_whitespace().collect::<Vec<_>>().join(" "));
}
