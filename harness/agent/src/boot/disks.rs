//! Finds disks by the serial that the host gave them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use fs_err as fs;

use super::Uevents;

/// Waits for the disks, and returns the device of each.
///
/// # Errors
/// Names the disks that are missing, and those that are there.
pub(super) fn wait_for(
    wanted: &[String],
    deadline: Duration,
) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let look = || {
        let found = by_serial(Path::new("/sys/block"));
        wanted.iter().all(|serial| found.contains_key(serial)).then_some(found)
    };
    let found = Uevents::until(deadline, look).context("cannot listen for devices")?;
    let Some(found) = found else { bail!(missing(wanted, deadline)) };
    Ok(found)
}

/// The device of a disk, if the node has it at this moment.
pub(super) fn find(serial: &str) -> Option<PathBuf> {
    by_serial(Path::new("/sys/block")).remove(serial)
}

fn missing(wanted: &[String], deadline: Duration) -> String {
    let found = by_serial(Path::new("/sys/block"));
    let missing: Vec<_> = wanted.iter().filter(|serial| !found.contains_key(*serial)).collect();
    let present: Vec<_> = found.keys().collect();
    format!("no disk with serial {missing:?} within {deadline:?}; there are {present:?}")
}

/// Every disk that has a serial: its device by the serial.
fn by_serial(block: &Path) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(block).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let serial = fs::read_to_string(entry.path().join("serial")).ok()?;
            Some((serial.trim().to_owned(), Path::new("/dev").join(entry.file_name())))
        })
        .filter(|(serial, _)| !serial.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_found_by_serial_and_others_left_out() {
        let block = tempfile::tempdir().expect("a folder");
        for (name, serial) in [("vda", Some("root")), ("vdb", Some("data\n")), ("loop0", None)] {
            fs::create_dir(block.path().join(name)).expect("made");
            if let Some(serial) = serial {
                fs::write(block.path().join(name).join("serial"), serial).expect("written");
            }
        }
        let found = by_serial(block.path());
        let expected =
            [("data".to_owned(), "/dev/vdb".into()), ("root".to_owned(), "/dev/vda".into())];
        assert_eq!(found, BTreeMap::from(expected));
    }

    #[test]
    fn a_missing_disk_is_named() {
        let error = missing(&["root".into(), "no-such-disk".into()], Duration::from_secs(30));
        assert!(error.contains("no-such-disk"), "{error}");
    }
}
