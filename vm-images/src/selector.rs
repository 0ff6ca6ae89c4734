//! What users write to choose kernels and CRIUs, and what it resolves to.

use std::fmt;
use std::path::{Path, PathBuf};

use wildmatch::WildMatch;

use crate::apt::{Catalogue, KernelPackages};
use crate::version::distance;
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
        /// Those that the suite no longer lists. The mirror may still hold them.
        unlisted: Vec<Package>,
    },
    /// Built by the user.
    File {
        /// A bzImage.
        image: PathBuf,
        /// A tree with its modules; without it, all that is needed is built in.
        modules: Option<PathBuf>,
        /// As `uname -r` will say it.
        release: String,
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
    /// Debian's source package, built with libselinux.
    Selinux {
        /// The suite.
        suite: Suite,
        /// The package that the suite has built of it.
        package: Package,
    },
    /// A binary that the user built.
    File {
        /// The binary.
        binary: PathBuf,
        /// What it says of its version.
        version: String,
    },
    /// A tree that the user built: `criu/criu`, and its image schema in `images/*.proto`.
    Tree {
        /// The tree.
        folder: PathBuf,
        /// What its binary says of its version.
        version: String,
    },
}

/// What follows a suite whose CRIU is to be built with libselinux.
pub(crate) const SELINUX: &str = "+selinux";

/// `SUITE/VERSION`, or the path of what the user built.
impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kernel::Debian { suite, version, .. } => write!(f, "{suite}/{version}"),
            Kernel::File { image, .. } => image.display().fmt(f),
        }
    }
}

/// `SUITE`, `SUITE+selinux`, or the path of what the user built.
impl fmt::Display for Criu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Criu::Debian { suite, .. } => suite.fmt(f),
            Criu::Selinux { suite, .. } => write!(f, "{suite}{SELINUX}"),
            Criu::File { binary: path, .. } | Criu::Tree { folder: path, .. } => {
                path.display().fmt(f)
            }
        }
    }
}

impl Kernel {
    pub(crate) fn debian(suite: Suite, kernel: &KernelPackages) -> Option<Self> {
        Some(Kernel::Debian {
            suite,
            version: kernel.version()?.to_string(),
            release: kernel.release.clone(),
            packages: kernel.packages.clone(),
            unlisted: kernel.unlisted.clone(),
        })
    }

    /// Whether the suite no longer lists some of its packages.
    pub(crate) fn has_unlisted(&self) -> bool {
        matches!(self, Kernel::Debian { unlisted, .. } if !unlisted.is_empty())
    }
}

/// What upstream calls a version: `4.1.1` of `4.1.1-1+deb13u1`.
pub(crate) fn upstream(version: &str) -> &str {
    version.split(['-', '+', '~']).next().unwrap_or_default()
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
        Ok(metadata) if metadata.is_dir() => Err(wrong("is a folder, not a file")),
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
///
/// A kernel of which the suite no longer lists all packages is meant only by a version, and only
/// where no other matches.
pub(crate) fn kernels_of(
    suite: Suite,
    catalogue: &Catalogue,
    pattern: Option<&str>,
) -> Vec<Kernel> {
    let Some(pattern) = pattern else {
        return catalogue
            .kernels
            .last()
            .and_then(|k| Kernel::debian(suite, k))
            .into_iter()
            .collect();
    };
    let mut chosen = newest_of_each(&catalogue.kernels, pattern);
    for (series, kernel) in newest_of_each(&catalogue.incomplete, pattern) {
        if chosen.iter().all(|(known, _)| *known != series) {
            chosen.push((series, kernel));
        }
    }
    chosen.into_iter().filter_map(|(_, kernel)| Kernel::debian(suite, kernel)).collect()
}

/// The last kernel of each series that a pattern matches.
fn newest_of_each<'a>(
    kernels: &'a [KernelPackages],
    pattern: &str,
) -> Vec<(String, &'a KernelPackages)> {
    let mut newest: Vec<(String, &KernelPackages)> = Vec::new();
    for kernel in kernels {
        let Some(series) = kernel.version().and_then(|it| it.matched(pattern)) else { continue };
        match newest.iter_mut().find(|(known, _)| *known == series) {
            Some(older) => older.1 = kernel,
            None => newest.push((series, kernel)),
        }
    }
    newest
}

/// The error for a version that a suite does not have: the nearest that it has, by their numbers.
pub(crate) fn no_such_version(selector: &str, suite: Suite, catalogue: &Catalogue) -> Unknown {
    let pattern = selector.split_once('/').map(|(_, pattern)| pattern).unwrap_or_default();
    let versions = catalogue.kernels.iter().filter_map(KernelPackages::version);
    let mut versions: Vec<String> = versions.map(|version| version.to_string()).collect();
    versions.sort_by_key(|version| distance(version, pattern));
    let nearest = versions.iter().take(3).map(|version| format!("{suite}/{version}"));
    let is_of_it = |kernel: &KernelPackages| {
        kernel.version().is_some_and(|version| version.matched(pattern).is_some())
    };
    let gone = if catalogue.incomplete.iter().any(is_of_it) {
        format!("the mirror has the image of {pattern} but no longer its modules; ")
    } else {
        String::new()
    };
    let hint = format!(
        "{gone}for a version that the mirror no longer has, set CRYOLAB_MIRROR to a snapshot of \
         the archive that has it (the URI of the folder with `dists`, for a snapshot service \
         `.../archive/debian/20260801T000000Z`)"
    );
    let (name, nearest) = (selector.to_owned(), nearest.collect());
    Unknown { what: "kernel", name, nearest, hint: Some(hint) }
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
            KernelPackages { release, packages: vec![package], unlisted: Vec::new() }
        };
        Catalogue {
            kernels: ["6.1.9", "6.16.3", "6.16.12", "6.18.5", "6.18.15", "7.2.12"]
                .map(kernel)
                .into(),
            incomplete: ["6.18.20", "7.0.9", "7.0.13"].map(kernel).into(),
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
    #[case(Some("*"), &["6.1.9", "6.16.12", "6.18.15", "7.2.12", "7.0.13"])]
    #[case(Some("6.17"), &[])]
    #[case(Some("7.0"), &["7.0.13"])]
    #[case(Some("7.*"), &["7.2.12", "7.0.13"])]
    #[case(Some("6.18.20"), &["6.18.20"])]
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
        assert_eq!(error.nearest[0], "trixie-backports/7.2.12");
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
