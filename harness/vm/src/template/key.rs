//! The name of a template: a digest of all that it depends on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use model::message::PROTOCOL;

use crate::command::EMULATED_CPU;
use crate::{Error, Machine};

/// Changes when templates are made in another way.
const RECIPE: u32 = 2;

/// A name that two machines have in common when a template of one does for the other.
///
/// Files count by path, size and time; those of the image cache are named after what they are
/// made from.
pub(super) fn of(machine: &Machine) -> Result<String, Error> {
    let mut hasher = blake3::Hasher::new();
    let described = serde_json::to_vec(machine).map_err(io::Error::other);
    let described = described.map_err(Error::host("describe a machine"))?;
    let (recipe, protocol) = (RECIPE.to_le_bytes(), PROTOCOL.to_le_bytes());
    for part in [&recipe, &protocol, &described[..], &processor(), EMULATED_CPU.as_bytes()] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    for path in files(machine) {
        let stamp = stamp(&path).map_err(Error::host(format!("find {}", path.display())))?;
        hasher.update(&stamp);
    }
    let digest = hasher.finalize().to_hex();
    Ok(format!("{}-{}", label(&machine.kernel), &digest[..16]))
}

fn files(machine: &Machine) -> Vec<PathBuf> {
    let program = &machine.qemu.program;
    let fixed = [on_path(program), machine.kernel.clone(), machine.initramfs.clone()];
    fixed.into_iter().chain(machine.disks.iter().map(|disk| disk.path.clone())).collect()
}

/// Where the shell would find the program.
fn on_path(program: &Path) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&folders).map(|folder| folder.join(program));
    found.find(|path| path.is_file()).unwrap_or_else(|| program.to_owned())
}

fn stamp(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    let changed = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (size, time) = (metadata.len().to_le_bytes(), changed.as_nanos().to_le_bytes());
    Ok([path.as_os_str().as_encoded_bytes(), &size, &time].concat())
}

/// Model and flags of the host's first processor.
fn processor() -> Vec<u8> {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let first = info.split("\n\n").next().unwrap_or_default();
    let lines = first.lines().filter(|line| {
        line.starts_with("model name") || line.starts_with("flags") || line.starts_with("stepping")
    });
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

/// For people who look into the cache: the folder of the kernel, which is named after it there.
fn label(kernel: &Path) -> String {
    let name = kernel.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let readable = |c: char| if c.is_ascii_alphanumeric() || ".+-".contains(c) { c } else { '_' };
    name.trim_start_matches('.').chars().map(readable).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Accel, Qemu, Version};

    #[test]
    fn a_template_depends_on_the_machine_and_on_its_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let [kernel, initramfs] = ["bzImage", "initramfs"].map(|name| folder.path().join(name));
        for file in [&kernel, &initramfs] {
            fs::write(file, "one").expect("written");
        }
        let version = Version { major: 10, minor: 0, micro: 0 };
        let qemu = Qemu { program: "sh".into(), version };
        let machine = Machine::new(qemu, Accel::Tcg, &kernel, &initramfs);
        let before = of(&machine).expect("a key");
        assert_eq!(of(&machine.clone()).expect("a key"), before);
        let larger = Machine { memory_mib: 2048, ..machine.clone() };
        assert_ne!(of(&larger).expect("a key"), before);
        fs::write(&initramfs, "two!").expect("written");
        assert_ne!(of(&machine).expect("a key"), before);
        fs::remove_file(&kernel).expect("removed");
        assert!(of(&machine).expect_err("no kernel").to_string().contains("bzImage"));
    }
}
