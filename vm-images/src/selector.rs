//! What users write to choose kernels and CRIUs, and what it resolves to.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wildmatch::WildMatch;

use crate::apt::{Catalogue, KernelPackages};
use crate::{Error, Package, Suite, Unknown};

/// A kernel that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Debian's cloud flavour.
    Debian {
        /// The suite that it was found in.
        suite: Suite,
        /// Upstream's version, such as `6.12.57`.
        version: String,
        /// As `uname -r` says it.
        release: String,
        /// The packages that hold its files.
        packages: Vec<Package>,
    },
    /// Built by the user.
    File {
        /// A bzImage.
        image: PathBuf,
        /// A tree with its modules; without it, all that is needed is built in.
        modules: Option<PathBuf>,
    },
}

/// A CRIU that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Criu {
    /// Debian's package.
    Debian {
        /// The suite that it was found in.
        suite: Suite,
        /// The package.
        package: Package,
    },
    /// Built by the user.
    File {
        /// The binary.
        binary: PathBuf,
    },
}

/// `SUITE/VERSION`, or the path of what the user built.
impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kernel::Debian { suite, version, .. } => write!(f, "{suite}/{version}"),
            Kernel::File { image, .. } => image.display().fmt(f),
        }
    }
}

/// The suite, or the path of what the user built.
impl fmt::Display for Criu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Criu::Debian { suite, .. } => suite.fmt(f),
            Criu::File { binary } => binary.display().fmt(f),
        }
    }
}

/// A line of `images list` about a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KernelListing {
    /// Upstream's version.
    pub version: String,
    /// The suite that has it.
    pub suite: Suite,
    /// The image package.
    pub package: String,
    /// What is to be downloaded for it.
    pub bytes: u64,
    /// Whether it was built before.
    pub cached: bool,
}

/// A line of `images list` about a CRIU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CriuListing {
    /// Upstream's version.
    pub version: String,
    /// The suite that has it.
    pub suite: Suite,
    /// Size of its package.
    pub bytes: u64,
    /// Whether it was built before.
    pub cached: bool,
}

/// A line of `images list` about the root of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootfsListing {
    /// The suite that it is made from.
    pub suite: Suite,
    /// Number of its packages.
    pub packages: usize,
    /// What is to be downloaded for it.
    pub bytes: u64,
    /// Whether it was built before.
    pub cached: bool,
}

impl Kernel {
    pub(crate) fn debian(suite: Suite, kernel: &KernelPackages) -> Option<Self> {
        Some(Kernel::Debian {
            suite,
            version: kernel.version()?.to_string(),
            release: kernel.release.clone(),
            packages: kernel.packages.clone(),
        })
    }
}

/// Whether a selector is a path: it begins like one, or a file is there whose folder is no suite.
pub(crate) fn is_path(selector: &str) -> bool {
    let first = selector.split('/').next().unwrap_or_default();
    let begins_so = selector.starts_with(['/', '.', '~']);
    begins_so || (first.parse::<Suite>().is_err() && Path::new(selector).is_file())
}

/// An absolute path to a file that exists.
pub(crate) fn existing(what: &'static str, path: &str) -> Result<PathBuf, Error> {
    let wrong = |why: &str| Error::BadPath { what, path: path.into(), why: why.to_owned() };
    let found = std::path::absolute(path).map_err(|error| wrong(&error.to_string()))?;
    match fs_err::metadata(&found) {
        Ok(metadata) if metadata.is_file() => Ok(found),
        Ok(_) => Err(wrong("is not a plain file")),
        Err(_) => Err(wrong("no such file")),
    }
}

/// The suites that the first part of a selector means.
pub(crate) fn suites(what: &'static str, selector: &str) -> Result<Vec<Suite>, Unknown> {
    let pattern = selector.split('/').next().unwrap_or_default();
    let glob = WildMatch::new(pattern);
    let matching: Vec<_> = Suite::ALL.into_iter().filter(|s| glob.matches(s.name())).collect();
    if matching.is_empty() {
        let mut unknown = Unknown::new(what, pattern, Suite::ALL.map(Suite::name));
        selector.clone_into(&mut unknown.name);
        return Err(
            unknown.with_hint("a suite, SUITE/VERSION, or a path that begins with `/` or `./`")
        );
    }
    Ok(matching)
}

