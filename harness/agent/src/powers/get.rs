//! Reading a file.

use std::io::Read;
use std::path::Path;

use anyhow::bail;
use fs_err as fs;
use model::message::{CHUNK_BYTES, Reply};

use crate::serve::Call;

/// Sends a file in chunks. Its end counts, not its size: kernel files show none.
pub(super) fn get(call: &Call<'_>, path: &Path) -> anyhow::Result<Reply> {
    if fs::metadata(path)?.is_dir() {
        bail!("{} is a folder", path.display());
    }
    let mut file = fs::File::open(path)?;
    loop {
        let mut bytes = Vec::with_capacity(CHUNK_BYTES);
        file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(Reply::Done);
        }
        call.send_chunk(bytes);
    }
}
