//! Controllers for the cgroups below the root.

use std::path::Path;

use fs_err as fs;

use crate::kmsg;

/// Enables every controller that this kernel offers, each on its own: one that cannot be enabled
/// must not cost the others.
pub(super) fn enable_controllers(root: &Path) {
    let offered = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    for controller in offered.split_whitespace() {
        let enabled = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
        if let Err(error) = enabled {
            kmsg::error(&format!("cgroup controller {controller}: {error}"));
        }
    }
}