/// The kernels of a suite that a version pattern means: the newest that matches; with wildcards,
/// the newest of each series that matches. Without a pattern, the newest of all.
pub(crate) fn kernels_of(
    suite: Suite,
    catalogue: &Catalogue,
    pattern: Option<&str>,
) -> Vec<Kernel> {
    let mut chosen: Vec<(String, &KernelPackages)> = Vec::new();
    for kernel in &catalogue.kernels {
        let Some(version) = kernel.version() else { continue };
        let series = match pattern {
            None => Some(String::new()),
            Some(pattern) => version.matched(pattern),
        };
        let Some(series) = series else { continue };
        match chosen.iter_mut().find(|(known, _)| *known == series) {
            Some(older) => older.1 = kernel,
            None => chosen.push((series, kernel)),
        }
    }
    chosen.into_iter().filter_map(|(_, kernel)| Kernel::debian(suite, kernel)).collect()
}

/// The error for a version that a suite does not have.
pub(crate) fn no_such_version(selector: &str, suite: Suite, catalogue: &Catalogue) -> Unknown {
    let versions = catalogue.kernels.iter().filter_map(KernelPackages::version);
    let known = versions.map(|version| format!("{suite}/{version}"));
    let unknown = Unknown::new("kernel", selector, known);
    let pattern = selector.split_once('/').map(|(_, pattern)| pattern).unwrap_or_default();
    let is_of_it = |version: &String| {
        let rest = version.strip_prefix(pattern);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let gone = if catalogue.incomplete.iter().any(is_of_it) {
        format!("the mirror has the image of {pattern} but no longer its modules; ")
    } else {
        String::new()
    };
    unknown.with_hint(format!(
        "{gone}a version that the mirror no longer has can be had from a snapshot of the archive: \
         set CRYOLAB_MIRROR to its URI"
    ))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn catalogue() -> Catalogue {
        let kernel = |version: &str| {
            let release = format!("{version}+deb13-cloud-amd64");
            let name = format!("linux-image-{release}");
            let package = Package { name, version: format!("{version}-1~bpo13+1"), bytes: 1 };
            KernelPackages { release, packages: vec![package] }
        };
        Catalogue {
            kernels: ["6.1.9", "6.16.3", "6.16.12", "6.18.5", "6.18.15", "7.2.12"]
                .map(kernel)
                .into(),
            incomplete: vec!["7.0.13".to_owned()],
            ..Catalogue::default()
        }
    }

    #[rstest]
    #[case(None, &["7.2.12"])]
    #[case(Some("6.18"), &["6.18.15"])]
    #[case(Some("6.1"), &["6.1.9"])]
    #[case(Some("6.18.5"), &["6.18.5"])]
    #[case(Some("6.1*"), &["6.1.9", "6.16.12", "6.18.15"])]
    #[case(Some("6.16.*"), &["6.16.3", "6.16.12"])]
    #[case(Some("*"), &["6.1.9", "6.16.12", "6.18.15", "7.2.12"])]
    #[case(Some("6.17"), &[])]
    fn a_pattern_chooses_the_newest_of_what_it_means(
        #[case] pattern: Option<&str>,
        #[case] expected: &[&str],
    ) {
        let found: Vec<_> = kernels_of(Suite::TrixieBackports, &catalogue(), pattern)
            .iter()
            .map(|kernel| kernel.to_string().replace("trixie-backports/", ""))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_version_that_is_gone_is_told_with_the_nearest_and_a_way_out() {
        let error = no_such_version("trixie-backports/7.0", Suite::TrixieBackports, &catalogue());
        let told = error.to_string();
        assert!(told.contains("image of 7.0 but no longer its modules"), "{told}");
        assert!(told.contains("CRYOLAB_MIRROR"), "{told}");
        assert_eq!(error.nearest.len(), 3);
    }

    #[rstest]
    #[case("trixi", "trixie")]
    #[case("bookwurm/6.1", "bookworm")]
    #[case("sidd", "sid")]
    fn an_unknown_suite_is_told_with_the_nearest(#[case] selector: &str, #[case] nearest: &str) {
        let error = suites("kernel", selector).unwrap_err();
        assert!(error.nearest.iter().any(|name| name == nearest), "{error}");
        assert!(error.to_string().contains(selector), "{error}");
    }

    #[test]
    fn suites_may_be_patterns() {
        let found = suites("kernel", "trixie*").unwrap();
        assert_eq!(found, [Suite::Trixie, Suite::TrixieBackports]);
    }

    #[rstest]
    #[case("/boot/vmlinuz", true)]
    #[case("./bzImage", true)]
    #[case("trixie/6.12", false)]
    #[case("Cargo.toml", true)]
    #[case("nonsense", false)]
    fn paths_are_told_from_names(#[case] selector: &str, #[case] path: bool) {
        assert_eq!(is_path(selector), path);
    }

    #[test]
    fn a_path_that_leads_nowhere_is_named() {
        let error = existing("kernel", "/no/such/bzImage").unwrap_err();
        assert!(error.is_usage());
        assert_eq!(error.to_string(), "kernel `/no/such/bzImage`: no such file");
    }
}
