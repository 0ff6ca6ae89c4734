//! Sysctls of the pod's network and IPC namespaces: every file that can be read.

use std::path::Path;

use crate::error::Result;
use crate::facts::Facts;
use crate::read;

/// IPC sysctls are single files among others in these folders.
const IPC: &[(&str, &[&str])] =
    &[("kernel", &["sem", "shm", "msg", "auto_msgmni"]), ("fs/mqueue", &[""])];

/// Sysctls of the namespaces that the calling thread is in.
pub(crate) fn pod(facts: &mut Facts) -> Result<()> {
    let root = Path::new("/proc/sys");
    below(&root.join("net"), "pod.sysctl.net", facts)?;
    if !root.join("net/netfilter/nf_conntrack_max").exists() {
        facts.not_offered("pod.sysctl.net.*nf_*", "connection tracking is not loaded");
    }
    for (folder, heads) in IPC {
        for name in read::names(root.join(folder))? {
            if heads.iter().any(|head| name.starts_with(head)) {
                let key = folder.replace('/', ".");
                one(&root.join(folder).join(&name), &format!("pod.sysctl.{key}.{name}"), facts)?;
            }
        }
    }
    Ok(())
}

fn below(folder: &Path, name: &str, facts: &mut Facts) -> Result<()> {
    for (entry, is_folder) in read::entries(folder)? {
        let (path, name) = (folder.join(&entry), format!("{name}.{entry}"));
        if is_folder { below(&path, &name, facts)? } else { one(&path, &name, facts)? }
    }
    Ok(())
}

/// Write-only ones, and those that are not set (`stable_secret`), show nothing.
fn one(path: &Path, name: &str, facts: &mut Facts) -> Result<()> {
    if let Some(text) = read::text_if_shown(path)? {
        facts.put(name, text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    Ok(())
}
