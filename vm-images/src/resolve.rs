//! What there is to choose from, and what a selector chooses.

use std::path::Path;

use fs_err as fs;

use crate::build::{criu, kernel};
use crate::images::{CRIU_SUITES, Images, NODE, kernel_key};
use crate::selector::{self, Criu, CriuListing, Kernel, KernelListing, RootfsListing};
use crate::{Error, Suite, Unknown};

impl Images {
    /// All kernels of these suites.
    pub fn kernels(&self, suites: &[Suite]) -> Result<Vec<KernelListing>, Error> {
        let mut listings = Vec::new();
        for &suite in suites {
            let catalogue = self.apt.catalogue(suite, &*self.progress)?;
            for kernel in catalogue.kernels.iter().filter_map(|k| Kernel::debian(suite, k)) {
                let cached = self.cache.find("kernels", &kernel_key(&kernel)?).is_some();
                let Kernel::Debian { version, packages, .. } = kernel else { continue };
                let bytes = packages.iter().map(|package| package.bytes).sum();
                let package = packages.into_iter().next().map(|p| p.name).unwrap_or_default();
                listings.push(KernelListing { version, suite, package, bytes, cached });
            }
        }
        Ok(listings)
    }

    /// The CRIU of each suite that has one.
    pub fn criu_builds(&self) -> Result<Vec<CriuListing>, Error> {
        let mut listings = Vec::new();
        for suite in CRIU_SUITES {
            let Some(package) = self.apt.catalogue(suite, &*self.progress)?.criu else { continue };
            let key = self.criu_key(suite)?.0;
            let cached = self.cache.find("criu", &key).is_some();
            let version = package.version.split(['-', '+', '~']).next().unwrap_or_default();
            let (version, bytes) = (version.to_owned(), package.bytes);
            listings.push(CriuListing { version, suite, bytes, cached });
        }
        Ok(listings)
    }

    /// The root of nodes.
    pub fn rootfs(&self) -> Result<RootfsListing, Error> {
        let (key, closure) = self.system_key("node root", NODE)?;
        Ok(RootfsListing {
            suite: NODE.suite,
            packages: closure.len(),
            bytes: closure.iter().map(|package| package.bytes).sum(),
            cached: self.cache.find("rootfs", &key).is_some(),
        })
    }

    /// The kernels that a selector means: `SUITE` (its newest), `SUITE/VERSION` (whole numbers),
    /// wildcards in either, or the path of a bzImage, whose modules lie in `modules`.
    pub fn resolve_kernel(
        &self,
        selector: &str,
        modules: Option<&Path>,
    ) -> Result<Vec<Kernel>, Error> {
        if selector::is_path(selector) {
            let image = selector::existing("kernel", selector)?;
            let release = kernel::release_of_image(&image)?;
            if let Some(modules) = modules {
                kernel::modules_of(modules, &release)?;
            }
            return Ok(vec![Kernel::File { image, modules: modules.map(Path::to_owned) }]);
        }
        let pattern = selector.split_once('/').map(|(_, pattern)| pattern);
        let suites = selector::suites("kernel", selector)?;
        let mut kernels = Vec::new();
        for &suite in &suites {
            let catalogue = self.apt.catalogue(suite, &*self.progress)?;
            let found = selector::kernels_of(suite, &catalogue, pattern);
            if found.is_empty() && suites.len() == 1 {
                return Err(selector::no_such_version(selector, suite, &catalogue).into());
            }
            kernels.extend(found);
        }
        if kernels.is_empty() {
            let known = self.known_kernels(&suites);
            return Err(Unknown::new("kernel", selector, known).into());
        }
        Ok(kernels)
    }

    /// The CRIUs that a selector means: `SUITE`, with wildcards, or the path of a binary.
    pub fn resolve_criu(&self, selector: &str) -> Result<Vec<Criu>, Error> {
        if selector::is_path(selector) {
            let binary = selector::existing("criu", selector)?;
            criu::libraries_of(&binary)?;
            criu::version_of(&binary)?;
            return Ok(vec![Criu::File { binary }]);
        }
        let unknown = || {
            Unknown::new("criu", selector, CRIU_SUITES.map(Suite::name))
                .with_hint("a suite, or a path that begins with `/` or `./`")
        };
        let suites = selector::suites("criu", selector).map_err(|_| unknown())?;
        let mut found = Vec::new();
        for suite in suites.into_iter().filter(|suite| CRIU_SUITES.contains(suite)) {
            let package = self.apt.catalogue(suite, &*self.progress)?.criu;
            found.extend(package.map(|package| Criu::Debian { suite, package }));
        }
        if found.is_empty() || selector.contains('/') { Err(unknown().into()) } else { Ok(found) }
    }

    /// The image schema for a binary that the user built: that of the suite whose version is
    /// nearest to what the binary says of itself.
    pub(crate) fn nearest_schema(&self, binary: &Path) -> Result<Vec<u8>, Error> {
        let told = criu::version_of(binary)?;
        let mut nearest: Option<(u64, Criu)> = None;
        for suite in CRIU_SUITES {
            let Some(package) = self.apt.catalogue(suite, &*self.progress)?.criu else { continue };
            let distance = criu::distance(&told, &package.version);
            if nearest.as_ref().is_none_or(|(least, _)| distance < *least) {
                nearest = Some((distance, Criu::Debian { suite, package }));
            }
        }
        let (_, criu) = nearest.ok_or_else(|| Error::content(&"criu", &"no suite has any"))?;
        self.progress.note(&format!("criu {told}: using the image schema of {criu}"));
        Ok(fs::read(self.ensure_criu(&criu)?.schema)?)
    }

    fn known_kernels(&self, suites: &[Suite]) -> Vec<String> {
        let known = suites.iter().filter_map(|&suite| Some((suite, self.apt.known(suite)?)));
        known
            .flat_map(|(suite, catalogue)| selector::kernels_of(suite, &catalogue, Some("*")))
            .map(|kernel| kernel.to_string())
            .collect()
    }
}
