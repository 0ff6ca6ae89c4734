//! Open files of processes.

use criu::image::field::number;

use super::analysis::OpenFile;
use super::container::Images;
use super::processes::Task;
use super::table::Table;

/// Lists what each process has open.
pub(super) fn read(images: &mut Images<'_, '_>, table: &Table, tasks: &[Task]) {
    for task in tasks {
        let Some(id) = task.descriptors else { continue };
        for entry in images.entries(&format!("fdinfo-{id}.img")) {
            if !images.row() {
                return;
            }
            let file = open_file(images, table, task.pid, &entry.message);
            images.looker.files.push(file);
        }
    }
}

fn open_file(
    images: &mut Images<'_, '_>,
    table: &Table,
    pid: u64,
    descriptor: &prost_reflect::DynamicMessage,
) -> OpenFile {
    let (id, fd) = (number(descriptor, "id"), number(descriptor, "fd"));
    let known = table.get(id);
    if known.is_none() {
        images.told("files.img", format!("no file {id}, which is fd {fd} of pid {pid}"));
    }
    let closed = number(descriptor, "flags") & 1 != 0;
    OpenFile {
        container: images.name.clone(),
        pid,
        fd,
        path: known.map(|known| known.path.clone()).unwrap_or_default(),
        kind: known.map_or("unknown", |known| &known.kind).to_owned(),
        flags: flags(known.map_or(0, |known| known.flags), closed),
        offset: known.and_then(|known| known.offset),
        deleted: known.is_some_and(|known| known.deleted),
    }
}

/// Flags of `open` on x86-64, but those of the access mode.
const FLAGS: [(u64, &str); 13] = [
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o400, "O_NOCTTY"),
    (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o4_010_000, "O_SYNC"),
    (0o10_000, "O_DSYNC"),
    (0o20_000, "O_ASYNC"),
    (0o40_000, "O_DIRECT"),
    (0o200_000, "O_DIRECTORY"),
    (0o400_000, "O_NOFOLLOW"),
    (0o10_000_000, "O_PATH"),
];

/// Says nothing: every file of a 64-bit process has it (`O_LARGEFILE`).
const LARGE: u64 = 0o100_000;
const CLOSE_ON_EXEC: u64 = 0o2_000_000;
const NO_TIME: u64 = 0o1_000_000;

/// Flags in the words of `open`; what has no word, as a number.
fn flags(flags: u64, closed_on_exec: bool) -> String {
    let mode = ["O_RDONLY", "O_WRONLY", "O_RDWR", "3"][usize::try_from(flags & 3).unwrap_or(3)];
    let mut words = vec![mode.to_owned()];
    let mut left = flags & !(3 | LARGE | CLOSE_ON_EXEC);
    for (bits, word) in FLAGS.into_iter().chain([(NO_TIME, "O_NOATIME")]) {
        if left & bits == bits {
            words.push(word.to_owned());
            left &= !bits;
        }
    }
    if left != 0 {
        words.push(format!("{left:#o}"));
    }
    if closed_on_exec {
        words.push("O_CLOEXEC".to_owned());
    }
    words.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_in_words() {
        assert_eq!(flags(0o100_000, false), "O_RDONLY");
        assert_eq!(flags(0o4_014_002, true), "O_RDWR|O_NONBLOCK|O_SYNC|O_CLOEXEC");
        assert_eq!(flags(0o100_000_000_001, false), "O_WRONLY|0o100000000000");
    }
}
