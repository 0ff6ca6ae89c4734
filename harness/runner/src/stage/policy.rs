//! The policy of the workload's AppArmor profile: compiled on the host for the kernel on which the
//! pod begins, and loaded into every node before the pod is started or restored there.
//!
//! Every node gets the same bytes, so that a pod that moves is confined by the policy that it had.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use model::message::{Place, Reply, Request};

use super::{NodeName, REQUEST, Stage, Stop, millis, unexpected};

/// Where a kernel tells what its AppArmor can do.
const FEATURES: &str = "/sys/kernel/security/apparmor/features";

/// What is known of the policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    /// What was compiled, by the profile's source.
    compiled: BTreeMap<PathBuf, Rc<Vec<u8>>>,
    /// The story wants it not to be loaded any more.
    is_withheld: bool,
}

impl Stage {
    /// From here on nobody loads the workload's profile into a node.
    pub fn load_no_profile(&mut self) {
        self.policy.is_withheld = true;
    }

    /// Loads the profiles of the workload's containers, where they have one, into a node's kernel.
    pub(super) async fn load_policy(&mut self, name: NodeName) -> Result<(), Stop> {
        if self.policy.is_withheld {
            return Ok(());
        }
        let containers = self.workload().containers.iter();
        let profiles: BTreeSet<PathBuf> =
            containers.filter_map(|container| container.profile.clone()).collect();
        for profile in profiles {
            self.load(name, profile).await?;
        }
        Ok(())
    }

    async fn load(&mut self, name: NodeName, profile: PathBuf) -> Result<(), Stop> {
        let policy = match self.policy.compiled.get(&profile) {
            Some(policy) => Rc::clone(policy),
            None => {
                let policy = Rc::new(self.compile(name, &profile).await?);
                self.policy.compiled.insert(profile, Rc::clone(&policy));
                policy
            }
        };
        let request = Request::LoadPolicy { policy: policy.to_vec() };
        match self.guest(name)?.request(request, REQUEST).await? {
            Reply::Done => Ok(()),
            other => Err(unexpected("load a policy", &other)),
        }
    }

    async fn compile(&mut self, name: NodeName, profile: &Path) -> Result<Vec<u8>, Stop> {
        let folder = self.folder().join("apparmor-features");
        for (file, text) in self.features(name).await? {
            let path = folder.join(file);
            fs_err::create_dir_all(path.parent().unwrap_or(&folder))?;
            fs_err::write(path, text)?;
        }
        let made = self.setting.supply.apparmor_policy(profile, &folder);
        made.map_err(|why| Stop::broken(format!("profile {}: {why}", profile.display())))
    }

    /// The files by which a node's kernel tells what its AppArmor can do, by path below that folder.
    async fn features(&mut self, name: NodeName) -> Result<BTreeMap<String, String>, Stop> {
        let command = ["grep", "-r", "", FEATURES].map(str::to_owned).to_vec();
        let (place, deadline_ms) = (Place::Node, millis(REQUEST));
        let request = Request::Run { place, command, env: BTreeMap::new(), deadline_ms };
        let Reply::Exited { code: 0, stdout, .. } =
            self.guest(name)?.request(request, REQUEST).await?
        else {
            return Err(Stop::unsupported(format!("node {name} has no AppArmor")));
        };
        Ok(files_of(&String::from_utf8_lossy(&stdout)))
    }
}

/// Files with their content, out of lines `FEATURES/PATH:LINE`. A path that would lead elsewhere is
/// left out: the node is not trusted.
fn files_of(lines: &str) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for line in lines.lines() {
        let below = line.strip_prefix(FEATURES).and_then(|line| line.strip_prefix('/'));
        let Some((path, text)) = below.and_then(|line| line.split_once(':')) else { continue };
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        if path.split('/').all(is_plain) {
            let file = files.entry(path.to_owned()).or_default();
            file.push_str(text);
            file.push('\n');
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_become_files_below_their_folder() {
        let told = format!(
            "{FEATURES}/policy/versions/v8:yes\n{FEATURES}/file/mask:create read:write\n\
             {FEATURES}/../../etc/passwd:root\nno line of it\n"
        );
        let files = files_of(&told);
        assert_eq!(files.len(), 2);
        assert_eq!(files["policy/versions/v8"], "yes\n");
        assert_eq!(files["file/mask"], "create read:write\n");
    }
}
