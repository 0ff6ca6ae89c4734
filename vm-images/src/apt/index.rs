//! Reading a `Packages` index: which kernels and which CRIU a suite has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::version::Version;

/// A binary package of a suite.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Size of the `.deb` in bytes.
    pub bytes: u64,
}

impl Package {
    /// A package of which no more is known than `name=version`.
    fn unlisted(exact: &str) -> Option<Self> {
        let (name, version) = exact.split_once('=')?;
        Some(Package { name: name.to_owned(), version: version.to_owned(), bytes: 0 })
    }

    /// Whether it is the small part of a kernel: its configuration and lists.
    pub(crate) fn is_base(&self) -> bool {
        is_spare(&self.name)
    }

    /// `name=version`, as apt and cache keys want it.
    pub(crate) fn exact(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

/// A kernel of the cloud flavour and the packages that hold its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KernelPackages {
    /// As `uname -r` says it.
    pub(crate) release: String,
    /// The image package first, then those that hold what it does not hold itself.
    pub(crate) packages: Vec<Package>,
    /// Packages that hold files of it and that the suite no longer lists; of unknown size.
    pub(crate) unlisted: Vec<Package>,
}

/// What this room wants to know about a suite.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Catalogue {
    /// Kernels of the cloud flavour, oldest first; one for each upstream version.
    pub(crate) kernels: Vec<KernelPackages>,
    /// Those of which the suite no longer lists a part, such as the modules; oldest first.
    pub(crate) incomplete: Vec<KernelPackages>,
    /// The newest CRIU.
    pub(crate) criu: Option<Package>,
    /// Whether CRIU's Python code, which holds the image schema, is a package of its own.
    pub(crate) has_pycriu: bool,
}

impl KernelPackages {
    pub(crate) fn version(&self) -> Option<Version> {
        Version::from_package(&self.packages.first()?.version)
    }
}

/// A paragraph of the index.
#[derive(Clone, Copy)]
struct Stanza<'a>(&'a str);

impl<'a> Stanza<'a> {
    fn field(self, name: &str) -> Option<&'a str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn package(self) -> Option<Package> {
        Some(Package {
            name: self.field("Package")?.to_owned(),
            version: self.field("Version")?.to_owned(),
            bytes: self.field("Size")?.parse().ok()?,
        })
    }
}

/// Reads a whole index.
pub(crate) fn read(text: &str) -> Catalogue {
    let wanted = |stanza: &&str| {
        ["Package: linux-", "Package: criu\n", "Package: python3-pycriu\n"]
            .iter()
            .any(|start| stanza.starts_with(start))
    };
    let stanzas: Vec<_> = text.split("\n\n").filter(wanted).map(Stanza).collect();
    let named = |name: &str| {
        let found = stanzas.iter().filter_map(|stanza| stanza.package());
        found.filter(|package| package.name == name).max()
    };
    let (kernels, incomplete) = kernels(&stanzas);
    let (criu, pycriu) = (named("criu"), named("python3-pycriu"));
    Catalogue { kernels, incomplete, criu, has_pycriu: pycriu.is_some() }
}

fn kernels(stanzas: &[Stanza<'_>]) -> (Vec<KernelPackages>, Vec<KernelPackages>) {
    let packages: BTreeMap<String, Package> =
        stanzas.iter().filter_map(|s| s.package()).map(|p| (p.exact(), p)).collect();
    let (mut complete, mut incomplete) = (BTreeMap::new(), BTreeMap::new());
    for stanza in unsigned_first(stanzas) {
        let Some(image) = stanza.package() else { continue };
        let (Some(release), Some(version)) =
            (release(&image), Version::from_package(&image.version))
        else {
            continue;
        };
        let (listed, gone): (Vec<_>, Vec<_>) =
            parts(*stanza).partition(|part| packages.contains_key(part));
        let listed = listed.iter().filter_map(|part| packages.get(part).cloned());
        let packages: Vec<_> = [image.clone()].into_iter().chain(listed).collect();
        let mut kernel =
            KernelPackages { release: release.to_owned(), packages, unlisted: Vec::new() };
        if gone.iter().all(|part| is_spare(part)) {
            complete.insert(version, kernel);
        } else {
            kernel.unlisted = gone.iter().filter_map(|part| Package::unlisted(part)).collect();
            incomplete.insert(version, kernel);
        }
    }
    incomplete.retain(|version, _| !complete.contains_key(version));
    (newest_revisions(complete), newest_revisions(incomplete))
}

/// Signed images come last, so that they replace the unsigned ones of the same version.
fn unsigned_first<'a, 'b>(stanzas: &'a [Stanza<'b>]) -> impl Iterator<Item = &'a Stanza<'b>> {
    let unsigned = |stanza: &&Stanza<'_>| {
        stanza.field("Package").is_some_and(|name| name.ends_with("-unsigned"))
    };
    stanzas.iter().filter(unsigned).chain(stanzas.iter().filter(move |s| !unsigned(s)))
}

