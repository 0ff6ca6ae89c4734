//! Disks that guests write to.

use std::path::Path;

use fs_err as fs;

use crate::{Error, command};

/// Makes a sparse disk with an empty ext4 filesystem. Needs no root.
pub(crate) fn data(path: &Path, mib: u64) -> Result<(), Error> {
    let file = fs::File::create(path)?;
    file.set_len(mib << 20)?;
    let mut command = command::tool("mke2fs");
    command.args([
        "-q",
        "-F",
        "-t",
        "ext4",
        "-L",
        "data",
        "-m",
        "0",
        "-E",
        "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0",
    ]);
    command::run(command.arg(path))
}
