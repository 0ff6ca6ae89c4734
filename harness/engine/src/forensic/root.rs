//! Files that are not as in the container's image: its root's upper layer, and the pod's `/dev/shm`.

use std::io::BufReader;
use std::path::Path;

use super::analysis::ChangedFile;
use super::container::Looker;
use crate::archive::{self, Listed};

/// Lists a tree that was packed as a member, below this path.
pub(super) fn read(
    looker: &mut Looker<'_>,
    container: Option<&str>,
    below: &str,
    file: &Path,
    member: &str,
) {
    let listed = match fs_err::File::open(file) {
        Ok(file) => archive::list_tree(BufReader::new(file), |entry| {
            let wanted = looker.row();
            if wanted {
                looker.changed.push(changed(container, below, entry));
            }
            wanted
        })
        .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(why) = listed {
        looker.told(container, member, why);
    }
}

fn changed(container: Option<&str>, below: &str, entry: Listed) -> ChangedFile {
    let path = entry.path.to_string_lossy();
    let path = path.strip_prefix("./").unwrap_or(if path == "." { "" } else { &path });
    ChangedFile {
        container: container.map(str::to_owned),
        path: format!("{below}/{path}"),
        kind: entry.kind.to_owned(),
        bytes: entry.bytes,
        mode: format!("{:o}", entry.mode),
        uid: entry.uid,
        gid: entry.gid,
        modified_s: entry.modified_s,
        target: entry.target.map(|target| target.to_string_lossy().into_owned()),
    }
}
