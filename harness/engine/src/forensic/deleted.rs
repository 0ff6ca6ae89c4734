//! Files that were deleted while somebody used them: CRIU keeps their content in images of their own.

use criu::image::Entry;
use criu::image::Payload;
use criu::image::field::{flag, number};
use sha2::{Digest as _, Sha256};

use super::analysis::{Content, DeletedFile};
use super::container::Images;
use super::digest;
use super::table::{Known, Table};

/// Most bytes of a file that are shown.
const MOST_SHOWN: usize = 64 << 10;

/// Longest file of which a digest is made.
const LONGEST: u64 = 1 << 30;

/// Lists the deleted files of a container.
pub(super) fn read(images: &mut Images<'_, '_>, table: &Table) {
    for (_, known) in table.iter() {
        let Some(ghost) = known.ghost else { continue };
        if !images.row() {
            return;
        }
        let image = format!("ghost-file-{ghost}.img");
        let entries = images.needed(&image);
        if let Some((first, chunks)) = entries.split_first() {
            let file = deleted(images, &image, known, first, chunks);
            images.looker.deleted.push(file);
        }
    }
}

fn deleted(
    images: &mut Images<'_, '_>,
    image: &str,
    known: &Known,
    first: &Entry,
    chunks: &[Entry],
) -> DeletedFile {
    let of = |field| number(&first.message, field);
    let content = match (&first.payload, flag(&first.message, "chunks")) {
        (_, true) => sparse(images, image, of("size"), chunks),
        (Payload::Bytes(bytes), false) if is_file(of("mode")) => {
            let room = images.looker.text(bytes.len().min(MOST_SHOWN));
            Some(shown(bytes.len() as u64, Some(sha256(bytes)), &bytes[..room]))
        }
        _ => None,
    };
    DeletedFile {
        container: images.name.clone(),
        path: known.path.clone(),
        mode: format!("{:o}", of("mode")),
        uid: of("uid"),
        gid: of("gid"),
        content,
    }
}

fn is_file(mode: u64) -> bool {
    mode & 0o170_000 == 0o100_000
}

fn sha256(bytes: &[u8]) -> String {
    digest::hex(&Sha256::digest(bytes))
}

/// A file that is stored in chunks, with holes between them.
fn sparse(
    images: &mut Images<'_, '_>,
    image: &str,
    size: u64,
    chunks: &[Entry],
) -> Option<Content> {
    let mut parts: Vec<(u64, &[u8])> = Vec::new();
    for chunk in chunks {
        if let Payload::Bytes(bytes) = &chunk.payload {
            parts.push((number(&chunk.message, "off"), bytes));
        }
    }
    parts.sort_by_key(|(offset, _)| *offset);
    let ends = parts.iter().map(|(offset, bytes)| offset.checked_add(bytes.len() as u64));
    if ends.into_iter().any(|end| end.is_none_or(|end| end > size)) {
        images.told(image, format!("a chunk ends beyond the file's {size} bytes"));
        return None;
    }
    if size > LONGEST {
        images.told(image, format!("{size} bytes: no digest of more than {LONGEST} bytes"));
    }
    let digest = (size <= LONGEST).then(|| sparse_sha256(size, &parts));
    let most = usize::try_from(size).unwrap_or(usize::MAX).min(MOST_SHOWN);
    let mut start = vec![0; images.looker.text(most)];
    for (offset, bytes) in parts {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(room) = start.get_mut(at..) {
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
        }
    }
    Some(shown(size, digest, &start))
}

fn sparse_sha256(size: u64, parts: &[(u64, &[u8])]) -> String {
    let mut digest = Sha256::new();
    let mut at = 0;
    for (offset, bytes) in parts {
        zeros(&mut digest, offset.saturating_sub(at));
        let again = usize::try_from(at.saturating_sub(*offset)).unwrap_or(usize::MAX);
        let fresh = bytes.get(again..).unwrap_or_default();
        digest.update(fresh);
        at = at.max(offset + bytes.len() as u64);
    }
    zeros(&mut digest, size.saturating_sub(at));
    digest::hex(&digest.finalize())
}

fn zeros(digest: &mut Sha256, mut count: u64) {
    const ZEROS: [u8; 4096] = [0; 4096];
    while count > 0 {
        let piece = count.min(ZEROS.len() as u64);
        digest.update(&ZEROS[..usize::try_from(piece).unwrap_or(0)]);
        count -= piece;
    }
}

/// The start of a file, as text where it is some. A character that is cut off at the end is no
/// reason to show none.
fn shown(bytes: u64, sha256: Option<String>, start: &[u8]) -> Content {
    let is_cut = (start.len() as u64) < bytes;
    let text = match std::str::from_utf8(start) {
        Ok(text) => Some(text),
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    Content {
        bytes,
        sha256,
        shown: text.map_or(start.len(), str::len) as u64,
        text: text.map(str::to_owned),
        hex: text.is_none().then(|| digest::hex(start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_text_and_all_else_in_hexadecimal() {
        let content = |bytes: &[u8], length| shown(length, None, bytes);
        assert_eq!(content("grüße".as_bytes(), 7).text.as_deref(), Some("grüße"));
        let cut = content(b"gr\xc3", 9);
        assert_eq!((cut.text.as_deref(), cut.shown), (Some("gr"), 2));
        let whole = content(b"gr\xc3", 3);
        assert_eq!((whole.text, whole.hex.as_deref()), (None, Some("6772c3")));
    }

    #[test]
    fn the_digest_of_a_sparse_file_is_that_of_all_its_bytes() {
        let all = [vec![0; 5000], b"ab".to_vec(), vec![0; 3], b"c".to_vec(), vec![0; 7]].concat();
        let parts: [(u64, &[u8]); 3] = [(5000, b"ab"), (5001, b"b"), (5005, b"c")];
        assert_eq!(sparse_sha256(all.len() as u64, &parts), sha256(&all));
    }
}
