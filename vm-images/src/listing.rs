//! What there is: every kernel, CRIU and root that the mirror's suites make possible.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::apt::Package;
use crate::build::debian::System;
use crate::cache::Kind;
use crate::images::{CRIU_SUITES, Images, NODE, kernel_key};
use crate::selector::{Kernel, upstream};
use crate::{Error, Suite};

/// A kernel of a suite.
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
    /// Packages that it needs and that the suite no longer lists: with any, it can be built only if
    /// the mirror still holds these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<String>,
}

/// The CRIU of a suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CriuListing {
    /// Upstream's version.
    pub version: String,
    /// The suite that has it.
    pub suite: Suite,
    /// The package.
    pub package: String,
    /// Size of the package.
    pub bytes: u64,
    /// Whether it was built before.
    pub cached: bool,
}

/// A root filesystem, of nodes or of a workload's container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootfsListing {
    /// `node`, or the workload's name.
    pub name: String,
    /// The release of Debian that it is, such as `13.8`: its `base-files`.
    pub version: String,
    /// The suite that it is made from.
    pub suite: Suite,
    /// Number of its packages.
    pub packages: usize,
    /// What is to be downloaded for it.
    pub bytes: u64,
    /// Whether it was built before.
    pub cached: bool,
}

impl Images {
    /// All kernels of these suites, oldest first in each, those with packages that are no longer
    /// listed last.
    pub fn kernels(&self, suites: &[Suite]) -> Result<Vec<KernelListing>, Error> {
        let mut listings = Vec::new();
        for &suite in suites {
            let catalogue = self.apt.catalogue(suite, &*self.progress)?;
            for kernel in catalogue.kernels.iter().chain(&catalogue.incomplete) {
                let Some(kernel) = Kernel::debian(suite, kernel) else { continue };
                let cached = self.cache.has(Kind::Kernels, &kernel_key(&kernel)?);
                listings.extend(listing(kernel, cached));
            }
        }
        Ok(listings)
    }

    /// The CRIU of each suite that has one.
    pub fn criu_builds(&self) -> Result<Vec<CriuListing>, Error> {
        let mut listings = Vec::new();
        for suite in CRIU_SUITES {
            let Some(found) = self.apt.catalogue(suite, &*self.progress)?.criu else { continue };
            let cached = self.cache.has(Kind::Criu, &self.criu_key(suite)?.0);
            let Package { name: package, bytes, .. } = found;
            let version = upstream(&found.version).to_owned();
            listings.push(CriuListing { version, suite, package, bytes, cached });
        }
        Ok(listings)
    }

    /// The root of nodes.
    pub fn node_root(&self) -> Result<RootfsListing, Error> {
        self.root("node", Kind::Rootfs, "node root", NODE)
    }

    /// The root of a workload's container that is made of packages.
    pub fn workload_root(
        &self,
        name: &str,
        suite: Suite,
        packages: &[String],
        files: &BTreeMap<String, PathBuf>,
    ) -> Result<RootfsListing, Error> {
        let names: Vec<&str> = packages.iter().map(String::as_str).collect();
        let system = System { suite, packages: &names, files };
        self.root(name, Kind::Workloads, &packages.join("+"), system)
    }

    fn root(
        &self,
        name: &str,
        kind: Kind,
        label: &str,
        system: System<'_>,
    ) -> Result<RootfsListing, Error> {
        let (key, closure) = self.system_key(label, system)?;
        let base = closure.iter().find(|package| package.name == "base-files");
        Ok(RootfsListing {
            name: name.to_owned(),
            version: base.map(|it| upstream(&it.version).to_owned()).unwrap_or_default(),
            suite: system.suite,
            packages: closure.len(),
            bytes: closure.iter().map(|package| package.bytes).sum(),
            cached: self.cache.has(kind, &key),
        })
    }
}

fn listing(kernel: Kernel, cached: bool) -> Option<KernelListing> {
    let Kernel::Debian { suite, version, packages, unlisted, .. } = kernel else { return None };
    let bytes = packages.iter().map(|package| package.bytes).sum();
    let package = packages.into_iter().next()?.name;
    let unlisted = unlisted.into_iter().map(|package| package.name).collect();
    Some(KernelListing { version, suite, package, bytes, cached, unlisted })
}
