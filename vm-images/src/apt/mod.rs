//! Packages of any suite, by the host's apt in a private root.
//!
//! apt resolves, downloads and checks signatures; the host's package state is neither read nor
//! changed. All suites share one folder of indexes; each has its own list of sources.

mod config;
mod index;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::index::Package;
pub(crate) use self::index::{Catalogue, KernelPackages};
use self::sources::Mirror;
use crate::cache::Cache;
use crate::{Error, Progress, Step, Suite, Unknown, command};

/// How long an index is taken as it is before the mirror is asked again.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a mirror that could not be reached is left alone.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// Version of what is derived from indexes and kept beside them.
const RECIPE: u32 = 2;

/// A private apt root in the cache.
#[derive(Debug)]
pub(crate) struct Apt {
    cache: Cache,
    root: PathBuf,
    origin: OnceLock<Origin>,
    acquire: OnceLock<String>,
}

/// Where packages come from, asked of the host once.
#[derive(Clone, Debug)]
struct Origin {
    mirror: Mirror,
    keyring: PathBuf,
}

impl Apt {
    pub(crate) fn new(cache: &Cache) -> Self {
        let root = cache.root().join("apt");
        Apt { cache: cache.clone(), root, origin: OnceLock::new(), acquire: OnceLock::new() }
    }

    /// What a suite has; from the mirror once a day, else from the cache.
    pub(crate) fn catalogue(
        &self,
        suite: Suite,
        progress: &dyn Progress,
    ) -> Result<Catalogue, Error> {
        self.refresh(suite, progress)?;
        let digest = self.digest(suite)?;
        self.remember(&format!("catalogue-{suite}"), &digest, || {
            let text = fs::read(self.index_file(suite)?)?;
            Ok(index::read(&String::from_utf8_lossy(&text)))
        })
    }

