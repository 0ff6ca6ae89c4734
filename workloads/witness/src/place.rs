//! Where the program keeps its files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::Context;

/// The folders of this run.
#[derive(Clone, Debug)]
pub struct Place {
    program: String,
    /// For files, fifos and sockets; made when it is not there.
    pub home: PathBuf,
    /// A tmpfs that is shared with the pod.
    pub shm: PathBuf,
}

impl Place {
    /// Reads `--home DIR` (without it: `/data/PROGRAM`) and `--shm DIR`, and makes the home.
    ///
    /// # Errors
    /// Another argument, or a folder that cannot be made.
    pub fn from_arguments(
        program: &str,
        mut arguments: impl Iterator<Item = String>,
    ) -> io::Result<Self> {
        let mut place = Place {
            program: program.to_owned(),
            home: PathBuf::from("/data").join(program),
            shm: PathBuf::from("/dev/shm"),
        };
        while let Some(argument) = arguments.next() {
            let value = arguments.next().map(PathBuf::from);
            match (argument.as_str(), value) {
                ("--home", Some(folder)) => place.home = folder,
                ("--shm", Some(folder)) => place.shm = folder,
                _ => return Err(usage(program, &argument)),
            }
        }
        fs::create_dir_all(&place.home).context(place.home.display())?;
        Ok(place)
    }

    /// Path of a file in the home.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Makes a folder in the home.
    ///
    /// # Errors
    /// As the system says.
    pub fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path).context(path.display())?;
        Ok(path)
    }

    /// Makes a file with this content, open for reading and writing at its beginning.
    pub fn file(&self, name: &str, content: &[u8]) -> io::Result<File> {
        make(&self.path(name), content)
    }

    /// The same on the shared tmpfs. Pods share it, so the name carries the pid.
    pub fn shared_file(&self, name: &str, content: &[u8]) -> io::Result<(PathBuf, File)> {
        let path = self.shm.join(format!("{}-{}-{name}", self.program, std::process::id()));
        let file = make(&path, content)?;
        Ok((path, file))
    }
}

fn make(path: &Path, content: &[u8]) -> io::Result<File> {
    fs::write(path, content).context(path.display())?;
    OpenOptions::new().read(true).write(true).open(path).context(path.display())
}

fn usage(program: &str, argument: &str) -> io::Error {
    let message = format!("{argument}: usage: {program} [--home DIR] [--shm DIR]");
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// Bytes that differ from place to place and from seed to seed.
pub fn pattern(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ seed).collect()
}
