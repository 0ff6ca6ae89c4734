//! A chain of archives: whether each is still what it was when it was taken.
//!
//! Each link names an archive by its SHA-256 and has a digest of its own, over all that it says and
//! over the digest of the link before. Whoever changes an archive, or a link, or takes one out of the
//! middle, changes every digest after it; so it is enough to keep the last digest (the *head*)
//! somewhere else to know all of them. Without the head, a chain that was written anew as a whole, or
//! cut at its end, cannot be told from the true one.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::analysis::Source;
use super::digest;
use crate::error::{About, Error};

/// Heads what a link's digest is made of.
const DOMAIN: &[u8] = b"cryolab chain 1";

/// Longest file of a chain that is read.
const LONGEST: u64 = 64 << 20;

/// The archives of a pod, in the order in which they were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The links, the oldest first.
    pub links: Vec<Link>,
}

/// An archive in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Name of the archive's file.
    pub archive: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// When the file was last written to, in seconds since 1970, as it was added.
    pub modified_s: i64,
    /// Name of the pod.
    pub pod: String,
    /// Digest of the link before; empty for the first.
    pub previous: String,
    /// Digest of this link: SHA-256, in hexadecimal.
    pub link: String,
}

/// Where a chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A link says something else than when it was made.
    #[error("link {number} ({archive}): it was changed: its digest is not what it says")]
    Changed {
        /// Its number, from 1.
        number: usize,
        /// The archive that it names.
        archive: String,
    },
    /// A link does not continue the one before.
    #[error("link {number} ({archive}): it does not follow the link before it")]
    Loose {
        /// Its number, from 1.
        number: usize,
        /// The archive that it names.
        archive: String,
    },
    /// An archive is not what was added.
    #[error("link {number} ({archive}): the archive was changed: its SHA-256 is {found}")]
    Archive {
        /// The link's number, from 1.
        number: usize,
        /// The archive.
        archive: String,
        /// Its digest now.
        found: String,
    },
    /// An archive cannot be read.
    #[error("link {number} ({archive}): {why}")]
    Missing {
        /// The link's number, from 1.
        number: usize,
        /// The archive.
        archive: String,
        /// Why.
        why: String,
    },
    /// The chain ends with another link than it should.
    #[error("the chain ends with {found}, and should with {expected}: it was cut or made anew")]
    Head {
        /// The last digest.
        found: String,
        /// What was expected.
        expected: String,
    },
}

impl Link {
    /// What the digest of this link must be. Every part stands behind its length, so that no two
    /// links have the same bytes.
    fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let (bytes, modified) = (self.bytes.to_string(), self.modified_s.to_string());
        let texts = [&self.previous, &self.archive, &bytes, &self.sha256, &modified, &self.pod];
        for part in std::iter::once(DOMAIN).chain(texts.map(|text| text.as_bytes())) {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest::hex(&digest.finalize())
    }
}

impl Chain {
    /// Adds an archive.
    pub fn add(&mut self, source: &Source) {
        let mut link = Link {
            archive: source.archive.clone(),
            bytes: source.bytes,
            sha256: source.sha256.clone(),
            modified_s: source.modified_s,
            pod: source.pod.clone(),
            previous: self.head().unwrap_or_default().to_owned(),
            link: String::new(),
        };
        link.link = link.digest();
        self.links.push(link);
    }

    /// Digest of the last link: what to keep elsewhere.
    #[must_use]
    pub fn head(&self) -> Option<&str> {
        self.links.last().map(|link| link.link.as_str())
    }

    /// Checks the links against each other and, when it is known, against the head.
    ///
    /// # Errors
    /// The first link that is wrong.
    pub fn verify(&self, head: Option<&str>) -> Result<(), ChainError> {
        let mut previous = "";
        for (index, link) in self.links.iter().enumerate() {
            let (number, archive) = (index + 1, link.archive.clone());
            if link.digest() != link.link {
                return Err(ChainError::Changed { number, archive });
            }
            if link.previous != previous {
                return Err(ChainError::Loose { number, archive });
            }
            previous = &link.link;
        }
        match head {
            Some(expected) if expected != previous => {
                let (found, expected) = (previous.to_owned(), expected.to_owned());
                Err(ChainError::Head { found, expected })
            }
            _ => Ok(()),
        }
    }

    /// Checks every archive, which stand in `folder` under their names, against its link. Links are
    /// checked by [`Chain::verify`].
    ///
    /// # Errors
    /// The first archive that is wrong.
    pub fn verify_archives(&self, folder: &Path) -> Result<(), ChainError> {
        for (index, link) in self.links.iter().enumerate() {
            let (number, archive) = (index + 1, link.archive.clone());
            let missing =
                |why: String| ChainError::Missing { number, archive: link.archive.clone(), why };
            if Path::new(&archive).file_name().is_none_or(|name| name != archive.as_str()) {
                return Err(missing("it is no name of a file".to_owned()));
            }
            let path = folder.join(&archive);
            let found = digest::file(&path).map_err(|error| missing(error.to_string()))?.sha256;
            if found != link.sha256 {
                return Err(ChainError::Archive { number, archive, found });
            }
        }
        Ok(())
    }

