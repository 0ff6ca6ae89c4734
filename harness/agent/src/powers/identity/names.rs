//! The node's own names, and those of others.

use std::path::Path;

use anyhow::Context;
use fs_err as fs;
use model::message::{Identity, KnownHost};

/// D-Bus keeps its own, where it is installed.
const DBUS: &str = "/var/lib/dbus";

/// The files that tell a node's names: its own, and those of others.
const FILES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/machine-id"];

/// Takes the files up into the layer that can be written, as they are: that takes longer than
/// writing them, and forks find it done.
pub(in super::super) fn make_room() -> anyhow::Result<()> {
    for path in FILES {
        fs::OpenOptions::new().append(true).create(true).open(path)?;
    }
    Ok(())
}

/// Sets hostname, machine id and the names of other nodes.
pub(super) fn take(identity: &Identity) -> anyhow::Result<()> {
    let Identity { hostname, machine_id, hosts, .. } = identity;
    nix::unistd::sethostname(hostname)
        .with_context(|| format!("cannot set the hostname `{hostname}`"))?;
    fs::write("/etc/hostname", format!("{hostname}\n"))?;
    fs::write("/etc/hosts", hosts_file(hostname, hosts))?;
    if machine_id.is_empty() { Ok(()) } else { set_machine_id(machine_id) }
}

fn set_machine_id(id: &str) -> anyhow::Result<()> {
    fs::write("/etc/machine-id", format!("{id}\n"))?;
    if Path::new(DBUS).is_dir() {
        fs::write(Path::new(DBUS).join("machine-id"), format!("{id}\n"))?;
    }
    Ok(())
}

/// `/etc/hosts`. A node that has no address by which others know it answers to its name itself.
fn hosts_file(hostname: &str, hosts: &[KnownHost]) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    if !hosts.iter().any(|host| host.name == hostname) {
        text += &format!("127.0.1.1 {hostname}\n");
    }
    let lines = hosts.iter().map(|KnownHost { address, name }| format!("{address} {name}\n"));
    text + &lines.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(address: &str, name: &str) -> KnownHost {
        KnownHost { address: address.to_owned(), name: name.to_owned() }
    }

    #[test]
    fn a_node_knows_localhost_itself_and_the_others() {
        let alone = hosts_file("a", &[]);
        assert!(alone.starts_with("127.0.0.1 localhost\n"), "{alone}");
        assert!(alone.ends_with("\n127.0.1.1 a\n"), "{alone}");
        let known = hosts_file("a", &[host("10.77.0.1", "a"), host("10.77.0.2", "b")]);
        assert!(known.ends_with("\n10.77.0.1 a\n10.77.0.2 b\n"), "{known}");
        assert!(!known.contains("127.0.1.1"), "{known}");
    }
}
