//! Which modules must be loaded before the disks can be reached, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use fs_err as fs;
use wildmatch::WildMatch;

use crate::Error;

/// Modules without which a node does not come up.
const REQUIRED: [&str; 6] =
    ["virtio_pci", "virtio_blk", "virtio_console", "erofs", "overlay", "ext4"];

/// Modules that are loaded early where the kernel has them.
const WELCOME: [&str; 3] = ["virtio_net", "virtio_rng", "loop"];

/// The modules of one kernel, as `depmod` wrote them down.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    folder: PathBuf,
    /// File and files that it depends on, relative to the folder, by module name.
    files: BTreeMap<String, (String, Vec<String>)>,
    builtin: Vec<String>,
    /// What to load before a module, where no symbol says so.
    before: BTreeMap<String, Vec<String>>,
    aliases: Vec<(String, String)>,
}

impl Modules {
    /// Reads `modules.dep` and its companions in the folder of a release.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let text = |name: &str| fs::read_to_string(folder.join(name));
        let optional = |name: &str| text(name).unwrap_or_default();
        let mut modules = Modules::parse(
            &text("modules.dep")?,
            &optional("modules.builtin"),
            &optional("modules.softdep"),
            &optional("modules.alias"),
        );
        folder.clone_into(&mut modules.folder);
        Ok(modules)
    }

    fn parse(dependencies: &str, builtin: &str, soft: &str, aliases: &str) -> Self {
        let files = dependencies.lines().filter_map(|line| {
            let (file, needs) = line.split_once(':')?;
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            Some((name(file), (file.to_owned(), needs)))
        });
        let before = soft.lines().filter_map(|line| {
            let (module, rest) = line.strip_prefix("softdep ")?.split_once(' ')?;
            let pre = rest.split("pre:").nth(1)?.split("post:").next()?;
            Some((name(module), pre.split_whitespace().map(str::to_owned).collect()))
        });
        let aliases = aliases.lines().filter_map(|line| {
            let (alias, module) = line.strip_prefix("alias ")?.split_once(' ')?;
            Some((alias.to_owned(), name(module)))
        });
        Modules {
            folder: PathBuf::new(),
            files: files.collect(),
            builtin: builtin.lines().map(name).collect(),
            before: before.collect(),
            aliases: aliases.collect(),
        }
    }

    /// Files to load before the disks can be reached, in order; those that are built in left out.
    pub(crate) fn early(&self) -> Result<Vec<String>, Error> {
        if let Some(missing) = REQUIRED.into_iter().find(|wanted| !self.has(wanted)) {
            let why = format!("the kernel has no {missing}, neither built in nor as a module");
            let release = self.folder.file_name().unwrap_or_default();
            return Err(Error::content(&release.display(), &why));
        }
        let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
        for wanted in REQUIRED.into_iter().chain(WELCOME) {
            self.visit(wanted, &mut seen, &mut order);
        }
        Ok(order)
    }

    fn has(&self, module: &str) -> bool {
        self.files.contains_key(module) || self.builtin.iter().any(|name| name == module)
    }

    /// Adds a module after all that it needs; `seen` ends cycles of soft dependencies.
    fn visit(&self, module: &str, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
        let Some((file, needs)) = self.files.get(module) else { return };
        if !seen.insert(module.to_owned()) {
            return;
        }
        let before = self.before.get(module).into_iter().flatten();
        let before = before.flat_map(|soft| self.resolve(soft));
        for needed in before.chain(needs.iter().map(|file| name(file))) {
            self.visit(&needed, seen, order);
        }
        order.push(file.clone());
    }

    /// The modules that a soft dependency means: a module's name or an alias.
    fn resolve(&self, soft: &str) -> Vec<String> {
        let module = name(soft);
        if self.has(&module) {
            return vec![module];
        }
        let meant = |(alias, _): &&(String, String)| {
            WildMatch::new(alias).matches(soft) || alias.strip_prefix("crypto-") == Some(soft)
        };
        self.aliases.iter().filter(meant).map(|(_, module)| module.clone()).collect()
    }

    /// The bytes of a module that the kernel can load as they are.
    pub(crate) fn load(&self, file: &str) -> Result<Vec<u8>, Error> {
        unpacked(&self.folder.join(file))
    }
}

/// A module's name: of its file without folder and suffix, with underscores.
pub(crate) fn name(file: &str) -> String {
    let file = file.rsplit('/').next().unwrap_or(file);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// The content of a `.ko`, `.ko.xz` or `.ko.zst`.
pub(crate) fn unpacked(path: &Path) -> Result<Vec<u8>, Error> {
    let packed = fs::read(path)?;
    let mut plain = Vec::new();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => lzma_rust2::XzReader::new(&*packed, true).read_to_end(&mut plain),
        Some("zst") => zstd::Decoder::new(&*packed)?.read_to_end(&mut plain),
        _ => return Ok(packed),
    }
    .map_err(|error| Error::content(&path.display(), &error))?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "\
kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz
kernel/drivers/virtio/virtio.ko.xz:
kernel/drivers/virtio/virtio_ring.ko.xz: kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/virtio/virtio_pci.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/char/hw_random/virtio-rng.ko.xz: kernel/drivers/virtio/virtio.ko.xz
kernel/fs/erofs/erofs.ko: kernel/lib/libcrc32c.ko
kernel/lib/libcrc32c.ko:
kernel/crypto/crc32c_generic.ko:
kernel/fs/overlayfs/overlay.ko.zst:
";
    const BUILTIN: &str = "kernel/fs/ext4/ext4.ko\nkernel/drivers/char/virtio_console.ko\n";
    const SOFT: &str = "# Soft dependencies\nsoftdep libcrc32c pre: crc32c post: later\n";
    const ALIAS: &str = "alias crypto-crc32c crc32c_generic\nalias fs-erofs erofs\n";

    fn position(order: &[String], module: &str) -> usize {
        order.iter().position(|file| name(file) == module).unwrap()
    }

    #[test]
    fn every_module_comes_after_what_it_needs() {
        let order = Modules::parse(DEP, BUILTIN, SOFT, ALIAS).early().unwrap();
        for (first, then) in [
            ("virtio", "virtio_ring"),
            ("virtio_ring", "virtio_pci"),
            ("virtio_ring", "virtio_blk"),
            ("crc32c_generic", "libcrc32c"),
            ("libcrc32c", "erofs"),
            ("virtio", "virtio_rng"),
        ] {
            assert!(position(&order, first) < position(&order, then), "{first} {then}: {order:?}");
        }
        assert_eq!(order.len(), 9);
    }

    #[test]
    fn a_kernel_that_cannot_reach_its_disks_is_refused_by_name() {
        let error = Modules::parse(DEP, "", SOFT, ALIAS).early().unwrap_err().to_string();
        assert!(error.contains("no virtio_console"), "{error}");
    }

    #[test]
    fn cyclic_soft_dependencies_end() {
        let soft = "softdep erofs pre: overlay\nsoftdep overlay pre: erofs\n";
        let order = Modules::parse(DEP, BUILTIN, soft, "").early().unwrap();
        assert!(position(&order, "overlay") < position(&order, "erofs"));
    }

    #[test]
    fn modules_are_unpacked_by_their_suffix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ko.zst");
        fs::write(&path, zstd::encode_all(&b"module"[..], 3).unwrap()).unwrap();
        assert_eq!(unpacked(&path).unwrap(), b"module");
        let broken = folder.path().join("b.ko.xz");
        fs::write(&broken, b"not xz at all").unwrap();
        assert!(unpacked(&broken).unwrap_err().to_string().contains("b.ko.xz"));
    }
}
