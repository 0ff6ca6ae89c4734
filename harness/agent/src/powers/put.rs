//! Writing a file.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fs_err as fs;
use model::message::Reply;

use crate::serve::Call;

/// How long the host may take for the next chunk.
const CHUNK_DEADLINE: Duration = Duration::from_secs(60);

/// Writes a file under another name and gives it its own when it is whole.
pub(super) fn put(call: &Call<'_>, path: &Path, mode: u32, bytes: u64) -> anyhow::Result<Reply> {
    let chunks = call.chunks()?;
    let temporary = temporary_name(path, call.id())?;
    let written = write(&temporary, mode, bytes, chunks)
        .with_context(|| format!("cannot put {}", path.display()))
        .and_then(|()| Ok(fs::rename(&temporary, path)?));
    if written.is_err() {
        // The first failure is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written.map(|()| Reply::Done)
}

fn temporary_name(path: &Path, id: u32) -> anyhow::Result<PathBuf> {
    ensure!(path.is_absolute(), "{} is not absolute", path.display());
    let name = path.file_name().with_context(|| format!("{} names no file", path.display()))?;
    Ok(path.with_file_name(format!(".{}.{id}.part", name.to_string_lossy())))
}

fn write(path: &Path, mode: u32, bytes: u64, chunks: &Receiver<Vec<u8>>) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = fs::File::create(path)?;
    receive(&mut file, bytes, chunks)?;
    file.set_permissions(PermissionsExt::from_mode(mode))?;
    Ok(file.sync_all()?)
}

fn receive(to: &mut impl Write, bytes: u64, chunks: &Receiver<Vec<u8>>) -> anyhow::Result<()> {
    let mut missing = bytes;
    while missing > 0 {
        let Ok(chunk) = chunks.recv_timeout(CHUNK_DEADLINE) else {
            bail!("{missing} of {bytes} bytes did not come within {CHUNK_DEADLINE:?}");
        };
        let length = chunk.len() as u64;
        ensure!(length <= missing, "{} bytes more than the {bytes} announced", length - missing);
        to.write_all(&chunk)?;
        missing -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, &[], Ok("".to_owned()))]
    #[case(5, &["he", "", "llo"], Ok("hello".to_owned()))]
    #[case(3, &["he", "llo"], Err("2 bytes more than the 3 announced".to_owned()))]
    fn chunks_make_a_file_of_the_announced_length(
        #[case] bytes: u64,
        #[case] chunks: &[&str],
        #[case] expected: Result<String, String>,
    ) {
        let (sender, receiver) = sync_channel(8);
        for chunk in chunks {
            sender.send(chunk.as_bytes().to_vec()).expect("room");
        }
        let mut file = Vec::new();
        let result = receive(&mut file, bytes, &receiver).map_err(|error| error.to_string());
        assert_eq!(result.map(|()| String::from_utf8_lossy(&file).into_owned()), expected);
    }

    #[test]
    fn a_file_gets_its_parents_and_its_mode() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b/script");
        let (sender, receiver) = sync_channel(1);
        sender.send(b"exit".to_vec()).expect("room");
        write(&path, 0o750, 4, &receiver).expect("written");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o750);
    }

    #[rstest]
    #[case("relative/file")]
    #[case("/")]
    fn a_path_that_names_no_file_is_refused(#[case] path: &str) {
        assert!(temporary_name(Path::new(path), 1).is_err());
    }
}
