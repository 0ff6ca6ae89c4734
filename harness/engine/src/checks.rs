//! What CRIU does not notice: state that would be lost, or a pod that would be split, without an
//! error.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use model::pod::{ContainerStatus, Namespace, PodSpec, PodStatus};
use nix::fcntl::OFlag;

use crate::archive::{Member, digest_file};
use crate::cgroup;
use crate::error::{About, Error};
use crate::host::Host;
use crate::root::External;
use crate::within::{self, Links};

fn unfaithful(container: &str, why: impl Into<String>) -> Error {
    Error::Unfaithful { container: container.to_owned(), why: why.into() }
}

fn proc_text(host: &dyn Host, pid: i32, name: &str) -> Result<String, Error> {
    let path = Path::new("/proc").join(pid.to_string()).join(name);
    Ok(String::from_utf8_lossy(&host.read(&path).about("read", &path)?).into_owned())
}

/// Every container runs.
pub(crate) fn running(host: &dyn Host, containers: &[ContainerStatus]) -> Result<(), Error> {
    for container in containers {
        let tasks = cgroup::tasks(host, &container.cgroup)?;
        if !tasks.iter().any(|(pid, _)| *pid == container.pid) {
            return Err(Error::NotRunning(container.name.clone()));
        }
    }
    Ok(())
}

/// Every mount that a container shares with the node is declared external. Undeclared, CRIU would
/// take `/dev/shm` for the container's own, and the pod would come back split.
pub(crate) fn mounts(
    host: &dyn Host,
    container: &ContainerStatus,
    externals: &[External],
) -> Result<(), Error> {
    let node = mount_table(&proc_text(host, std::process::id().cast_signed(), "mountinfo")?);
    let node: BTreeSet<String> = node.into_values().collect();
    for (target, device) in mount_table(&proc_text(host, container.pid, "mountinfo")?) {
        let declared = externals.iter().any(|external| external.target == target);
        if target != Path::new("/") && declared != node.contains(&device) {
            let is = if declared { "declared shared, but is not" } else { "shared, undeclared" };
            return Err(unfaithful(&container.name, format!("mount {}: {is}", target.display())));
        }
    }
    Ok(())
}

/// Mount points with their devices; of several on one point the last.
fn mount_table(mountinfo: &str) -> BTreeMap<PathBuf, String> {
    let line = |line: &str| {
        let mut words = line.split(' ').skip(2);
        let device = words.next()?.to_owned();
        Some((PathBuf::from(words.nth(1)?), device))
    };
    mountinfo.lines().filter_map(line).collect()
}

/// Which container carries the SysV objects that the pod shares: CRIU dumps them with it, from outside
/// the pod's ipc namespace. `None`: there are none.
///
/// # Errors
/// When segments are attached in more than one container: CRIU restores the objects of a namespace
/// with one container only, and never a segment that two have attached. When a segment has the
/// number of other shared memory: CRIU would lose one of the two.
pub(crate) fn sysv_carrier(host: &dyn Host, pod: &PodStatus) -> Result<Option<usize>, Error> {
    let containers = &pod.containers;
    for container in containers {
        told_apart(&container.name, &mappings(host, container)?)?;
    }
    let Some(pin) = pod.namespaces.get(&Namespace::Ipc) else { return Ok(None) };
    let tables = ["shm", "sem", "msg"].map(|kind| Path::new("/proc/sysvipc").join(kind));
    let files = tables.each_ref().map(PathBuf::as_path);
    let tables = host.read_in((Namespace::Ipc, pin), &files).about("read SysV IPC in", pin)?;
    let mut carriers = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        if mappings(host, container)?.lines().any(is_segment) {
            carriers.push(index);
        }
    }
    match carriers[..] {
        [] => Ok(tables.iter().any(|table| has_objects(table)).then_some(0)),
        [one] => Ok(Some(one)),
        [first, second, ..] => {
            let why = format!("SysV shared memory attached here and in {}", containers[first].name);
            Err(Error::Unsupported { container: containers[second].name.clone(), why })
        }
    }
}

