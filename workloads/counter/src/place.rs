//! Where the program keeps its files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::witness::Context;

/// The folders of this run.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// For files, fifos and sockets; made when it is not there.
    pub(crate) home: PathBuf,
    /// A tmpfs that is shared with the pod.
    pub(crate) shm: PathBuf,
}

impl Place {
    /// Reads `--home DIR` and `--shm DIR`, and makes the folders.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> io::Result<Self> {
        let mut place =
            Place { home: PathBuf::from("/data/counter"), shm: PathBuf::from("/dev/shm") };
        while let Some(argument) = arguments.next() {
            let value = arguments.next().map(PathBuf::from);
            match (argument.as_str(), value) {
                ("--home", Some(folder)) => place.home = folder,
                ("--shm", Some(folder)) => place.shm = folder,
                _ => return Err(usage(&argument)),
            }
        }
        for folder in [&place.home, &place.home.join("work"), &place.home.join("child")] {
            fs::create_dir_all(folder).context(folder.display())?;
        }
        Ok(place)
    }

    /// Path of a file in the home.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Makes a file with this content, open for reading and writing at its beginning.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> io::Result<File> {
        make(&self.path(name), content)
    }

    /// The same on the shared tmpfs. Pods share it, so the name carries the pid.
    pub(crate) fn shared_file(&self, name: &str, content: &[u8]) -> io::Result<(PathBuf, File)> {
        let path = self.shm.join(format!("counter-{}-{name}", std::process::id()));
        let file = make(&path, content)?;
        Ok((path, file))
    }
}

fn make(path: &Path, content: &[u8]) -> io::Result<File> {
    fs::write(path, content).context(path.display())?;
    OpenOptions::new().read(true).write(true).open(path).context(path.display())
}

fn usage(argument: &str) -> io::Error {
    let message = format!("{argument}: usage: counter [--home DIR] [--shm DIR]");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn pattern(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect()
}
