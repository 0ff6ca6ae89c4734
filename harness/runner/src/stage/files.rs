//! Files of a cell: what is brought home from the nodes, and what stays.

use std::path::Path;

use model::message::{Reply, Request};
use serde::Serialize;
use vm::Guest;

use super::{Keep, NodeName, REQUEST, Stage, Stop, unexpected};

/// The archive on the node's disk that survives.
pub(super) const ARCHIVE: &str = "/data/checkpoint.tar.zst";

/// The folder of images of what failed.
const IMAGES: &str = "images";

/// Most bytes of a log.
const LOG_BYTES: usize = 32 << 20;

/// Most bytes of an archive or of an image that is brought home.
const ARCHIVE_BYTES: usize = 1 << 30;

impl Stage {
    pub(super) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), Stop> {
        let path = self.folder().join(name);
        let text = serde_json::to_vec_pretty(value)
            .map_err(|error| Stop::broken(format!("{}: {error}", path.display())))?;
        Ok(fs_err::write(path, text)?)
    }

    /// Brings CRIU's logs home: what ends in `.log` in the folder of its work.
    pub(super) async fn fetch_logs(&mut self, name: NodeName, work: &Path) -> Result<(), Stop> {
        self.fetch(name, work, "", LOG_BYTES, |file| file.ends_with(".log")).await
    }

    /// Brings the images of a failure home, when artefacts are kept at all.
    pub(super) async fn fetch_images(&mut self, name: NodeName, work: &Path) -> Result<(), Stop> {
        if self.setting.keep == Keep::Never {
            return Ok(());
        }
        self.fetch(name, work, IMAGES, ARCHIVE_BYTES, |file| file.ends_with(".img")).await
    }

    async fn fetch(
        &mut self,
        name: NodeName,
        work: &Path,
        into: &str,
        most: usize,
        wanted: fn(&str) -> bool,
    ) -> Result<(), Stop> {
        let began = tokio::time::Instant::now();
        let guest = self.guest(name)?;
        let names = match guest.request(Request::List { path: work.to_owned() }, REQUEST).await? {
            Reply::Names(names) => names,
            other => return Err(unexpected("list", &other)),
        };
        let folder = self.folder().join(into);
        let names: Vec<&String> = names.iter().filter(|file| wanted(file)).collect();
        for (name, file) in flat(&names).into_iter().zip(names) {
            let bytes = guest.get(work.join(file), most).await?;
            fs_err::create_dir_all(&folder)?;
            fs_err::write(folder.join(name), bytes)?;
        }
        self.times.held_up(began.elapsed());
        Ok(())
    }

    /// Removes the images of a failure, which turned out to be an expected one.
    pub(super) fn remove_images(&self) -> Result<(), Stop> {
        let folder = self.folder().join(IMAGES);
        if folder.exists() {
            fs_err::remove_dir_all(folder)?;
        }
        Ok(())
    }

    /// Brings the archive home from its node, if that runs.
    pub(super) async fn fetch_archive(&self, node: NodeName) -> Result<(), Stop> {
        if let Ok(guest) = self.guest(node) {
            for archive in &self.archives {
                let bytes = guest.get(archive, ARCHIVE_BYTES).await?;
                let file = Path::new(archive).file_name().unwrap_or_default();
                fs_err::write(self.folder().join(file), bytes)?;
            }
            self.fetch_rounds(&guest).await?;
        }
        Ok(())
    }

    /// Brings home the rounds on which the archive builds: they stand beside it.
    async fn fetch_rounds(&self, guest: &Guest) -> Result<(), Stop> {
        let archives = Path::new(ARCHIVE).parent().unwrap_or(Path::new("/"));
        let names = match guest.request(Request::List { path: archives.into() }, REQUEST).await? {
            Reply::Names(names) => names,
            other => return Err(unexpected("list", &other)),
        };
        for name in names.iter().filter(|name| is_round(name)) {
            let bytes = guest.get(archives.join(name), ARCHIVE_BYTES).await?;
            fs_err::write(self.folder().join(name), bytes)?;
        }
        Ok(())
    }

    /// Names of the files in the cell's folder.
    pub(super) fn artifacts(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

/// Whether a file beside the archive is one of its rounds; the guest is not trusted with its name.
fn is_round(name: &str) -> bool {
    let sha256 = name.strip_prefix("checkpoint.tar.zst.round-");
    sha256.is_some_and(|it| it.len() == 64 && it.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Names in our folder for files of a guest, which is not trusted with paths: the last part where
/// that tells them apart, else all of it without slashes.
fn flat(files: &[&String]) -> Vec<String> {
    let last = |file: &str| file.rsplit('/').next().unwrap_or_default().to_owned();
    let alone = |name: &str| files.iter().filter(|file| last(file) == name).count() == 1;
    let name = |file: &&String| {
        let name = last(file);
        if alone(&name) { name } else { file.replace('/', "-") }
    };
    files.iter().map(name).map(|name| name.replace("..", "-")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_known_by_its_whole_name() {
        let name = format!("checkpoint.tar.zst.round-{}", "0f".repeat(32));
        assert!(is_round(&name) && !is_round(&format!("{name}.copying")));
        assert!(!is_round("checkpoint.tar.zst") && !is_round(&format!("../{name}")));
    }

    #[test]
    fn a_guest_cannot_name_files_outside() {
        let files = ["main/dump.log", "../../x", "..", "a/b.log", "c/b.log"].map(str::to_owned);
        let names = flat(&files.iter().collect::<Vec<_>>());
        assert_eq!(names, ["dump.log", "x", "-", "a-b.log", "c-b.log"]);
    }
}