/// User namespaces are one container's each, and a container with one carries no SysV objects: CRIU
/// makes a new one for each container, which has no right in the pod's ipc namespace.
pub(crate) fn user_namespaces(
    host: &dyn Host,
    spec: &PodSpec,
    containers: &[ContainerStatus],
    carrier: Option<usize>,
) -> Result<(), Error> {
    let inode = |pid: &str| {
        let path = Path::new("/proc").join(pid).join("ns/user");
        host.inode(&path).about("look at", &path)
    };
    let node = inode("self")?;
    let mut users = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        users.push(Users {
            container: &container.name,
            namespace: inode(&container.pid.to_string())?,
            is_own: spec.containers[index].security.user_namespace.is_some(),
            carries_objects: carrier == Some(index),
        });
    }
    users.retain(|it| it.namespace != node);
    users_apart(&users)
}

/// What is asked of a container with a user namespace.
struct Users<'a> {
    container: &'a str,
    namespace: u64,
    is_own: bool,
    carries_objects: bool,
}

fn users_apart(users: &[Users<'_>]) -> Result<(), Error> {
    for (index, it) in users.iter().enumerate() {
        let other = users[..index].iter().find(|other| other.namespace == it.namespace);
        let why = match other {
            Some(other) => {
                format!("it shares its user namespace with container {}", other.container)
            }
            None if !it.is_own => "its user namespace was not made for it".to_owned(),
            None if it.carries_objects => "System V objects beside a user namespace".to_owned(),
            None => continue,
        };
        return Err(Error::Unsupported { container: it.container.to_owned(), why });
    }
    Ok(())
}

/// Whether a table of `/proc/sysvipc` has more than its heading.
fn has_objects(table: &[u8]) -> bool {
    table.iter().filter(|byte| **byte == b'\n').count() > 1
}

/// What all tasks of a container have mapped, as `/proc/PID/maps` tells it.
fn mappings(host: &dyn Host, container: &ContainerStatus) -> Result<String, Error> {
    let tasks = cgroup::tasks(host, &container.cgroup)?;
    tasks.into_iter().map(|(pid, _)| proc_text(host, pid, "maps")).collect()
}

fn is_segment(line: &str) -> bool {
    map_name(line).starts_with("/SYSV")
}

/// No shared memory has the number of a System V segment. CRIU knows both by a number alone
/// (criu/shmem.c, `shmid`): of a segment this is its id, which the kernel makes its inode too
/// (ipc/shm.c, `newseg()`); of other shared memory it is the inode.
fn told_apart(container: &str, maps: &str) -> Result<(), Error> {
    // Device and inode.
    let number = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(3);
        (words.next().map(str::to_owned), words.next().map(str::to_owned))
    };
    let segments = maps.lines().filter(|line| is_segment(line));
    let segments: BTreeMap<_, _> = segments.map(|line| (number(line), map_name(line))).collect();
    for line in maps.lines().filter(|line| !is_segment(line)) {
        if let Some(segment) = segments.get(&number(line)) {
            let other = map_name(line);
            let why = format!(
                "the System V segment {segment} has the id that is the inode of {other}: CRIU \
                 takes both for one, and would lose the memory of one of them"
            );
            return Err(Error::Unsupported { container: container.to_owned(), why });
        }
    }
    Ok(())
}

/// The file of a line of `/proc/PID/maps`, or nothing.
pub(crate) fn map_name(line: &str) -> &str {
    line.splitn(6, ' ').nth(5).unwrap_or("").trim_start()
}

/// Files of the image that a container's tasks have open or mapped, with their content.
pub(crate) fn image_files(
    host: &dyn Host,
    container: &ContainerStatus,
    image: &Path,
) -> Result<BTreeMap<String, Member>, Error> {
    let mut paths = BTreeSet::new();
    for (pid, _) in cgroup::tasks(host, &container.cgroup)? {
        let maps = proc_text(host, pid, "maps")?;
        paths.extend(maps.lines().map(|line| map_name(line).to_owned()));
        let folder = Path::new("/proc").join(pid.to_string()).join("fd");
        for name in host.list(&folder).about("list", &folder)? {
            let target = host.read_link(&folder.join(name)).about("read link in", &folder)?;
            paths.extend(target.to_str().map(str::to_owned));
        }
    }
    let mut files = BTreeMap::new();
    for path in paths.into_iter().filter(|path| path.starts_with('/')) {
        if let Some(member) = digest_in(image, &container.upper, &path)? {
            files.insert(path, member);
        }
    }
    Ok(files)
}

