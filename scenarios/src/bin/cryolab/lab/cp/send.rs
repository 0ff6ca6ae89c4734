//! To a node: a tar of ours is unpacked by the node's.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context as _;
use tar::Builder;

use super::stream::{InputWriter, Moved};
use super::{Complaint, Program, ask, check, last_name, program};
use crate::status::Exit;

/// Relative paths are below the home folder.
const IS_FOLDER: &str = r#"cd && [ -d "$1" ]"#;

const UNPACK: &str = r#"cd && mkdir -p -- "$1" && exec tar -x -p --no-same-owner -f - -C "$1""#;

/// What is copied, and what it is called there.
struct Source {
    from: PathBuf,
    /// A folder is copied as what is in it.
    is_folder: bool,
    /// The folder on the node into which it goes.
    into: String,
    name: String,
}

/// Copies a file or a folder to a node.
pub(super) async fn send(from: &Path, node: &str, to: &str) -> Result<(), Exit> {
    let metadata = fs_err::metadata(from).map_err(Exit::usage)?;
    let full = fs_err::canonicalize(from).map_err(Exit::usage)?;
    let own = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (code, said) = ask(node, IS_FOLDER, &[to]).await?;
    let whole = match code {
        0 => format!("{to}/{own}"),
        1 => to.to_owned(),
        _ => return Err(super::failed(node, to, code, &said)),
    };
    let source = Source::new(full, metadata.is_dir(), &whole);
    let Program { session, input, mut output } = program(node, UNPACK, &[&source.into]).await?;
    let moved = Moved::show(&format!("copy to {node}:{whole}"));
    let writer = InputWriter::new(input, moved.counter());
    let packing = thread::spawn(move || source.pack(writer));
    let listen = async {
        let mut complaint = Complaint::default();
        while let Some((_, bytes)) = output.recv().await {
            complaint.take(&bytes);
        }
        complaint.said()
    };
    let (code, said) = tokio::join!(session.end(), listen);
    // The program has ended, so nothing keeps the thread.
    let packed = packing.join().unwrap_or_else(|_| Err(std::io::Error::other("a panic")));
    check(node, &whole, code?, &said)?;
    Ok(packed.with_context(|| from.display().to_string())?)
}

impl Source {
    fn new(from: PathBuf, is_folder: bool, whole: &str) -> Self {
        let name = last_name(whole).unwrap_or_default().to_owned();
        let parent = Path::new(whole).parent().map(|it| it.display().to_string());
        let parent = parent.filter(|it| !it.is_empty()).unwrap_or_else(|| ".".to_owned());
        let into = if is_folder { whole.to_owned() } else { parent };
        Source { from, is_folder, into, name }
    }

    fn pack(&self, writer: InputWriter) -> std::io::Result<()> {
        let mut builder = Builder::new(BufWriter::with_capacity(64 << 10, writer));
        builder.follow_symlinks(false);
        if self.is_folder {
            builder.append_dir_all(".", &self.from)?;
        } else {
            builder.append_file(&self.name, &mut File::open(&self.from)?)?;
        }
        builder.into_inner()?.flush()
    }
}
