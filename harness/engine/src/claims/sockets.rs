//! Names of sockets in a network namespace.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use model::pod::{ContainerStatus, Namespace};
use serde::{Deserialize, Serialize};

use crate::bound::{self, Row};
use crate::cgroup;
use crate::error::{About, Error};
use crate::host::Host;

/// Unix sockets of a network namespace.
const UNIX: &str = "/proc/net/unix";

/// The name of a socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketName {
    /// Of TCP: address and port.
    Tcp(SocketAddr),
    /// Of UDP.
    Udp(SocketAddr),
    /// Of a unix socket, in no filesystem; its zero bytes as `@`.
    Abstract(String),
}

impl SocketName {
    /// Whether both cannot be bound in one namespace. More than one socket can have a port when all of
    /// them want it so; whether others do cannot be seen.
    fn excludes(&self, other: &SocketName) -> bool {
        match (self, other) {
            (SocketName::Tcp(one), SocketName::Tcp(other))
            | (SocketName::Udp(one), SocketName::Udp(other)) => meet(*one, *other),
            (one, other) => one == other,
        }
    }

    fn of_row(row: &Row) -> SocketName {
        let address = SocketAddr::new(row.address, row.port);
        if row.table.starts_with("tcp") {
            SocketName::Tcp(address)
        } else {
            SocketName::Udp(address)
        }
    }
}

fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = |address: IpAddr| address.is_unspecified();
    let (ip, other_ip) = (one.ip(), other.ip());
    one.port() == other.port() && (ip == other_ip || is_any(ip) || is_any(other_ip))
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketName::Tcp(address) => write!(f, "tcp {address}"),
            SocketName::Udp(address) => write!(f, "udp {address}"),
            SocketName::Abstract(name) => write!(f, "unix {name}"),
        }
    }
}

/// The names that the sockets of a container have.
pub(super) fn of(
    host: &dyn Host,
    pin: &Path,
    container: &ContainerStatus,
) -> Result<Vec<SocketName>, Error> {
    let mut inodes = BTreeSet::new();
    for (pid, _) in cgroup::tasks(host, &container.cgroup)? {
        let folder = Path::new("/proc").join(pid.to_string()).join("fd");
        for name in host.list(&folder).about("list", &folder)? {
            let link = host.read_link(&folder.join(name)).about("read link in", &folder)?;
            inodes.extend(socket_inode(&link.to_string_lossy()));
        }
    }
    let names = all(host, pin)?;
    let names = names.into_iter().filter(|(inode, _)| inodes.contains(inode));
    let names: BTreeSet<SocketName> = names.map(|(_, name)| name).collect();
    Ok(names.into_iter().collect())
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// All names in a network namespace, each with the inode of its socket.
fn all(host: &dyn Host, pin: &Path) -> Result<Vec<(u64, SocketName)>, Error> {
    let rows = bound::rows(host, pin)?;
    let mut names: Vec<(u64, SocketName)> =
        rows.iter().map(|row| (row.inode, SocketName::of_row(row))).collect();
    let texts = host.read_in((Namespace::Net, pin), &[Path::new(UNIX)]);
    for text in texts.about("read sockets in", pin)? {
        names.extend(String::from_utf8_lossy(&text).lines().skip(1).filter_map(abstract_name));
    }
    Ok(names)
}

/// Inode and name are the last words of a line; a name may have spaces.
fn abstract_name(line: &str) -> Option<(u64, SocketName)> {
    let at = line.find(" @")? + 1;
    let inode = line[..at].split_whitespace().last()?.parse().ok()?;
    Some((inode, SocketName::Abstract(line[at..].to_owned())))
}

/// The first of these names that is taken, in words.
pub(super) fn taken(
    host: &dyn Host,
    pin: &Path,
    ours: &[SocketName],
) -> Result<Option<String>, Error> {
    if ours.is_empty() {
        return Ok(None);
    }
    let theirs = all(host, pin)?;
    Ok(conflict(ours, theirs.iter().map(|(_, name)| name)))
}

fn conflict<'a>(
    ours: &[SocketName],
    mut theirs: impl Iterator<Item = &'a SocketName>,
) -> Option<String> {
    theirs.find_map(|their| {
        let our = ours.iter().find(|our| our.excludes(their))?;
        Some(if our == their { our.to_string() } else { format!("{our} (by {their})") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> SocketName {
        SocketName::Tcp(text.parse().expect("an address"))
    }

    #[test]
    fn a_port_that_is_taken_is_told() {
        let told = |ours: &str, theirs: &str| conflict(&[tcp(ours)], [tcp(theirs)].iter());
        assert_eq!(told("0.0.0.0:80", "0.0.0.0:80").as_deref(), Some("tcp 0.0.0.0:80"));
        let by_one_address = told("0.0.0.0:80", "127.0.0.1:80");
        assert_eq!(by_one_address.as_deref(), Some("tcp 0.0.0.0:80 (by tcp 127.0.0.1:80)"));
        assert!(told("127.0.0.1:80", "10.88.0.2:80").is_none());
        assert!(told("[::]:80", "0.0.0.0:81").is_none());
        let udp = SocketName::Udp("0.0.0.0:80".parse().expect("an address"));
        assert!(conflict(&[udp], [tcp("0.0.0.0:80")].iter()).is_none());
    }

    #[test]
    fn abstract_names_are_told_apart_from_paths() {
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01 4711 @a name";
        let name = SocketName::Abstract("@a name".to_owned());
        assert_eq!(abstract_name(line), Some((4711, name.clone())));
        assert!(abstract_name(&line.replace('@', "/run/")).is_none());
        assert!(abstract_name("0000000000000000: 00000002 00000000 00010000 0001 01 7").is_none());
        let ours = std::slice::from_ref(&name);
        assert_eq!(conflict(ours, ours.iter()).as_deref(), Some("unix @a name"));
    }
}