/// Length and digest of a file that comes from the image. `None`: it does not.
fn digest_in(image: &Path, upper: &Path, path: &str) -> Result<Option<Member>, Error> {
    let open = |folder: &Path| {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
        within::open(within::open_folder(folder)?, Path::new(path), flags, Links::InRoot)
    };
    if open(upper).is_ok() {
        return Ok(None);
    }
    let Ok(file) = open(image) else { return Ok(None) };
    let opened = format!("/proc/self/fd/{}", file.as_raw_fd());
    if std::fs::metadata(&opened).about("look at", path)?.is_file() {
        digest_file(Path::new(&opened)).map(Some)
    } else {
        Ok(None)
    }
}

/// The image has the files that a container's tasks had open or mapped. CRIU checks only their
/// lengths: the container would go on with other code.
pub(crate) fn same_image(
    container: &str,
    image: &Path,
    files: &BTreeMap<String, Member>,
) -> Result<(), Error> {
    for (path, expected) in files {
        let found = digest_in(image, Path::new("/nonexistent"), path)?;
        if found.as_ref() != Some(expected) {
            let is = if found.is_some() { "has other content" } else { "is missing" };
            let image = image.display();
            return Err(unfaithful(container, format!("{path} {is} in image {image}")));
        }
    }
    Ok(())
}

/// All tasks of a container are in the sandbox's namespaces. CRIU makes private ones without an
/// error where a declaration is missing.
pub(crate) fn namespaces(
    host: &dyn Host,
    pod: &PodStatus,
    container: &ContainerStatus,
) -> Result<(), Error> {
    for (pid, inner) in cgroup::tasks(host, &container.cgroup)? {
        for (namespace, pin) in &pod.namespaces {
            let path = format!("/proc/{pid}/ns/{}", namespace.name());
            let (has, wanted) = (host.inode(Path::new(&path)), host.inode(pin));
            if has.about("look at", &path)? != wanted.about("look at", pin)? {
                let name = namespace.name();
                let why = format!("task {inner} came back in a {name} namespace of its own");
                return Err(unfaithful(&container.name, why));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_told_apart_by_device() {
        let table = mount_table(
            "841 710 0:52 / / rw,relatime - overlay overlay rw\n\
             845 841 0:55 / /dev/shm rw - tmpfs shm rw\n",
        );
        assert_eq!(table[Path::new("/dev/shm")], "0:55");
        assert_eq!(table[Path::new("/")], "0:52");
    }

    #[test]
    fn an_empty_table_has_only_its_heading() {
        assert!(!has_objects(b"       key      shmid perms\n"));
        assert!(has_objects(b"       key      shmid perms\n         0          0  1600\n"));
    }

    #[test]
    fn a_user_namespace_is_one_containers_and_without_objects() {
        let of = |container, namespace| Users {
            container,
            namespace,
            is_own: true,
            carries_objects: false,
        };
        assert!(users_apart(&[of("a", 1), of("b", 2)]).is_ok());
        let why = |users: &[Users<'_>]| users_apart(users).expect_err("refused").to_string();
        let shared = why(&[of("a", 1), of("b", 1)]);
        assert_eq!(shared, "container b: it shares its user namespace with container a");
        let foreign = Users { is_own: false, ..of("a", 1) };
        assert_eq!(why(&[foreign]), "container a: its user namespace was not made for it");
        let carrier = Users { carries_objects: true, ..of("a", 1) };
        assert!(why(&[carrier]).contains("System V objects"));
    }

    #[test]
    fn memory_with_the_number_of_a_segment_is_refused() {
        let segment = "7f00-7f01 rw-s 00000000 00:01 4    /SYSV0000001a (deleted)\n";
        let other =
            |inode: u32| format!("7f02-7f03 rw-s 00000000 00:01 {inode}    /dev/zero (deleted)\n");
        let refused = told_apart("main", &(segment.to_owned() + &other(4))).expect_err("refused");
        for name in ["/SYSV0000001a", "/dev/zero"] {
            assert!(refused.to_string().contains(name), "{refused}");
        }
        assert!(told_apart("main", &(segment.to_owned() + &other(5))).is_ok());
        assert!(told_apart("main", &(segment.to_owned() + segment)).is_ok());
    }

    #[test]
    fn a_mapped_file_may_have_spaces_in_its_name() {
        let line = "7f0000000000-7f0000001000 r--p 00000000 fe:00 77      /usr/lib/a b (deleted)";
        assert_eq!(map_name(line), "/usr/lib/a b (deleted)");
        assert_eq!(map_name("7f0000000000-7f0000001000 rw-p 00000000 00:00 0 "), "");
    }
}
