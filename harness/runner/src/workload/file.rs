//! `workload.toml`: what it may say, and errors that name file, line and field.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::{iter, mem};

use model::message::{Ready, Sought};
use model::pod::{CriuOptions, Namespace, Stdio};
use serde::Deserialize;
use toml::Spanned;

use super::security::SecurityFile;
use super::{Client, Container, FILE, MAIN, Needs, Observer, Proof, Root, Workload};
use crate::version::Versions;

/// A workload could not be read.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// The file itself.
    #[error("{}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What it says.
    #[error("{}:{line}: {message}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Line in the file, from 1.
        line: usize,
        /// What is wrong, naming the field.
        message: String,
    },
}

/// The file as it is written, and a further container in it. What is only refused later is read here too, so that a typo in it
/// is a typo and not a missing feature.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    summary: Option<String>,
    binary: Option<Spanned<PathBuf>>,
    packages: Option<Spanned<Vec<String>>>,
    suite: Option<Spanned<String>>,
    files: Option<Spanned<BTreeMap<String, Spanned<PathBuf>>>>,
    rootfs: Option<Spanned<PathBuf>>,
    command: Spanned<Vec<String>>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    user: User,
    memory_mib: Option<u32>,
    #[serde(default)]
    mounts: BTreeMap<String, Mount>,
    #[serde(default)]
    rlimits: BTreeMap<String, Limit>,
    #[serde(default)]
    devices: Vec<toml::Value>,
    #[serde(default)]
    masked: Vec<String>,
    #[serde(default)]
    stdio: Streams,
    ready: Sign,
    check: Option<Vec<String>>,
    #[serde(default, rename = "self")]
    on_sigterm: Option<Spanned<bool>>,
    client: Option<ClientFile>,
    observer: Option<ObserverFile>,
    forensic: Option<ForensicFile>,
    needs: Option<NeedsFile>,
    #[serde(default)]
    security: SecurityFile,
    #[serde(default)]
    criu: CriuOptions,
    share: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    containers: Vec<Spanned<File>>,
}

/// `user = 100` or `user = "100:101"`.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(try_from = "UserText")]
struct User(u32, u32);

#[derive(Deserialize)]
#[serde(untagged)]
enum UserText {
    Id(u32),
    Text(String),
}

impl TryFrom<UserText> for User {
    type Error = String;

    fn try_from(given: UserText) -> Result<Self, String> {
        let text = match given {
            UserText::Id(id) => return Ok(User(id, id)),
            UserText::Text(text) => text,
        };
        let (uid, gid) = text.split_once(':').unwrap_or((&text, &text));
        match (uid.parse(), gid.parse()) {
            (Ok(uid), Ok(gid)) => Ok(User(uid, gid)),
            _ => Err(format!("`user` is \"{text}\": write numbers, `100` or `\"100:101\"`")),
        }
    }
}

/// `"/data" = { tmpfs = 16 }`: a tmpfs of that many MiB.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mount {
    tmpfs: u32,
}

/// `nofile = 1024`, `nofile = [1024, 4096]`, or `"unlimited"` in place of a number.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "LimitText")]
struct Limit(u64, u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum LimitText {
    Both(Amount),
    Pair(Amount, Amount),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Number(u64),
    Word(String),
}

impl TryFrom<LimitText> for Limit {
    type Error = String;

    fn try_from(given: LimitText) -> Result<Self, String> {
        let amount = |amount| match amount {
            Amount::Number(number) => Ok(number),
            Amount::Word(word) if word == "unlimited" => Ok(u64::MAX),
            Amount::Word(word) => {
                Err(format!("limit `{word}` is neither a number nor `unlimited`"))
            }
        };
        let (soft, hard) = match given {
            LimitText::Both(Amount::Number(number)) => (number, number),
            LimitText::Both(word) => amount(word).map(|number| (number, number))?,
            LimitText::Pair(soft, hard) => (amount(soft)?, amount(hard)?),
        };
        if soft <= hard {
            Ok(Limit(soft, hard))
        } else {
            Err(format!("soft limit {soft} above hard limit {hard}"))
        }
    }
}

#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Streams {
    #[default]
    Pipe,
    Null,
    Pty,
}

