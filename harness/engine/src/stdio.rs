//! The standard streams of containers: pipes whose other ends are the caller's.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use model::pod::ContainerStatus;

use crate::cgroup;
use crate::error::{About, Error};
use crate::host::{Host, Streams};

/// Standard streams for the containers of a pod, by container. A container without an entry, or
/// whose spec says so, has its own `/dev/null` there.
#[derive(Debug, Default)]
pub struct StdioSet(BTreeMap<String, Streams>);

impl StdioSet {
    /// Gives a container its ends of three pipes; output and error may be the same pipe.
    pub fn give(&mut self, container: &str, input: OwnedFd, output: OwnedFd, error: OwnedFd) {
        self.0.insert(container.to_owned(), Streams([Some(input), Some(output), Some(error)]));
    }

    pub(crate) fn take(&mut self, container: &str) -> Streams {
        self.0.remove(container).unwrap_or_default()
    }
}

/// The kernel's names of the pipes, such as `pipe:[4711]`; CRIU knows them by these names.
pub(crate) fn keys(streams: &Streams) -> [Option<String>; 3] {
    streams.0.each_ref().map(|stream| stream.as_ref().and_then(key))
}

fn key(stream: &OwnedFd) -> Option<String> {
    let metadata = nix::sys::stat::fstat(stream.as_fd()).ok()?;
    Some(format!("pipe:[{}]", metadata.st_ino))
}

/// A standard stream of a container at the cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// 0, 1 or 2.
    pub(crate) stream: usize,
    /// What waits in the pipe.
    pub(crate) bytes: Vec<u8>,
}

/// What waits unread in a container's standard streams. CRIU carries nothing of a pipe whose other
/// end is outside. Output and error may be one pipe: its bytes are told once.
pub(crate) fn unread(
    host: &dyn Host,
    container: &ContainerStatus,
    keys: &[Option<String>; 3],
) -> Result<Vec<Unread>, Error> {
    let mut found = Vec::new();
    for (stream, key) in keys.iter().enumerate() {
        let Some(key) = key else { continue };
        if keys[..stream].contains(&Some(key.clone())) {
            continue;
        }
        if let Some(path) = find(host, container, key)? {
            let bytes = host.peek_pipe(&path).about("peek into", &path)?;
            found.push(Unread { stream, bytes });
        }
    }
    Ok(found)
}

/// A descriptor of the container that leads to this pipe. `None`: all have been closed.
fn find(host: &dyn Host, container: &ContainerStatus, key: &str) -> Result<Option<PathBuf>, Error> {
    for (pid, _) in cgroup::tasks(host, &container.cgroup)? {
        let folder = Path::new("/proc").join(pid.to_string()).join("fd");
        for name in host.list(&folder).about("list", &folder)? {
            let path = folder.join(name);
            match host.read_link(&path) {
                Ok(target) if target.as_os_str() == key => return Ok(Some(path)),
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).about("read link", &path);
                }
                _ => {}
            }
        }
    }
    Ok(None)
}