    /// What was known of a suite when its index was read last, without asking the mirror.
    pub(crate) fn known(&self, suite: Suite) -> Option<Catalogue> {
        let digest = self.digest(suite).ok()?;
        let path = self.remembered(&format!("catalogue-{suite}"), &digest);
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// The packages that installing `wanted` (names, patterns or options of apt) into nothing would
    /// bring.
    pub(crate) fn closure(
        &self,
        suite: Suite,
        wanted: &[&str],
        progress: &dyn Progress,
    ) -> Result<Vec<Package>, Error> {
        let mut digests = String::new();
        for layer in layers(suite) {
            self.refresh(layer, progress)?;
            digests += &self.digest(layer)?;
        }
        let name = format!("closure-{suite}");
        self.remember(&name, &(digests + &wanted.join(" ")), || {
            let mut command = self.command("apt-get", suite)?;
            command.args(["install", "-qq", "--yes", "--print-uris"]).args(wanted);
            let plan =
                command::output(&mut command).map_err(|error| unknown_package(suite, error))?;
            Ok(index::read_uris(&plan))
        })
    }

    /// Downloads exactly these packages; gives the paths in the same order.
    pub(crate) fn download(
        &self,
        suite: Suite,
        packages: &[Package],
        into: &Path,
        step: &dyn Step,
    ) -> Result<Vec<PathBuf>, Error> {
        let total: u64 = packages.iter().map(|package| package.bytes).sum();
        step.bytes(0, total);
        let mut command = self.command("apt-get", suite)?;
        command.current_dir(into).args(["-q=2", "-o", "APT::Status-Fd=1", "download"]);
        command.args(packages.iter().map(Package::exact));
        command::each_line(&mut command, &mut |line| {
            if let Some(percent) = download_percent(line) {
                step.bytes((percent / 100.0 * total as f64) as u64, total);
            }
        })?;
        packages.iter().map(|package| downloaded(into, package)).collect()
    }

    /// Downloads a package of the source `linux` that no index lists any more from the mirror's
    /// pool; `None` if it is gone from there, too. Nobody vouches for what comes.
    pub(crate) fn unlisted(
        &self,
        suite: Suite,
        package: &Package,
        into: &Path,
    ) -> Result<Option<PathBuf>, Error> {
        let file = format!("{}_{}_amd64.deb", package.name, package.version);
        let uri = format!("{}/pool/main/l/linux/{file}", self.origin()?.mirror.uri);
        let path = into.join(file);
        let mut command = self.command("/usr/lib/apt/apt-helper", suite)?;
        match command::run(command.args(["download-file", &uri]).arg(&path)) {
            Ok(()) => Ok(Some(path)),
            Err(Error::Command { output, .. }) if is_absence(&output) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The lines of `sources.list` for a suite and what it lies on.
    pub(crate) fn sources(&self, suite: Suite) -> Result<Vec<String>, Error> {
        self.source_lines("deb", "Packages", suite)
    }

    /// Further lines, for source packages.
    pub(crate) fn sources_of_source(&self, suite: Suite) -> Result<Vec<String>, Error> {
        self.source_lines("deb-src", "Sources", suite)
    }

    fn source_lines(&self, kind: &str, target: &str, suite: Suite) -> Result<Vec<String>, Error> {
        let Origin { mirror, keyring } = self.origin()?;
        let keyring = keyring.display();
        let Mirror { uri, set } = mirror;
        let ran_out = if *set { " check-valid-until=no" } else { "" };
        let options = format!("arch=amd64 target={target} signed-by={keyring}{ran_out}");
        let line = |layer| format!("{kind} [{options}] {uri} {layer} main");
        Ok(layers(suite).into_iter().map(line).collect())
    }

    /// The host's way to reach mirrors, as lines of an `apt.conf`.
    pub(crate) fn acquire(&self) -> Result<&str, Error> {
        if let Some(acquire) = self.acquire.get() {
            return Ok(acquire);
        }
        let acquire = config::host_acquire()?;
        Ok(self.acquire.get_or_init(|| acquire))
    }

    /// Files of the indexes of a suite and what it lies on, in apt's folder of lists.
    pub(crate) fn lists(&self, suite: Suite) -> Result<Vec<PathBuf>, Error> {
        let mut files = Vec::new();
        for layer in layers(suite) {
            let index = self.index_file(layer)?;
            let name = index.file_name().unwrap_or_default().to_string_lossy();
            let release = name.split("_main_binary-").next().unwrap_or_default();
            let kinds = ["InRelease", "Release", "Release.gpg"];
            let releases = kinds.map(|kind| index.with_file_name(format!("{release}_{kind}")));
            files.extend(releases.into_iter().filter(|path| path.is_file()));
            files.push(index);
        }
        Ok(files)
    }

    fn refresh(&self, suite: Suite, progress: &dyn Progress) -> Result<(), Error> {
        if self.is_fresh(suite)? {
            return Ok(());
        }
        let _lock = self.cache.lock("apt", &|| {
            progress.note("waiting for another process that refreshes the package indexes");
        })?;
        if self.is_fresh(suite)? {
            return Ok(());
        }
        let step = progress.begin(&format!("package index of {suite}"));
        match self.update(suite, &*step) {
            Ok(()) => step.finish("up to date"),
            Err(error) if self.digest(suite).is_ok() => {
                step.finish(&format!("the mirror cannot be asked, using what is known: {error}"));
                self.postpone(suite)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn update(&self, suite: Suite, step: &dyn Step) -> Result<(), Error> {
        step.say("asking the mirror");
        let mut command = self.command("apt-get", suite)?;
        command.args(["update", "-q=2", "-o", "APT::Update::Error-Mode=any"]);
        command::run(&mut command)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs::File::open(self.index_file(suite)?)?)?;
        write_whole(&self.stamp(suite)?, hasher.finalize().to_hex().as_bytes())
    }

    fn is_fresh(&self, suite: Suite) -> Result<bool, Error> {
        let asked = fs::metadata(self.stamp(suite)?).and_then(|stamp| stamp.modified());
        let age = asked.ok().and_then(|asked| SystemTime::now().duration_since(asked).ok());
        Ok(age.is_some_and(|age| age < FRESH))
    }

    /// Has the mirror asked again in a while, not at once.
    fn postpone(&self, suite: Suite) -> Result<(), Error> {
        let stamp = fs::OpenOptions::new().append(true).open(self.stamp(suite)?)?;
        Ok(stamp.file().set_modified(SystemTime::now() - FRESH + AGAIN)?)
    }

    /// A file whose time says when the mirror was asked, and whose content is the index's digest.
    fn stamp(&self, suite: Suite) -> Result<PathBuf, Error> {
        Ok(self.root.join(format!("{}.stamp", self.name(suite)?)))
    }

    fn digest(&self, suite: Suite) -> Result<String, Error> {
        Ok(fs::read_to_string(self.stamp(suite)?)?)
    }

    fn index_file(&self, suite: Suite) -> Result<PathBuf, Error> {
        let mut command = self.command("apt-get", suite)?;
        command.args(["indextargets", "--format", "$(FILENAME)", "Created-By: Packages"]);
        command.arg(format!("Release: {suite}"));
        let answer = command::output(&mut command)?;
        let file = answer.lines().next().map(PathBuf::from);
        file.filter(|file| file.is_file())
            .ok_or_else(|| Error::content(&suite, &"apt has no index of this suite"))
    }

    /// `program` of apt in the private root, with the sources of a suite.
    fn command(&self, program: &str, suite: Suite) -> Result<Command, Error> {
        let config = self.prepare(suite)?;
        let mut command = command::tool(program);
        command.env("APT_CONFIG", config);
        Ok(command)
    }

    /// Writes the configuration; gives its path.
    fn prepare(&self, suite: Suite) -> Result<PathBuf, Error> {
        let name = self.name(suite)?;
        self.cache.indexes()?;
        let cache = format!("cache/{name}/archives/partial");
        for folder in ["lists/partial", "state", "none", &cache] {
            fs::create_dir_all(self.root.join(folder))?;
        }
        let list = self.root.join(format!("{name}.list"));
        let config = self.root.join(format!("{name}.conf"));
        write_if_changed(&self.root.join("status"), "")?;
        write_if_changed(&list, &(self.sources(suite)?.join("\n") + "\n"))?;
        write_if_changed(&config, &config::private(&self.root, &name, &list, self.acquire()?))?;
        Ok(config)
    }

    /// The name of a suite on this mirror: another mirror may have other versions.
    fn name(&self, suite: Suite) -> Result<String, Error> {
        let mirror = blake3::hash(self.origin()?.mirror.uri.as_bytes()).to_hex();
        Ok(format!("{suite}-{}", &mirror[..8]))
    }

    fn origin(&self) -> Result<&Origin, Error> {
        if let Some(origin) = self.origin.get() {
            return Ok(origin);
        }
        let origin = Origin { mirror: sources::mirror()?, keyring: config::keyring()? };
        Ok(self.origin.get_or_init(|| origin))
    }

    /// A value derived from indexes with this digest, kept so that they are read once.
    fn remember<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        digest: &str,
        derive: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let path = self.remembered(name, digest);
        if let Some(value) =
            fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok())
        {
            return Ok(value);
        }
        let value = derive()?;
        let text = serde_json::to_vec(&value).map_err(|error| Error::content(&name, &error))?;
        write_whole(&path, &text)?;
        Ok(value)
    }

    fn remembered(&self, name: &str, digest: &str) -> PathBuf {
        let digest = blake3::hash(format!("{RECIPE} {digest}").as_bytes());
        self.root.join(format!("{name}-{}.json", &digest.to_hex()[..16]))
    }
}

/// The suite and what it lies on.
fn layers(suite: Suite) -> Vec<Suite> {
    [Some(suite), suite.base()].into_iter().flatten().collect()
}

/// Reads `dlstatus:1:45.6:Retrieving file 1 of 3`.
fn download_percent(line: &str) -> Option<f64> {
    line.strip_prefix("dlstatus:")?.split(':').nth(1)?.parse().ok()
}

/// Whether apt says of a file that the mirror does not have it: by HTTP, and in a folder.
fn is_absence(output: &str) -> bool {
    ["  404  ", "File not found"].iter().any(|told| output.contains(told))
}

/// Tells a package that does not exist from other failures.
fn unknown_package(suite: Suite, error: Error) -> Error {
    let Error::Command { output, .. } = &error else { return error };
    let Some(name) = output.lines().find_map(|line| line.split("Unable to locate package ").nth(1))
    else {
        return error;
    };
    Unknown::new("package", name, [""; 0])
        .with_hint(format!("{suite} has none of this name"))
        .into()
}

fn downloaded(folder: &Path, package: &Package) -> Result<PathBuf, Error> {
    let start = format!("{}_{}_", package.name, package.version.replace(':', "%3a"));
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&start) {
            return Ok(entry.path());
        }
    }
    Err(Error::content(&package.exact(), &"apt said it was downloaded, but there is no file"))
}

fn write_if_changed(path: &Path, text: &str) -> Result<(), Error> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    write_whole(path, text.as_bytes())
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_of_a_download_is_read() {
        assert_eq!(download_percent("dlstatus:1:45.6:Retrieving file 1 of 3 (2s)"), Some(45.6));
        assert_eq!(download_percent("pmstatus:dpkg:1:x"), None);
    }
}
