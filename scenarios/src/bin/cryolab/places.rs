//! Where things are: the repository, its workloads, and the programs that run in guests.

use std::path::{Path, PathBuf};

use runner::workload::Sources;

/// The repository that this program was built from.
pub(crate) fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The folder of static executables for guests: `CRYOLAB_GUEST_BIN`, or where
/// `cargo xtask` puts them.
pub(crate) fn guest_programs() -> PathBuf {
    let built = "target/static/x86_64-unknown-linux-gnu/guest";
    std::env::var_os("CRYOLAB_GUEST_BIN").map_or_else(|| repository().join(built), PathBuf::from)
}

/// The agent for guests.
pub(crate) fn agent() -> PathBuf {
    guest_programs().join("cryolab-agent")
}

/// What is known to go wrong.
pub(crate) fn expectations() -> PathBuf {
    repository().join("scenarios/expectations.toml")
}

/// Where workloads are looked for.
pub(crate) fn workloads() -> Sources {
    Sources { workloads: repository().join("workloads"), programs: guest_programs() }
}

/// Where runs go that are not told where.
pub(crate) fn runs() -> PathBuf {
    repository().join("target/cryolab/runs")
}

/// Where the lab of this checkout lives: `CRYOLAB_LAB`, or below `target`.
pub(crate) fn lab() -> PathBuf {
    let named = std::env::var_os("CRYOLAB_LAB").and_then(|path| std::path::absolute(path).ok());
    named.unwrap_or_else(|| repository().join("target/cryolab/lab"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_to_go_wrong_can_be_read() {
        let known = runner::expectations::Expectations::load(&expectations()).expect("right");
        assert!(!known.cells.is_empty() && !known.losses.is_empty());
    }
}
