//! What there is to choose from, and what a selector chooses.

use std::path::Path;

use fs_err as fs;

use crate::build::{criu, kernel, protos};
use crate::cache::Kind;
use crate::images::{CRIU_SUITES, Images, kernel_key};
use crate::selector::{self, Criu, Kernel};
use crate::version::distance;
use crate::{Error, Suite, Unknown};

impl Images {
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
            let modules = modules.map(std::path::absolute).transpose()?;
            return Ok(vec![Kernel::File { image, modules, release }]);
        }
        let pattern = selector.split_once('/').map(|(_, pattern)| pattern);
        let suites = selector::suites("kernel", selector)?;
        let mut kernels = Vec::new();
        for &suite in &suites {
            let catalogue = self.apt.catalogue(suite, &*self.progress)?;
            let mut found = selector::kernels_of(suite, &catalogue, pattern);
            self.keep_those_to_be_had(&mut found)?;
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

    /// Leaves out kernels of which a package is neither listed nor in the mirror's pool. The
    /// smallest that is not listed is looked for.
    fn keep_those_to_be_had(&self, kernels: &mut Vec<Kernel>) -> Result<(), Error> {
        let mut kept = Vec::new();
        for kernel in kernels.drain(..) {
            let Kernel::Debian { suite, unlisted, .. } = &kernel else { continue };
            let smallest = unlisted.iter().min_by_key(|package| !package.is_base());
            let is_there = match smallest {
                Some(package) if !self.cache.has(Kind::Kernels, &kernel_key(&kernel)?) => {
                    let folder = tempfile::tempdir()?;
                    self.apt.unlisted(*suite, package, folder.path())?.is_some()
                }
                _ => true,
            };
            if is_there {
                kept.push(kernel);
            }
        }
        *kernels = kept;
        Ok(())
    }

    /// The CRIUs that a selector means: `SUITE`, with wildcards, `SUITE+selinux`, or the path of a
    /// binary or of a built tree.
    pub fn resolve_criu(&self, selector: &str) -> Result<Vec<Criu>, Error> {
        if selector::is_path(selector) {
            return built_criu(selector).map(|criu| vec![criu]);
        }
        let unknown = || {
            Unknown::new("criu", selector, CRIU_SUITES.map(Suite::name))
                .with_hint("a suite, SUITE+selinux, or a path that begins with `/` or `./`")
        };
        let (named, selinux) = match selector.strip_suffix(selector::SELINUX) {
            Some(named) => (named, true),
            None => (selector, false),
        };
        let criu = |suite, package| match selinux {
            true => Criu::Selinux { suite, package },
            false => Criu::Debian { suite, package },
        };
        let suites = selector::suites("criu", named).map_err(|_| unknown())?;
        let mut found = Vec::new();
        for suite in suites.into_iter().filter(|suite| CRIU_SUITES.contains(suite)) {
            let package = self.apt.catalogue(suite, &*self.progress)?.criu;
            found.extend(package.map(|package| criu(suite, package)));
        }
        if found.is_empty() || selector.contains('/') { Err(unknown().into()) } else { Ok(found) }
    }

    /// The image schema for a CRIU that is known by its version only, such as a binary that the user
    /// built, or the one that made an archive: that of the suite whose version is nearest.
    ///
    /// # Errors
    /// When no suite has a CRIU, or it cannot be had.
    pub fn nearest_schema(&self, told: &str) -> Result<Vec<u8>, Error> {
        let mut nearest: Option<(u64, Criu)> = None;
        for suite in CRIU_SUITES {
            let Some(package) = self.apt.catalogue(suite, &*self.progress)?.criu else { continue };
            let distance = distance(told, &package.version);
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
            .filter(|kernel| !kernel.has_unlisted())
            .map(|kernel| kernel.to_string())
            .collect()
    }
}

/// A CRIU that the user built, as it is at a path; nothing is missing that it needs.
fn built_criu(path: &str) -> Result<Criu, Error> {
    if !Path::new(path).is_dir() {
        let binary = selector::existing("criu", path)?;
        criu::libraries_of(&binary)?;
        let version = criu::version_of(&binary)?;
        return Ok(Criu::File { binary, version });
    }
    let folder = std::path::absolute(path)?;
    let binary = folder.join(criu::BINARY_OF_TREE);
    if !binary.is_file() {
        let why = format!("is a folder without {}: no built tree of CRIU", criu::BINARY_OF_TREE);
        return Err(Error::BadPath { what: "criu", path: path.into(), why });
    }
    protos::descriptor_set(&folder)?;
    criu::libraries_of(&binary)?;
    let version = criu::version_of(&binary)?;
    Ok(Criu::Tree { folder, version })
}
