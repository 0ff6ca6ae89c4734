//! `cryolab archive`: a look into a checkpoint's archive, wherever it comes from.

mod analyse;
mod chain;
mod page;

use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context as _, anyhow};
use engine::archive::{self, ArchiveError, Manifest};
use runner::verdict::plain;

use crate::arguments::archive::ArchiveCommand;
use crate::print;
use crate::status::Exit;

/// Exit code for an archive that is refused.
const REFUSED: u8 = 1;

/// Shows or verifies an archive.
pub(crate) fn run(wanted: &ArchiveCommand) -> Result<u8, Exit> {
    match wanted {
        ArchiveCommand::Show { file, json } => {
            let manifest = read(file, archive::show)?;
            let text = match json {
                true => serde_json::to_string_pretty(&manifest).context("write JSON")? + "\n",
                false => Shown(&manifest).to_string(),
            };
            print(&text)?;
        }
        ArchiveCommand::Verify { file } => {
            let manifest = read(file, archive::verify)?;
            let (members, bytes) = (manifest.members.len(), manifest.bytes());
            let name = file.display();
            print(&format!("{name}: whole: {members} members, {bytes} bytes\n"))?;
        }
        ArchiveCommand::Analyse(wanted) => analyse::run(wanted)?,
        ArchiveCommand::Chain(wanted) => chain::run(wanted)?,
    }
    Ok(0)
}

/// Reads an archive. That there is none is the user's mistake, and not a refusal.
fn read(file: &Path, how: fn(&Path) -> Result<Manifest, ArchiveError>) -> Result<Manifest, Exit> {
    how(file).map_err(|error| refused(file, &error))
}

fn refused(file: &Path, error: &ArchiveError) -> Exit {
    let is_usage = matches!(error, ArchiveError::Read(source) if is_no_file(source));
    let error = anyhow!("{}: {error}", file.display());
    if is_usage { Exit::usage(error) } else { Exit { code: REFUSED, error } }
}

fn is_no_file(error: &io::Error) -> bool {
    use ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
    [NotFound, PermissionDenied, IsADirectory, NotADirectory].contains(&error.kind())
}

/// A manifest for people. Its texts come from whoever made the archive.
struct Shown<'a>(&'a Manifest);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Shown(manifest) = self;
        let origin = &manifest.origin;
        let [kernel, arch, criu] = [&origin.kernel, &origin.arch, &origin.criu].map(|it| plain(it));
        writeln!(f, "pod         {}", plain(&manifest.pod.name))?;
        writeln!(f, "made on     Linux {kernel} ({arch}), by CRIU {criu}")?;
        writeln!(f, "format      {}", manifest.format)?;
        for (container, spec) in manifest.containers.iter().zip(&manifest.pod.containers) {
            let command: Vec<String> = spec.command.iter().map(|word| plain(word)).collect();
            let tasks: Vec<String> = container.tasks.iter().map(ToString::to_string).collect();
            writeln!(f, "container   {}: {}", plain(&container.name), command.join(" "))?;
            writeln!(f, "            pids {}", tasks.join(" "))?;
            let files = container.image_files.len();
            writeln!(f, "            {files} files of its image must be the same where it goes")?;
        }
        for socket in &manifest.bound {
            writeln!(f, "bound       {}: it comes back with this address only", plain(socket))?;
        }
        writeln!(f, "\n{:>14}  member", "bytes")?;
        for (name, member) in &manifest.members {
            writeln!(f, "{:>14}  {}", member.bytes, plain(name))?;
        }
        writeln!(
            f,
            "{:>14}  in all, by the manifest: `archive verify` checks each",
            manifest.bytes()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{
        "format": 4,
        "origin": {"kernel": "6.12\u001b[2J", "arch": "x86_64", "criu": "4.1.1"},
        "pod": {"name": "p", "hostname": "p", "link": null, "shm_mib": 1, "containers": []},
        "containers": [],
        "bound": ["tcp 10.88.0.2:6379"],
        "members": {"shm.tar": {"bytes": 1024, "xxh64": "00000000000000ff"}}
    }"#;

    #[test]
    fn a_manifest_is_shown_without_orders_to_the_terminal() {
        let manifest: Manifest = serde_json::from_str(MANIFEST).expect("a manifest");
        insta::assert_snapshot!(Shown(&manifest));
    }

    #[test]
    fn a_file_that_is_none_is_usage_and_one_that_is_no_archive_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("archive");
        let code = || read(&file, archive::verify).expect_err("no archive").code;
        assert_eq!(code(), 2);
        fs_err::write(&file, b"\x7fELF and more").expect("written");
        assert_eq!(code(), REFUSED);
        fs_err::write(&file, b"").expect("written");
        assert_eq!(code(), REFUSED);
    }
}