/// `[ready]` with one of `line`, `file` and `port`.
#[derive(Deserialize)]
#[serde(try_from = "SignFile")]
struct Sign(Ready);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignFile {
    line: Option<String>,
    file: Option<String>,
    port: Option<u16>,
}

impl TryFrom<SignFile> for Sign {
    type Error = &'static str;

    fn try_from(given: SignFile) -> Result<Self, Self::Error> {
        match (given.line, given.file, given.port) {
            (Some(line), None, None) => Ok(Sign(Ready::Line(line))),
            (None, Some(file), None) => Ok(Sign(Ready::File(file))),
            (None, None, Some(port)) => Ok(Sign(Ready::Port(port))),
            _ => Err("`ready` wants exactly one of `line`, `file` and `port`"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientFile {
    binary: Spanned<PathBuf>,
    before: Vec<String>,
    after: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObserverFile {
    binary: Spanned<PathBuf>,
    command: Vec<String>,
}

/// `[forensic]`: what stands in its memory while it runs.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ForensicFile {
    #[serde(default)]
    search: Vec<String>,
    #[serde(default)]
    regex: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NeedsFile {
    kernel: Option<Versions>,
    criu: Option<Versions>,
    #[serde(default)]
    features: Vec<String>,
}

/// Reads the workload of a folder; its programs are in the folder or in `programs`.
pub(super) fn load(folder: &Path, programs: &Path) -> Result<Workload, WorkloadError> {
    let path = folder.join(FILE);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| WorkloadError::Read { path: path.clone(), source })?;
    let reader = Reader { path: &path, text: &text, folder, programs };
    let file: File = toml::from_str(&text)
        .map_err(|error| reader.wrong(error.span().unwrap_or(0..0), error.message().to_owned()))?;
    reader.workload(file)
}

/// The file that is being read, for errors and for the places that it names.
pub(super) struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    folder: &'a Path,
    programs: &'a Path,
}

impl Reader<'_> {
    fn workload(&self, mut file: File) -> Result<Workload, WorkloadError> {
        let all = || iter::once(&file).chain(file.containers.iter().map(Spanned::get_ref));
        let not_yet: BTreeSet<&str> = all().flat_map(not_yet).collect();
        let not_yet = not_yet.into_iter().map(str::to_owned).collect();
        let name = self.name(&file.name)?;
        let no_summary = || self.wrong(0..0, "missing field `summary`".to_owned());
        let summary = file.summary.take().ok_or_else(no_summary)?;
        let client = file.client.take().map(|client| self.client(client)).transpose()?;
        let observer = file.observer.take().map(|observer| self.observer(observer)).transpose()?;
        let forensic = file.forensic.take().unwrap_or_default();
        let needs = file.needs.take().unwrap_or_default();
        let share = self.share(file.share.take())?;
        let has_link = share.contains(&Namespace::Net);
        if let (false, true) = (has_link, client.is_some() || observer.is_some()) {
            let message = "`client` and `observer` want \"net\" in `share`: nobody else is reached";
            return Err(self.wrong(file.name.span(), message.to_owned()));
        }
        let others = mem::take(&mut file.containers);
        let mut containers = vec![self.container(MAIN.to_owned(), file)?];
        for other in others {
            containers.push(self.further(other, &containers)?);
        }
        Ok(Workload {
            name,
            summary,
            folder: self.folder.to_owned(),
            share,
            containers,
            client,
            observer,
            forensic: Sought { texts: forensic.search, regexes: forensic.regex },
            needs: Needs { kernel: needs.kernel, criu: needs.criu },
            not_yet,
        })
    }

    /// A container beside the first. What belongs to the whole pod is not said in it.
    fn further(
        &self,
        other: Spanned<File>,
        before: &[Container],
    ) -> Result<Container, WorkloadError> {
        let (span, file) = (other.span(), other.into_inner());
        let of_the_pod = [
            ("summary", file.summary.is_some()),
            ("client", file.client.is_some()),
            ("observer", file.observer.is_some()),
            ("forensic", file.forensic.is_some()),
            ("needs", file.needs.is_some()),
            ("share", file.share.is_some()),
            ("containers", !file.containers.is_empty()),
        ];
        if let Some((field, _)) = of_the_pod.iter().find(|(_, given)| *given) {
            let message = format!("`{field}` is of the whole pod: not in `[[containers]]`");
            return Err(self.wrong(span, message));
        }
        let name = self.name(&file.name)?;
        if before.iter().any(|container| container.name == name) {
            let message = format!("`name` is \"{name}\", as of another container");
            return Err(self.wrong(file.name.span(), message));
        }
        self.container(name, file)
    }

    fn container(&self, name: String, mut file: File) -> Result<Container, WorkloadError> {
        let root = self.root(&mut file)?;
        let proof = self.proof(&file)?;
        let (security, profile) = self.security(file.security)?;
        Ok(Container {
            name,
            root,
            command: self.command(file.command)?,
            env: file.env.into_iter().collect(),
            user: (file.user.0, file.user.1),
            memory_mib: file.memory_mib,
            tmpfs: file.mounts.into_iter().map(|(path, mount)| (path, mount.tmpfs)).collect(),
            rlimits: file.rlimits.into_iter().map(|(name, it)| (name, (it.0, it.1))).collect(),
            masked: file.masked,
            stdio: if file.stdio == Streams::Null { Stdio::Null } else { Stdio::Pipe },
            ready: file.ready.0,
            proof,
            criu: file.criu,
            security,
            profile,
        })
    }

    /// Namespaces that the containers share: what Kubernetes shares when nothing is said.
    fn share(
        &self,
        given: Option<Spanned<Vec<String>>>,
    ) -> Result<BTreeSet<Namespace>, WorkloadError> {
        let Some(given) = given else {
            return Ok([Namespace::Net, Namespace::Ipc, Namespace::Uts].into());
        };
        let span = given.span();
        let namespace = |name: String| {
            let known = Namespace::ALL.into_iter().find(|known| known.name() == name);
            known.ok_or_else(|| {
                let why = match name.as_str() {
                    "user" => "CRIU cannot restore into a user namespace that others share",
                    _ => "share some of \"net\", \"ipc\", \"uts\", \"pid\"",
                };
                self.wrong(span.clone(), format!("`share` has \"{name}\": {why}"))
            })
        };
        given.into_inner().into_iter().map(namespace).collect()
    }

    fn name(&self, name: &Spanned<String>) -> Result<String, WorkloadError> {
        let text = name.get_ref();
        if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Ok(text.clone());
        }
        Err(self
            .wrong(name.span(), format!("`name` is \"{text}\": use letters, digits and dashes")))
    }

    fn command(&self, command: Spanned<Vec<String>>) -> Result<Vec<String>, WorkloadError> {
        if command.get_ref().first().is_some_and(|program| program.starts_with('/')) {
            return Ok(command.into_inner());
        }
        Err(self.wrong(command.span(), "`command` must begin with an absolute path".to_owned()))
    }

    fn root(&self, file: &mut File) -> Result<Root, WorkloadError> {
        let name = file.name.span();
        let suite = file.suite.as_ref().map(|it| ("suite", it.span()));
        let files = file.files.as_ref().map(|it| ("files", it.span()));
        if let (Some((field, span)), None) = (suite.or(files), &file.packages) {
            return Err(self.wrong(span, format!("`{field}` goes with `packages`")));
        }
        match (file.binary.take(), file.packages.take(), file.rootfs.take()) {
            (Some(binary), None, None) => self.program("binary", &binary).map(Root::Binary),
            (None, Some(names), None) => {
                let suite = file.suite.take().map(Spanned::into_inner);
                let files = self.files(file.files.take())?;
                Ok(Root::Packages { suite, names: names.into_inner(), files })
            }
            (None, None, Some(rootfs)) => self.beside("rootfs", &rootfs).map(Root::Rootfs),
            (binary, packages, rootfs) => {
                let spans = [binary.map(|it| it.span()), packages.map(|it| it.span())];
                let last = rootfs.map(|it| it.span()).or(spans.into_iter().flatten().next_back());
                let message = "exactly one of `binary`, `packages` and `rootfs` says what runs";
                Err(self.wrong(last.unwrap_or(name), message.to_owned()))
            }
        }
    }

    /// Files of the folder by their place in the container, which is a plain absolute path.
    fn files(
        &self,
        given: Option<Spanned<BTreeMap<String, Spanned<PathBuf>>>>,
    ) -> Result<BTreeMap<String, PathBuf>, WorkloadError> {
        let mut files = BTreeMap::new();
        for (place, name) in given.map(Spanned::into_inner).unwrap_or_default() {
            let mut parts = Path::new(&place).components();
            let is_absolute = parts.next() == Some(Component::RootDir);
            let is_plain = parts.all(|part| matches!(part, Component::Normal(_)));
            if !is_absolute || !is_plain || place.ends_with('/') {
                let message = format!("`files`: \"{place}\" is no absolute path of a file");
                return Err(self.wrong(name.span(), message));
            }
            let path = self.beside("files", &name)?;
            files.insert(place, path);
        }
        Ok(files)
    }

    fn proof(&self, file: &File) -> Result<Proof, WorkloadError> {
        match (&file.check, &file.on_sigterm) {
            (Some(_), Some(on_sigterm)) if *on_sigterm.get_ref() => {
                Err(self
                    .wrong(on_sigterm.span(), "`self` and `check` exclude each other".to_owned()))
            }
            (Some(check), _) => Ok(Proof::Check(check.clone())),
            (None, Some(on_sigterm)) if *on_sigterm.get_ref() => Ok(Proof::OnSigterm),
            (None, _) => Ok(Proof::None),
        }
    }

    fn client(&self, client: ClientFile) -> Result<Client, WorkloadError> {
        let binary = self.program("client.binary", &client.binary)?;
        Ok(Client { binary, before: client.before, after: client.after })
    }

    fn observer(&self, observer: ObserverFile) -> Result<Observer, WorkloadError> {
        let binary = self.program("observer.binary", &observer.binary)?;
        Ok(Observer { binary, command: observer.command })
    }

    /// A program: beside the file, or built from this repository.
    fn program(&self, field: &str, name: &Spanned<PathBuf>) -> Result<PathBuf, WorkloadError> {
        let built = self.programs.join(name.get_ref());
        match self.beside(field, name) {
            Err(_) if built.is_file() => Ok(built),
            Err(WorkloadError::Wrong { path, line, message }) => {
                let message = format!("{message}, nor {}", built.display());
                Err(WorkloadError::Wrong { path, line, message })
            }
            other => other,
        }
    }

    pub(super) fn beside(
        &self,
        field: &str,
        name: &Spanned<PathBuf>,
    ) -> Result<PathBuf, WorkloadError> {
        let path = self.folder.join(name.get_ref());
        if path.is_file() {
            return Ok(path);
        }
        Err(self.wrong(name.span(), format!("`{field}`: there is no file {}", path.display())))
    }

    pub(super) fn wrong(&self, at: Range<usize>, message: String) -> WorkloadError {
        let line = self.text[..at.start.min(self.text.len())].matches('\n').count() + 1;
        WorkloadError::Wrong { path: self.path.to_owned(), line, message }
    }
}

/// What a container asks for and Cryolab does not do, each in a few words.
fn not_yet(file: &File) -> Vec<&'static str> {
    let features = file.needs.as_ref().is_some_and(|needs| !needs.features.is_empty());
    let asked = [
        (file.stdio == Streams::Pty, "a terminal (`stdio = \"pty\"`)"),
        (!file.devices.is_empty(), "`devices`"),
        (file.security.selinux.is_some(), "SELinux (`security.selinux`)"),
        (features, "`needs.features`"),
    ];
    asked.into_iter().filter(|(asked, _)| *asked).map(|(_, what)| what).collect()
}

#[cfg(test)]
mod tests;
