//! The programs that the host must have, and installing those that it lacks.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::{Error, Progress, command};

/// What programs are needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Running nodes from images that are in the cache.
    Run,
    /// Building images too.
    Build,
    /// Making policies for workloads that are confined by AppArmor.
    Confine,
}

/// Programs and the Debian packages that hold them; for [`Purpose::Run`] the first of them.
const TOOLS: [(&str, &str); 11] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mkfs.erofs", "erofs-utils"),
    ("mke2fs", "e2fsprogs"),
    ("apt-get", "apt"),
    ("mmdebstrap", "mmdebstrap"),
    ("depmod", "kmod"),
    ("dpkg-deb", "dpkg"),
    ("gpgv", "gpgv"),
    ("tar", "tar"),
    ("openssl", "openssl"),
    PARSER,
];

/// What makes policies of AppArmor.
pub(crate) const PARSER: (&str, &str) = ("apparmor_parser", "apparmor");

/// How many of [`TOOLS`] are for [`Purpose::Run`].
const RUN: usize = 4;

/// Images are built several at a time; only one of the builders installs.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Without root, namespaces with several users are made by this.
const UNPRIVILEGED: (&str, &str) = ("newuidmap", "uidmap");

const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/// The keys of Debian's archive, where the host has them.
pub(crate) fn debian_keyring() -> Option<PathBuf> {
    KEYRINGS.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs_err::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Sees to it that the host has the programs for a purpose.
///
/// When one of them is missing, all are installed that may be needed later, by apt, as root or
/// through sudo, after saying so. Where that cannot be done, one error says what to install.
/// Building images asks for its tools by itself, when something is to be built.
pub fn ensure_tools(purpose: Purpose, progress: &dyn Progress) -> Result<(), Error> {
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if missing_tools(purpose, is_root(), &is_there).is_empty() {
        return Ok(());
    }
    let missing = missing_tools(Purpose::Build, is_root(), &is_there);
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let line = apt_line(&packages);
    let lacking = |missing: &[(&str, &str)], remedy| {
        let missing = missing.iter().map(|(program, _)| (*program).to_owned()).collect();
        Error::Tools { missing, remedy }
    };
    let Some(installer) = installer() else { return Err(lacking(&missing, remedy(&line))) };
    progress.note(&format!("installing what this host lacks: {line}"));
    if let Err(error) = install(&installer, &packages, progress) {
        return Err(lacking(&missing, format!("{}; it was tried: {error}", remedy(&line))));
    }
    let still = missing_tools(purpose, is_root(), &is_there);
    if still.is_empty() {
        return Ok(());
    }
    Err(lacking(&still, format!("they are not there even after `{line}`")))
}

fn is_there(program: &str) -> bool {
    command::find(program).is_some()
}

fn missing_tools(
    purpose: Purpose,
    root: bool,
    has: &dyn Fn(&str) -> bool,
) -> Vec<(&'static str, &'static str)> {
    let lacks = |(program, _): &(&str, &str)| !has(program);
    match purpose {
        Purpose::Run => return TOOLS[..RUN].iter().copied().filter(lacks).collect(),
        Purpose::Confine => return [PARSER].into_iter().filter(lacks).collect(),
        Purpose::Build => {}
    }
    let unprivileged = (!root).then_some(UNPRIVILEGED);
    let mut missing: Vec<_> = TOOLS.into_iter().chain(unprivileged).filter(lacks).collect();
    if debian_keyring().is_none() && std::env::var_os("CRYOLAB_KEYRING").is_none() {
        missing.push((KEYRINGS[1], "debian-archive-keyring"));
    }
    missing
}

fn apt_line(packages: &[&str]) -> String {
    format!("apt-get install -y --no-install-recommends {}", packages.join(" "))
}

fn remedy(line: &str) -> String {
    if has_apt() {
        format!("run as root: {line}")
    } else {
        format!("install these programs; on Debian that is: {line}")
    }
}

fn has_apt() -> bool {
    Path::new("/etc/debian_version").exists() && command::find("apt-get").is_some()
}

/// The beginning of a command line that may install packages, if there is one.
fn installer() -> Option<Vec<String>> {
    if !has_apt() {
        return None;
    }
    if is_root() {
        return Some(vec!["apt-get".to_owned()]);
    }
    let sudo = command::find("sudo")?.to_string_lossy().into_owned();
    let asks_nobody = command::run(command::tool("sudo").args(["-n", "true"])).is_ok();
    let words: &[&str] = match () {
        () if asks_nobody => &["-n"],
        () if std::io::stdin().is_terminal() => &[],
        () => return None,
    };
    let words = words.iter().copied().chain(["apt-get"]).map(str::to_owned);
    Some([sudo].into_iter().chain(words).collect())
}

/// Installs; when apt does not know the packages, its index is fetched first.
fn install(installer: &[String], packages: &[&str], progress: &dyn Progress) -> Result<(), Error> {
    let step = progress.begin("host packages");
    step.say("installing");
    if command::run(&mut apt(installer, &["install"], packages)).is_err() {
        step.say("fetching the package index");
        command::run(&mut apt(installer, &["update"], &[]))?;
        step.say("installing");
        command::run(&mut apt(installer, &["install"], packages))?;
    }
    step.finish("installed");
    Ok(())
}

fn apt(installer: &[String], verb: &[&str], packages: &[&str]) -> Command {
    let mut command = command::tool(&installer[0]);
    command.args(&installer[1..]).args(["-q=2", "-y", "--no-install-recommends"]);
    command.args(["-o", "Dpkg::Use-Pty=0"]).args(verb).args(packages);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::inherit());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_by_program_and_package() {
        let missing = missing_tools(Purpose::Build, true, &|program| program != "mkfs.erofs");
        assert!(missing.contains(&("mkfs.erofs", "erofs-utils")));
        assert!(!missing.iter().any(|(program, _)| *program == "newuidmap"));
        let missing = missing_tools(Purpose::Build, false, &|_| false);
        assert!(missing.contains(&("newuidmap", "uidmap")));
    }

    #[test]
    fn who_only_runs_nodes_needs_no_builder() {
        let builders = ["mmdebstrap", "depmod", "newuidmap"];
        let has = |program: &str| !builders.contains(&program);
        assert!(missing_tools(Purpose::Run, false, &has).is_empty());
        assert_eq!(missing_tools(Purpose::Build, false, &has).len(), builders.len());
    }
}