    /// Reads a chain from its file; an empty one when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or is no chain.
    pub fn load(path: &Path) -> Result<Chain, Error> {
        let length = match fs_err::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Chain::default());
            }
            other => other.about("look at", path)?.len(),
        };
        if length > LONGEST {
            let why = format!("{length} bytes, at most {LONGEST} are read");
            return Err(std::io::Error::other(why)).about("read", path);
        }
        let bytes = fs_err::read(path).about("read", path)?;
        serde_json::from_slice(&bytes).map_err(std::io::Error::from).about("parse", path)
    }

    /// Writes a chain, so that the old or the new one is there at any moment.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let fresh = path.with_extension("new");
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        fs_err::write(&fresh, text.about("encode", path)?).about("write", &fresh)?;
        fs_err::File::open(&fresh).and_then(|file| file.sync_all()).about("flush", &fresh)?;
        fs_err::rename(&fresh, path).about("rename", &fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, sha256: &str) -> Source {
        let text = str::to_owned;
        Source {
            archive: text(name),
            bytes: 5,
            sha256: text(sha256),
            modified_s: 7,
            pod: text("p"),
            hostname: text("h"),
            kernel: text("6.12"),
            arch: text("x86_64"),
            criu: text("4.1.1"),
        }
    }

    fn chain() -> Chain {
        let mut chain = Chain::default();
        for name in ["a", "b", "c"] {
            chain.add(&source(name, name));
        }
        chain
    }

    #[test]
    fn a_chain_that_nobody_touched_is_whole() {
        let chain = chain();
        assert_eq!(chain.verify(chain.head()), Ok(()));
        assert_eq!(Chain::default().verify(None), Ok(()));
    }

    #[test]
    fn every_change_of_a_link_is_shown() {
        let spoil: [fn(&mut Link); 6] = [
            |link| link.archive.push('x'),
            |link| link.bytes += 1,
            |link| link.sha256.push('x'),
            |link| link.modified_s += 1,
            |link| link.pod.push('x'),
            |link| link.link.push('x'),
        ];
        for spoil in spoil {
            let mut chain = chain();
            spoil(&mut chain.links[1]);
            let error = chain.verify(None).expect_err("changed");
            assert!(matches!(error, ChainError::Changed { number: 2, .. }), "{error}");
        }
    }

    #[test]
    fn a_link_that_was_made_anew_loosens_the_next() {
        let mut chain = chain();
        chain.links[0].sha256 = "other".into();
        chain.links[0].link = chain.links[0].digest();
        let error = chain.verify(None).expect_err("made anew");
        assert!(matches!(error, ChainError::Loose { number: 2, .. }), "{error}");
    }

    #[test]
    fn a_link_that_was_taken_out_is_missed() {
        let mut chain = chain();
        let head = chain.head().map(str::to_owned);
        chain.links.remove(1);
        assert!(matches!(chain.verify(None), Err(ChainError::Loose { number: 2, .. })));
        chain.links.truncate(1);
        assert_eq!(chain.verify(None), Ok(()), "a cut end shows only against the head");
        assert!(matches!(chain.verify(head.as_deref()), Err(ChainError::Head { .. })));
    }

    #[test]
    fn an_archive_that_was_changed_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut chain = Chain::default();
        for name in ["a", "b"] {
            let path = folder.path().join(name);
            std::fs::write(&path, name).expect("written");
            chain.add(&source(name, &digest::file(&path).expect("read").sha256));
        }
        let path = folder.path().join("chain.json");
        chain.save(&path).expect("saved");
        let chain = Chain::load(&path).expect("loaded");
        assert_eq!(chain.verify_archives(folder.path()), Ok(()));
        std::fs::write(folder.path().join("a"), "A").expect("written");
        let error = chain.verify_archives(folder.path()).expect_err("changed");
        assert!(matches!(error, ChainError::Archive { number: 1, .. }), "{error}");
        std::fs::remove_file(folder.path().join("a")).expect("removed");
        let error = chain.verify_archives(folder.path()).expect_err("missing");
        assert!(matches!(error, ChainError::Missing { number: 1, .. }), "{error}");
    }

    #[test]
    fn a_chain_never_leads_out_of_its_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut chain = Chain::default();
        chain.add(&source("../../etc/passwd", "x"));
        let error = chain.verify_archives(folder.path()).expect_err("refused").to_string();
        assert!(error.ends_with("it is no name of a file"), "{error}");
    }
}
