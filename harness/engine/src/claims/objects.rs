//! System V objects of a pod, and the settings of its ipc namespace.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use model::pod::Namespace;
use serde::{Deserialize, Serialize};

use crate::error::{About, Error};
use crate::host::Host;

/// Objects of the same place in the kernel's table have ids that are equal in these bits (ipc/util.h,
/// `IPCMNI_SHIFT`).
const PLACE: i32 = (1 << 15) - 1;

/// What CRIU writes into the ipc namespace with the objects (criu/ipc_ns.c, `ipc_sysctl_req`).
const SETTINGS: [&str; 13] = [
    "kernel/sem",
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/shmmax",
    "kernel/shmall",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
    "fs/mqueue/queues_max",
    "fs/mqueue/msg_max",
    "fs/mqueue/msgsize_max",
    "fs/mqueue/msg_default",
    "fs/mqueue/msgsize_default",
];

/// A kind of System V objects, by the kernel's name in `/proc/sysvipc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    /// Shared memory.
    Shm,
    /// Semaphores.
    Sem,
    /// Messages.
    Msg,
}

impl ObjectKind {
    const ALL: [ObjectKind; 3] = [ObjectKind::Shm, ObjectKind::Sem, ObjectKind::Msg];

    fn table(self) -> &'static Path {
        Path::new(match self {
            ObjectKind::Shm => "/proc/sysvipc/shm",
            ObjectKind::Sem => "/proc/sysvipc/sem",
            ObjectKind::Msg => "/proc/sysvipc/msg",
        })
    }
}

/// A System V object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its id, which programs keep.
    pub id: i32,
    /// Its key, by which programs find it; 0 when it has none.
    pub key: i32,
}

impl Object {
    /// Whether both cannot be in one namespace.
    fn excludes(&self, other: &Object) -> bool {
        let same_place = self.id & PLACE == other.id & PLACE;
        self.kind == other.kind && (same_place || self.key != 0 && self.key == other.key)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ObjectKind::Shm => "segment",
            ObjectKind::Sem => "semaphores",
            ObjectKind::Msg => "queue",
        };
        write!(f, "System V {kind} {} with key {:#x}", self.id, self.key)
    }
}

/// All objects of an ipc namespace.
pub(super) fn all(host: &dyn Host, pin: &Path) -> Result<Vec<Object>, Error> {
    let files = ObjectKind::ALL.map(ObjectKind::table);
    let tables = host.read_in((Namespace::Ipc, pin), &files).about("read SysV IPC in", pin)?;
    let tables = ObjectKind::ALL.iter().zip(&tables);
    Ok(tables.flat_map(|(kind, table)| rows(*kind, &String::from_utf8_lossy(table))).collect())
}

/// The first two words of a row are key and id.
fn rows(kind: ObjectKind, table: &str) -> Vec<Object> {
    let row = |line: &str| {
        let mut words = line.split_whitespace().map(str::parse);
        let (Some(Ok(key)), Some(Ok(id))) = (words.next(), words.next()) else { return None };
        Some(Object { kind, id, key })
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// The first of these objects whose id or key is taken, in words.
pub(super) fn taken(host: &dyn Host, pin: &Path, ours: &[Object]) -> Result<Option<String>, Error> {
    if ours.is_empty() {
        return Ok(None);
    }
    let theirs = all(host, pin)?;
    Ok(conflict(ours, &theirs))
}

fn conflict(ours: &[Object], theirs: &[Object]) -> Option<String> {
    let pairs = ours.iter().flat_map(|our| theirs.iter().map(move |their| (our, their)));
    let mut pairs = pairs.filter(|(our, their)| our.excludes(their));
    pairs.next().map(|(our, their)| format!("the place of {our} (by {their})"))
}

/// Removes those of these objects that are in an ipc namespace.
pub(crate) fn remove(host: &dyn Host, pin: &Path, objects: &[Object]) -> Result<(), Error> {
    if objects.is_empty() {
        return Ok(());
    }
    let there: Vec<Object> =
        all(host, pin)?.into_iter().filter(|it| objects.contains(it)).collect();
    host.remove_objects(pin, &there).about("remove SysV objects in", pin)
}

/// Settings of an ipc namespace, each with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings(BTreeMap<PathBuf, String>);

impl Settings {
    /// Those that an ipc namespace has.
    pub(crate) fn of(host: &dyn Host, pin: &Path) -> Result<Settings, Error> {
        let path = |name: &&str| Path::new("/proc/sys").join(name);
        let paths = SETTINGS.iter().map(path).filter(|path| path.exists());
        let paths: Vec<PathBuf> = paths.collect();
        let files: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let values = host.read_in((Namespace::Ipc, pin), &files).about("read settings in", pin)?;
        let values = values.iter().map(|value| String::from_utf8_lossy(value).trim().to_owned());
        Ok(Settings(paths.iter().cloned().zip(values).collect()))
    }

    /// Gives an ipc namespace its own again where they differ.
    pub(crate) fn put_back(&self, host: &dyn Host, pin: &Path) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let now = Settings::of(host, pin)?;
        for (path, value) in self.0.iter().filter(|(path, value)| now.0.get(*path) != Some(value)) {
            host.write_in((Namespace::Ipc, pin), path, value).about("write", path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHM: &str = "\
       key      shmid perms       size  cpid  lpid nattch   uid   gid  cuid  cgid
         0          0  1600       4096   812   812      1     0     0     0     0
1124073473      32769   640      12288   812   812      1     0     0     0     0
";

    #[test]
    fn an_id_or_a_key_that_is_taken_is_told() {
        let theirs = rows(ObjectKind::Shm, SHM);
        let ours = |kind, id, key| conflict(&[Object { kind, id, key }], &theirs);
        assert_eq!(theirs.len(), 2);
        assert!(ours(ObjectKind::Shm, 2, 0).is_none(), "objects without a key exclude nobody");
        assert!(ours(ObjectKind::Sem, 0, 1_124_073_473).is_none(), "other kinds are apart");
        let told = ours(ObjectKind::Shm, 2, 1_124_073_473).expect("the key is taken");
        assert!(told.contains("segment 2") && told.contains("segment 32769"), "{told}");
        assert!(ours(ObjectKind::Shm, 1, 7).is_some(), "the kernel has one place for 1 and 32769");
    }
}
