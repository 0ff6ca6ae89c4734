//! Sysctls, System V objects and the tables of the network, as seen in the pod's namespaces.

use std::path::Path;

use fs_err as fs;

use super::Shown;
use super::proc::names;

/// What the namespaces of the calling thread show.
pub(super) fn all(shown: &mut Shown) -> anyhow::Result<()> {
    for top in names(Path::new("/proc/sys"))? {
        below(&Path::new("/proc/sys").join(top), shown)?;
    }
    for table in ["shm", "sem", "msg"] {
        let text = fs::read_to_string(format!("/proc/sysvipc/{table}"))?;
        for column in text.lines().next().unwrap_or_default().split_whitespace() {
            shown.add("/proc/sysvipc", &format!("{table}.{column}"), "");
        }
    }
    for name in names(Path::new("/proc/thread-self/net"))? {
        shown.add(&format!("/proc/PID/net/{name}"), "", "");
    }
    Ok(())
}

fn below(path: &Path, shown: &mut Shown) -> anyhow::Result<()> {
    for name in names(path)? {
        let path = path.join(name);
        if path.is_dir() {
            below(&path, shown)?;
            continue;
        }
        let (source, word) = named(&path);
        let sample = fs::read_to_string(&path).unwrap_or_default();
        shown.add(&source, &word, &sample);
    }
    Ok(())
}

/// The folder of a family, and the rest of the path without names of links: `/proc/sys/net/ipv4`
/// and `conf.forwarding`.
fn named(path: &Path) -> (String, String) {
    let text = path.display().to_string();
    let parts: Vec<&str> = text.trim_start_matches("/proc/sys/").split('/').collect();
    let depth = match parts.as_slice() {
        ["net", ..] | ["fs", "mqueue", ..] => 2,
        _ => 1,
    };
    let (folder, rest) = parts.split_at(depth.min(parts.len() - 1));
    let word = match rest {
        [kind @ ("conf" | "neigh"), _, name] => format!("{kind}.{name}"),
        rest => rest.join("."),
    };
    (format!("/proc/sys/{}", folder.join("/")), word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysctl_is_named_by_its_family_and_without_its_link() {
        let named = |path: &str| named(Path::new(path));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let of_link = named("/proc/sys/net/ipv4/conf/eth0/forwarding");
        assert_eq!(of_link, pair("/proc/sys/net/ipv4", "conf.forwarding"));
        let queues = named("/proc/sys/fs/mqueue/queues_max");
        assert_eq!(queues, pair("/proc/sys/fs/mqueue", "queues_max"));
        assert_eq!(named("/proc/sys/kernel/sem"), pair("/proc/sys/kernel", "sem"));
    }
}