/// The release that an image package of the cloud flavour holds; metapackages have none.
fn release(image: &Package) -> Option<&str> {
    let release = image.name.strip_prefix("linux-image-")?;
    let release = release.strip_suffix("-unsigned").unwrap_or(release);
    let is_release = release.starts_with(|c: char| c.is_ascii_digit());
    (is_release && release.ends_with("-cloud-amd64")).then_some(release)
}

/// From 6.19 on the image package is empty and depends on packages with the binary, the modules,
/// and the list of what is built in.
fn parts<'a>(image: Stanza<'a>) -> impl Iterator<Item = String> + 'a {
    let depends = image.field("Depends").unwrap_or_default().split(", ");
    depends.filter_map(|dependency| {
        let (name, version) = dependency.split_once(" (= ")?;
        let holds_files =
            ["linux-binary-", "linux-modules-", SPARE].iter().any(|part| name.starts_with(part));
        holds_files.then(|| format!("{name}={}", version.trim_end_matches(')')))
    })
}

/// Kernels that still hold the list of what is built in themselves depend on this, too.
const SPARE: &str = "linux-base-";

fn is_spare(part: &str) -> bool {
    part.starts_with(SPARE)
}

fn newest_revisions(kernels: BTreeMap<Version, KernelPackages>) -> Vec<KernelPackages> {
    let mut newest: Vec<(String, KernelPackages)> = Vec::new();
    for (version, kernel) in kernels {
        let version = version.to_string();
        match newest.last_mut().filter(|(last, _)| *last == version) {
            Some(last) => last.1 = kernel,
            None => newest.push((version, kernel)),
        }
    }
    newest.into_iter().map(|(_, kernel)| kernel).collect()
}

/// Reads the answer of `apt-get install --print-uris`: lines of `'URI' FILE SIZE HASH`.
pub(crate) fn read_uris(text: &str) -> Vec<Package> {
    let mut packages: Vec<_> = text.lines().filter_map(read_uri).collect();
    packages.sort();
    packages
}

