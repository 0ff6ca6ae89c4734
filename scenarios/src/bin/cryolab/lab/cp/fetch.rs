//! From a node: a tar of the node's is unpacked here. The node is not trusted: nothing is written
//! outside of the copy, nothing gets more rights than its owner has, and memory is bounded.

use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, anyhow, bail, ensure};
use tar::{Archive, Entry, EntryType};

use super::super::session::NO_READER;
use super::guard::Guard;
use super::stream::{Moved, OutputReader};
use super::{Complaint, Program, check, is_data, last_name, program};
use crate::status::Exit;

/// A folder as what is in it; what is none, links followed, under its own name.
const PACK: &str = r#"cd || exit
[ -e "$1" ] || { echo "there is no such file or folder" >&2; exit 2; }
if [ -d "$1" ]; then set -- "$1" .; else
set -- "$(dirname -- "$1")" "$(basename -- "$1")" -h; fi
exec tar -c --format=gnu ${3-} -f - -C "$1" -- "$2""#;

/// Folders of one copy: their modes are remembered until all is in them.
const MOST_FOLDERS: usize = 100_000;

/// Copies a file or a folder from a node.
pub(super) async fn fetch(node: &str, from: &str, to: &Path) -> Result<(), Exit> {
    let target = target(from, to)?;
    let Program { session, input, output } = program(node, PACK, &[from]).await?;
    drop(input);
    let moved = Moved::show(&format!("copy {node}:{from}"));
    let (data, reader) = OutputReader::new(moved.counter());
    let unpacking = thread::spawn(move || unpack(reader, &target));
    let sort = async {
        let mut output = output;
        let mut complaint = Complaint::default();
        while let Some((stream, bytes)) = output.recv().await {
            if !is_data(stream) {
                complaint.take(&bytes);
            } else if data.send(bytes).await.is_err() {
                // The copy has failed; what still comes is of no use.
                break;
            }
        }
        drop(output);
        complaint.said()
    };
    let (code, said) = tokio::join!(session.end(), sort);
    drop(data);
    let (code, unpacked) = (code?, unpacking.join().unwrap_or_else(|_| Err(anyhow!("a panic"))));
    match unpacked {
        Err(error) if matches!(code, 0 | 1 | NO_READER) => {
            Err(Exit::lab(error.context(format!("{node}:{from}"))))
        }
        // What came was no copy because of what the node says.
        Err(_) => check(node, from, code, &said),
        Ok(skipped) => {
            if skipped > 0 {
                eprintln!("  {skipped} sockets, devices or pipes were not copied");
            }
            check(node, from, code, &said)
        }
    }
}

/// Where the copy goes.
fn target(from: &str, to: &Path) -> Result<PathBuf, Exit> {
    if to.is_dir() {
        return Ok(last_name(from).map_or_else(|| to.to_owned(), |name| to.join(name)));
    }
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    match parent {
        Some(parent) if !parent.is_dir() => {
            Err(Exit::usage(anyhow!("there is no folder {}", parent.display())))
        }
        _ => Ok(to.to_owned()),
    }
}

/// Unpacks what comes; the number of things that are neither files, folders nor links.
fn unpack(reader: OutputReader, target: &Path) -> anyhow::Result<usize> {
    let mut archive = Archive::new(Guard::new(reader));
    let mut entries = archive.entries()?;
    let mut first = entries.next().context("nothing came")??;
    match first.header().entry_type() {
        EntryType::Directory => {
            if !target.is_dir() {
                fs_err::create_dir(target)?;
            }
            let folder = fs_err::canonicalize(target)?;
            let skipped = unpack_folder(&mut entries, &folder)?;
            let mode = first.header().mode()? & 0o777;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs_err::set_permissions(folder, mode)?;
            Ok(skipped)
        }
        EntryType::Regular | EntryType::Continuous => {
            first.unpack(target)?;
            Ok(0)
        }
        other => bail!("it is neither a file nor a folder, but {other:?}"),
    }
}

fn unpack_folder<'a>(
    entries: impl Iterator<Item = std::io::Result<Entry<'a, Guard<OutputReader>>>>,
    folder: &Path,
) -> anyhow::Result<usize> {
    let (mut folders, mut skipped) = (Vec::new(), 0);
    for entry in entries {
        let entry = entry?;
        match entry.header().entry_type() {
            // A folder that must not be written to is to be filled first.
            EntryType::Directory => folders.push(entry),
            EntryType::Regular | EntryType::Continuous | EntryType::Symlink | EntryType::Link => {
                place(entry, folder)?;
            }
            _ => skipped += 1,
        }
        ensure!(folders.len() <= MOST_FOLDERS, "more than {MOST_FOLDERS} folders");
    }
    folders.sort_by(|a, b| b.path_bytes().cmp(&a.path_bytes()));
    folders.into_iter().try_for_each(|entry| place(entry, folder))?;
    Ok(skipped)
}

