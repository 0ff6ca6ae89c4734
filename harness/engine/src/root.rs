//! A container's root: an overlay over its image, and what is mounted into it.

use std::path::{Path, PathBuf};

use model::pod::{ContainerSpec, ContainerStatus};
use nix::mount::MsFlags;

use crate::error::{About, Error};
use crate::host::{Fitting, Host, Mount};
use crate::store::Places;
use crate::within::{self, Links};

/// Device nodes that every container has.
const DEVICES: [(&str, (u64, u64)); 6] = [
    ("/dev/null", (1, 3)),
    ("/dev/zero", (1, 5)),
    ("/dev/full", (1, 7)),
    ("/dev/random", (1, 8)),
    ("/dev/urandom", (1, 9)),
    ("/dev/tty", (5, 0)),
];

/// Symbolic links that every container has.
const LINKS: [(&str, &str); 5] = [
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Mounts the root on the node. Its upper layer may be filled already.
///
/// No directory is renamed by a redirect and no file is copied up without its data, so that the
/// upper layer alone says how the root differs from the image. The overlay has a UUID of its own,
/// and says so both when its upper layer is new and when it was filled before: by default it would
/// say so for a new one only (fs/overlayfs/util.c, `ovl_init_uuid_xattr`).
pub(crate) fn mount(
    host: &dyn Host,
    spec: &ContainerSpec,
    container: &ContainerStatus,
) -> Result<(), Error> {
    let work = container.upper.with_file_name("work");
    for folder in [&container.upper, &work, &container.root] {
        fs_err::create_dir_all(folder).about("make", folder)?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off,index=off,uuid=on",
        spec.image.display(),
        container.upper.display(),
        work.display()
    );
    let mut mount = Mount::new("overlay", &container.root, options);
    mount.flags = MsFlags::empty();
    host.mount(&mount).about("mount", &container.root)?;
    make_mount_points(spec, &container.root)
}

/// Gives the root of a new container with a user namespace to the root within. What is in the image
/// belongs to nobody there.
pub(crate) fn give(spec: &ContainerSpec, root: &Path) -> Result<(), Error> {
    let Some(ids) = spec.security.user_namespace else { return Ok(()) };
    std::os::unix::fs::chown(root, Some(ids.uid), Some(ids.gid)).about("give to its user", root)
}

fn has_users(spec: &ContainerSpec) -> bool {
    spec.security.user_namespace.is_some()
}

/// Whatever is mounted in the container needs a place in its root, also when CRIU mounts it.
fn make_mount_points(spec: &ContainerSpec, root: &Path) -> Result<(), Error> {
    let folder = within::open_folder(root).about("open", root)?;
    // CRIU pivots over `/tmp` where it may not make a folder in the root (criu/mount.c).
    let fixed = ["/proc", "/dev", "/sys", "/tmp"].map(str::to_owned);
    let fixed = if has_users(spec) { &fixed[..] } else { &fixed[..3] };
    for path in fixed.iter().chain(spec.tmpfs.keys()) {
        within::make_folders(&folder, Path::new(path)).about("make in the root", path)?;
    }
    Ok(())
}

/// What is put into the root of a new container, in order.
pub(crate) fn fittings(places: &Places, spec: &ContainerSpec, root: &Path) -> Vec<Fitting> {
    let no_exec = |mut mount: Mount| {
        mount.flags |= MsFlags::MS_NOEXEC;
        Fitting::Mount(mount)
    };
    let mut dev = Mount::new("tmpfs", "/dev", "mode=755,size=65536k");
    dev.flags = MsFlags::MS_NOSUID;
    let mut fittings = vec![no_exec(Mount::new("proc", "/proc", "")), Fitting::Mount(dev)];
    for (path, number) in DEVICES {
        fittings.push(match has_users(spec) {
            true => Fitting::File(path.into()),
            false => Fitting::Device { path: path.into(), number },
        });
    }
    for folder in ["/dev/pts", "/dev/shm", "/dev/mqueue"] {
        fittings.push(Fitting::Folder(folder.into()));
    }
    for (path, target) in LINKS {
        fittings.push(Fitting::Symlink { path: path.into(), target: target.into() });
    }
    let mut pts = Mount::new("devpts", "/dev/pts", "newinstance,ptmxmode=0666,mode=0620");
    pts.flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    fittings.push(Fitting::Mount(pts));
    // They show the pod's ipc and net namespaces, in which the root within has no rights: so it
    // could not mount them, nor could CRIU for it.
    if !has_users(spec) {
        fittings.push(no_exec(Mount::new("mqueue", "/dev/mqueue", "")));
        let mut sys = Mount::new("sysfs", "/sys", "");
        sys.flags |= MsFlags::MS_RDONLY;
        fittings.push(no_exec(sys));
    }
    for (path, mib) in &spec.tmpfs {
        let options = format!("mode=1777,size={mib}m");
        fittings.push(Fitting::Mount(Mount::new("tmpfs", path, options)));
    }
    let external = externals(places, spec, &masked_files(spec, root));
    fittings.extend(external.into_iter().map(|external| Fitting::Mount(external.mount())));
    fittings.extend(masked_folders(spec, root));
    fittings
}

/// A mount that comes from outside the container: CRIU is told its name and nothing else of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct External {
    /// Where it is in the container.
    pub(crate) target: PathBuf,
    /// What is mounted there.
    pub(crate) source: PathBuf,
}

impl External {
    fn mount(&self) -> Mount {
        Mount::bind(&self.source, &self.target)
    }
}

/// The container's mounts from outside: the pod's `/dev/shm`, the node's `/dev/null` over masked
/// files, and the node's devices where the container's root may make none.
pub(crate) fn externals(
    places: &Places,
    spec: &ContainerSpec,
    masked_files: &[String],
) -> Vec<External> {
    let devices = DEVICES.iter().filter(|_| has_users(spec));
    let devices = devices.map(|(path, _)| External { target: path.into(), source: path.into() });
    let shm = External { target: "/dev/shm".into(), source: places.shm.clone() };
    let cover = |path: &String| External { target: path.into(), source: "/dev/null".into() };
    devices.chain([shm]).chain(masked_files.iter().map(cover)).collect()
}

/// Masked paths of a new container that are files. Which there are depends on the kernel, so an
/// archive says which there were.
pub(crate) fn masked_files(spec: &ContainerSpec, root: &Path) -> Vec<String> {
    let masked = spec.masked.iter().filter(|path| kind(root, path) == Some(Kind::File));
    masked.cloned().collect()
}

fn masked_folders(spec: &ContainerSpec, root: &Path) -> Vec<Fitting> {
    let masked = spec.masked.iter().filter(|path| kind(root, path) == Some(Kind::Folder));
    let cover = |path: &String| {
        let mut mount = Mount::new("tmpfs", path, "size=0k");
        mount.flags |= MsFlags::MS_RDONLY;
        Fitting::Mount(mount)
    };
    masked.map(cover).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

/// What a masked path is; below `/proc` and `/sys`, as on the node. What is not there needs no
/// cover.
fn kind(root: &Path, path: &str) -> Option<Kind> {
    let metadata = if path.starts_with("/proc/") || path.starts_with("/sys/") {
        std::fs::metadata(path).ok()?
    } else {
        let folder = within::open_folder(root).ok()?;
        let flags = nix::fcntl::OFlag::O_PATH;
        let found = within::open(folder, Path::new(path), flags, Links::InRoot).ok()?;
        std::fs::File::from(found).metadata().ok()?
    };
    Some(if metadata.is_dir() { Kind::Folder } else { Kind::File })
}