fn read_uri(line: &str) -> Option<Package> {
    let (_, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let (file, rest) = rest.split_once(' ')?;
    let mut parts = file.strip_suffix(".deb")?.split('_');
    Some(Package {
        name: parts.next()?.to_owned(),
        version: parts.next()?.replace("%3a", ":"),
        bytes: rest.split(' ').next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(name: &str, version: &str, depends: &str) -> String {
        format!(
            "Package: {name}\nSource: linux\nVersion: {version}\nArchitecture: amd64\n\
             Depends: {depends}\nFilename: pool/x.deb\nSize: 10\nSHA256: 00\n"
        )
    }

    fn index(stanzas: &[(&str, &str, &str)]) -> Catalogue {
        let stanzas: Vec<_> = stanzas.iter().map(|(n, v, d)| stanza(n, v, d)).collect();
        read(&stanzas.join("\n"))
    }

    fn names(kernel: &KernelPackages) -> Vec<&str> {
        kernel.packages.iter().map(|package| package.name.as_str()).collect()
    }

    #[test]
    fn signed_images_are_preferred_and_metapackages_and_debug_symbols_left_out() {
        let catalogue = index(&[
            ("linux-image-6.1.0-50-cloud-amd64", "6.1.176-1", "kmod"),
            ("linux-image-6.1.0-50-cloud-amd64-unsigned", "6.1.176-1", "kmod"),
            ("linux-image-6.1.0-50-cloud-amd64-dbg", "6.1.176-1", "kmod"),
            ("linux-image-6.1.0-50-amd64", "6.1.176-1", "kmod"),
            ("linux-image-cloud-amd64", "6.1.176-1", "linux-image-6.1.0-50-cloud-amd64 (= 1)"),
            ("linux-image-6.1.0-47-cloud-amd64-unsigned", "6.1.170-3", "kmod"),
        ]);
        let kernels: Vec<_> = catalogue.kernels.iter().map(names).collect();
        let old = vec!["linux-image-6.1.0-47-cloud-amd64-unsigned"];
        assert_eq!(kernels, [old, vec!["linux-image-6.1.0-50-cloud-amd64"]]);
        assert_eq!(catalogue.kernels[1].release, "6.1.0-50-cloud-amd64");
    }

    #[test]
    fn a_kernel_in_parts_needs_all_of_them() {
        let depends = |release: &str| {
            let parts = ["base", "binary", "modules"]
                .map(|part| format!("linux-{part}-{release} (= 7.2-1)"));
            format!("kmod, {}", parts.join(", "))
        };
        let catalogue = index(&[
            ("linux-image-7.2-cloud-amd64", "7.2-1", &depends("7.2-cloud-amd64")),
            ("linux-base-7.2-cloud-amd64", "7.2-1", ""),
            ("linux-binary-7.2-cloud-amd64", "7.2-1", ""),
            ("linux-modules-7.2-cloud-amd64", "7.2-1", ""),
            ("linux-image-7.0.1-cloud-amd64", "7.0.1-1", &depends("7.0.1-cloud-amd64")),
            ("linux-binary-7.0.1-cloud-amd64", "7.2-1", ""),
        ]);
        let expected = ["linux-image-", "linux-base-", "linux-binary-", "linux-modules-"];
        assert_eq!(
            names(&catalogue.kernels[0]),
            expected.map(|part| format!("{part}7.2-cloud-amd64"))
        );
        let incomplete = &catalogue.incomplete[0];
        let there =
            ["linux-image-", "linux-binary-"].map(|part| format!("{part}7.0.1-cloud-amd64"));
        assert_eq!(names(incomplete), there);
        let gone: Vec<_> = incomplete.unlisted.iter().map(Package::exact).collect();
        let expected = ["linux-base-", "linux-modules-"];
        assert_eq!(gone, expected.map(|part| format!("{part}7.0.1-cloud-amd64=7.2-1")));
    }

    #[test]
    fn a_kernel_that_holds_all_itself_does_not_need_its_base() {
        let catalogue = index(&[(
            "linux-image-6.18.5-cloud-amd64",
            "6.18.5-1",
            "kmod, linux-base-6.18.5-cloud-amd64 (= 6.18.5-1)",
        )]);
        assert_eq!(names(&catalogue.kernels[0]), ["linux-image-6.18.5-cloud-amd64"]);
    }

    #[test]
    fn of_two_revisions_of_a_version_the_newer_is_taken() {
        let catalogue = index(&[
            ("linux-image-6.12.90+deb12.1-cloud-amd64", "6.12.90-2~bpo12+1", ""),
            ("linux-image-6.12.90+deb12-cloud-amd64", "6.12.90-1~bpo12+1", ""),
        ]);
        assert_eq!(catalogue.kernels.len(), 1);
        assert_eq!(catalogue.kernels[0].release, "6.12.90+deb12.1-cloud-amd64");
    }

    #[test]
    fn criu_and_the_place_of_its_schema_are_found() {
        let catalogue =
            index(&[("criu", "4.2.1-1", "libc6"), ("python3-pycriu", "4.2.1-1", "criu")]);
        assert_eq!(catalogue.criu.unwrap().exact(), "criu=4.2.1-1");
        assert!(catalogue.has_pycriu);
        assert!(!index(&[("criu", "3.17.1-2", "python3")]).has_pycriu);
    }

    #[test]
    fn the_plan_of_an_installation_is_read() {
        let text = "Reading package lists...\n\
            'http://m.test/p/libc/libcap2_2.75_amd64.deb' libcap2_1%3a2.75-10_amd64.deb 28000 SHA256:0\n";
        let package = Package { name: "libcap2".into(), version: "1:2.75-10".into(), bytes: 28000 };
        assert_eq!(read_uris(text), [package]);
    }
}