/// Unpacks an entry below `folder`, where no name and no link leads out of it.
fn place(mut entry: Entry<'_, Guard<OutputReader>>, folder: &Path) -> anyhow::Result<()> {
    let inside = entry.unpack_in(folder)?;
    let name = || String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    ensure!(inside, "`{}` leads out of the copy", name());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tar::{Builder, Header};

    use super::*;

    /// Unpacks a folder whose entries are made by `fill`.
    fn copy(
        fill: impl FnOnce(&mut Builder<Vec<u8>>),
    ) -> (tempfile::TempDir, anyhow::Result<usize>) {
        let here = tempfile::tempdir().expect("a folder");
        let mut builder = Builder::new(Vec::new());
        append(&mut builder, "./", EntryType::Directory, 0o755, "");
        fill(&mut builder);
        let bytes = builder.into_inner().expect("a tar");
        let (sender, reader) = OutputReader::new(Moved::default().counter());
        let feeding = thread::spawn(move || {
            bytes.chunks(700).all(|piece| sender.blocking_send(piece.to_vec()).is_ok())
        });
        let unpacked = unpack(reader, &here.path().join("copy"));
        feeding.join().expect("no panic");
        (here, unpacked)
    }

    fn append(to: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, mode: u32, text: &str) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        let link = matches!(kind, EntryType::Symlink | EntryType::Link);
        header.set_size(if link { 0 } else { text.len() as u64 });
        // `set_path` refuses what a hostile node would send.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        if link {
            header.as_mut_bytes()[157..157 + text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        to.append(&header, if link { &[] } else { text.as_bytes() }).expect("memory");
    }

    #[test]
    fn modes_and_links_are_kept_but_no_rights_are_won() {
        let (here, done) = copy(|tar| {
            append(tar, "./closed", EntryType::Directory, 0o500, "");
            append(tar, "./closed/tool", EntryType::Regular, 0o4751, "#!");
            append(tar, "./link", EntryType::Symlink, 0o777, "/etc/passwd");
            append(tar, "./null", EntryType::Char, 0o666, "");
        });
        assert_eq!(done.expect("copied"), 1);
        let copy = here.path().join("copy");
        let mode = |name: &str| copy.join(name).metadata().expect(name).permissions().mode();
        assert_eq!((mode("closed") & 0o7777, mode("closed/tool") & 0o7777), (0o500, 0o751));
        let link = std::fs::read_link(copy.join("link")).expect("a link");
        assert_eq!(link, Path::new("/etc/passwd"));
    }

    #[test]
    fn no_name_and_no_link_leads_out_of_the_copy() {
        for fill in [
            (|tar| append(tar, "../out", EntryType::Regular, 0o644, "x")) as fn(&mut Builder<_>),
            |tar| {
                append(tar, "./up", EntryType::Symlink, 0o777, "..");
                append(tar, "./up/out", EntryType::Regular, 0o644, "x");
            },
            |tar| {
                append(tar, "./up", EntryType::Symlink, 0o777, "../..");
                append(tar, "./up/out", EntryType::Directory, 0o755, "");
            },
            |tar| append(tar, "./hard", EntryType::Link, 0o644, "../secret"),
        ] {
            let (here, done) = copy(fill);
            done.expect_err("refused");
            assert!(!here.path().join("out").exists());
        }
    }

    #[test]
    fn a_link_in_the_way_is_replaced_and_not_followed() {
        let here = tempfile::tempdir().expect("a folder");
        std::fs::write(here.path().join("precious"), "kept").expect("written");
        let target = here.path().join("copy");
        symlink("precious", &target).expect("a link");
        let mut builder = Builder::new(Vec::new());
        append(&mut builder, "copy", EntryType::Regular, 0o644, "new");
        let (sender, reader) = OutputReader::new(Moved::default().counter());
        sender.try_send(builder.into_inner().expect("a tar")).expect("room");
        drop(sender);
        unpack(reader, &target).expect("copied");
        let read = |name: &str| std::fs::read_to_string(here.path().join(name)).expect(name);
        assert_eq!((read("precious"), read("copy")), ("kept".to_owned(), "new".to_owned()));
    }
}
