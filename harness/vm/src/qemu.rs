//! Which QEMU there is.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Serialize, Serializer};
use tokio::process::Command;

use crate::Error;

/// The oldest QEMU whose options and monitor this room knows (Debian 12's).
pub(crate) const MINIMUM: Version = Version { major: 7, minor: 2, micro: 0 };

/// An installed QEMU for x86-64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Qemu {
    /// The program.
    pub program: PathBuf,
    /// What it says with `--version`.
    pub version: Version,
}

impl Qemu {
    /// Finds `qemu-system-x86_64` by `PATH`.
    ///
    /// # Errors
    /// When there is none, or none that is new enough.
    pub async fn find() -> Result<Qemu, Error> {
        Qemu::at(Path::new("qemu-system-x86_64")).await
    }

    /// Asks this program who it is.
    ///
    /// # Errors
    /// When it is not there, not QEMU, or not new enough.
    pub async fn at(program: &Path) -> Result<Qemu, Error> {
        let unusable = |why| Error::QemuUnusable { program: program.to_owned(), why };
        let mut command = Command::new(program);
        let output = command.arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
        // A task of its own: whoever gives up waiting leaves no process that nobody waits for.
        let output = tokio::spawn(output).await.map_err(|error| unusable(error.to_string()))?;
        let output = output.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::QemuMissing { program: program.to_owned() },
            _ => unusable(error.to_string()),
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = Version::parse(&text)
            .ok_or_else(|| unusable(text.lines().next().unwrap_or("it says nothing").to_owned()))?;
        if version < MINIMUM {
            return Err(Error::QemuTooOld { program: program.to_owned(), found: version });
        }
        Ok(Qemu { program: program.to_owned(), version })
    }
}

/// A version of QEMU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Its first number.
    pub major: u32,
    /// Its second number.
    pub minor: u32,
    /// Its third number.
    pub micro: u32,
}

impl Version {
    /// Reads the first line of `--version`.
    fn parse(text: &str) -> Option<Version> {
        let version = text.strip_prefix("QEMU emulator version ")?.split_whitespace().next()?;
        let mut numbers = version.split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Version { major: next()?, minor: next()?, micro: next()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_versions_of_debian_and_of_a_plain_build() {
        let text = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright";
        assert_eq!(Version::parse(text).expect("a version").to_string(), "7.2.22");
        assert_eq!(Version::parse("QEMU emulator version 10.0.2\n").expect("a version").major, 10);
        assert_eq!(Version::parse("QEMU emulator version v8\n"), None);
        assert_eq!(Version::parse("bash: no such thing"), None);
    }

    #[tokio::test]
    async fn a_missing_qemu_is_an_error_that_says_what_to_install() {
        let error = Qemu::at(Path::new("qemu-system-nowhere")).await.expect_err("not there");
        insta::assert_snapshot!(error, @"`qemu-system-nowhere` was not found; install QEMU 7.2.0 or newer (Debian: `apt install qemu-system-x86`)");
    }

    #[tokio::test]
    async fn a_program_that_is_not_qemu_is_refused_with_what_it_said() {
        let error = Qemu::at(Path::new("true")).await.expect_err("not QEMU");
        assert!(error.to_string().starts_with("`true --version` is of no use"), "{error}");
    }
}
