//! The configuration of the private apt root.
//!
//! Nothing of the host's apt configuration is read by the private root but what is carried over on
//! purpose: how to reach mirrors (`Acquire::*`: proxies, checks that a frozen mirror needs to have
//! off). The host's hooks, such as those that clean its caches, must not run for us.

use std::path::{Path, PathBuf};

use crate::{Error, command};

/// Settings below `Acquire` that describe what is fetched, which is not the host's to say.
const OWN: [&str; 5] = [
    "Acquire::IndexTargets",
    "Acquire::Changelogs",
    "Acquire::CompressionTypes",
    "Acquire::GzipIndexes",
    "Acquire::Languages",
];

/// The host's `Acquire::*` settings, as lines of an `apt.conf`.
pub(super) fn host_acquire() -> Result<String, Error> {
    let dump = command::output(command::tool("apt-config").arg("dump"))?;
    Ok(acquire_lines(&dump) + "Acquire::Languages \"none\";\n")
}

fn acquire_lines(dump: &str) -> String {
    let below = |line: &str, scope: &str| {
        line.strip_prefix(scope).is_some_and(|rest| rest.starts_with([' ', ':']))
    };
    let kept = dump.lines().filter(|line| {
        line.starts_with("Acquire::")
            && !line.ends_with(" \"\";")
            && !OWN.iter().any(|scope| below(line, scope))
    });
    kept.map(|line| format!("{line}\n")).collect()
}

/// The `apt.conf` of the private root below `root`, for the sources `list`, under a `name` of its own.
///
/// Started by root, apt would download as the user `_apt`, who cannot enter a home of mode 700.
pub(super) fn private(root: &Path, name: &str, list: &Path, acquire: &str) -> String {
    let root = root.display();
    format!(
        "{acquire}\
         Acquire::GzipIndexes \"false\";\n\
         APT::Architecture \"amd64\";\n\
         APT::Architectures {{ \"amd64\"; }};\n\
         APT::Get::List-Cleanup \"false\";\n\
         APT::Install-Recommends \"false\";\n\
         APT::Sandbox::User \"root\";\n\
         Dir::Etc::main \"/dev/null\";\n\
         Dir::Etc::parts \"{root}/none\";\n\
         Dir::State \"{root}/state\";\n\
         Dir::State::lists \"{root}/lists\";\n\
         Dir::State::status \"{root}/status\";\n\
         Dir::Cache \"{root}/cache/{name}\";\n\
         Dir::Cache::srcpkgcache \"\";\n\
         Dir::Etc::sourcelist \"{list}\";\n\
         Dir::Etc::sourceparts \"{root}/none\";\n\
         Dir::Etc::preferences \"{root}/none\";\n\
         Dir::Etc::preferencesparts \"{root}/none\";\n",
        list = list.display(),
    )
}

/// The keyring of Debian's archive: the setting `CRYOLAB_KEYRING`, else the package's.
pub(super) fn keyring() -> Result<PathBuf, Error> {
    if let Some(set) = std::env::var_os("CRYOLAB_KEYRING").filter(|value| !value.is_empty()) {
        let path = PathBuf::from(set);
        let missing = || Error::BadPath {
            what: "keyring",
            path: path.clone(),
            why: "no such file (CRYOLAB_KEYRING)".to_owned(),
        };
        return path.is_file().then(|| path.clone()).ok_or_else(missing);
    }
    crate::host::debian_keyring().ok_or_else(|| Error::Tools {
        missing: vec!["keys of the Debian archive".to_owned()],
        remedy: "install debian-archive-keyring".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = r#"APT::Architecture "amd64";
Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://proxy.test:3128";
Acquire::Check-Valid-Until "false";
Acquire::GzipIndexes "true";
Acquire::Languages "";
Acquire::Languages:: "none";
Acquire::IndexTargets::deb::Packages::Optional "0";
Acquire::IndexTargetsOfAnotherKind "1";
DPkg::Post-Invoke:: "rm -rf /var/cache";
"#;

    #[test]
    fn how_to_reach_mirrors_is_carried_over_and_nothing_else() {
        assert_eq!(
            acquire_lines(DUMP),
            "Acquire::http::Proxy \"http://proxy.test:3128\";\n\
             Acquire::Check-Valid-Until \"false\";\n\
             Acquire::IndexTargetsOfAnotherKind \"1\";\n"
        );
    }
}
