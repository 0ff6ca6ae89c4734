//! KVM or TCG: what really works here.
//!
//! A `/dev/kvm` that opens is no proof. Below some hypervisors a stock kernel hangs under it, or
//! QEMU dies on an unknown register. So a kernel is booted up to the point where it would run
//! init; what came out is remembered until the host boots again.
//!
//! How much faster than TCG a machine is stands here as well: see [`Pace`].

use std::fmt;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use crate::node::Started;
use crate::process::Birth;
use crate::{Error, Machine, Qemu, Seat};

const DEVICE: &str = "/dev/kvm";

/// A kernel under a working KVM gets to its init within two seconds.
const PROBE: Duration = Duration::from_secs(10);

/// How a guest's instructions are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// By the processor.
    Kvm,
    /// By QEMU's translation: works everywhere, about ten times slower.
    Tcg,
}

/// How fast a machine is, as far as deadlines ask.
///
/// Every deadline of a node is given as what the thing may take under TCG in real time, by
/// whoever knows the thing, and scaled here for the machine that it happens on: the host's
/// patience and the guest's own deadline together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Under KVM.
    Quick,
    /// Under TCG in real time.
    Emulated,
    /// Under TCG by instructions, which takes two to three times as long.
    Counted,
}

impl Pace {
    /// What is this short is for a host that is busy, and not for the guest's own speed.
    const LEAST: Duration = Duration::from_secs(5);

    /// How long the host waits for what may take `emulated` under TCG in real time.
    #[must_use]
    pub fn on_host(self, emulated: Duration) -> Duration {
        match self {
            Pace::Quick => (emulated / 4).max(emulated.min(Pace::LEAST)),
            Pace::Emulated => emulated,
            Pace::Counted => emulated.saturating_mul(3),
        }
    }

    /// How long a guest gives itself for the same, by its own clock: never so long that the host
    /// would lose patience first with a guest that waits. (Where instructions are counted, it is
    /// that clock which goes slower.)
    #[must_use]
    pub fn in_guest(self, emulated: Duration) -> Duration {
        match self {
            Pace::Quick => self.on_host(emulated),
            Pace::Emulated | Pace::Counted => emulated,
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accel::Kvm => "KVM",
            Accel::Tcg => "TCG",
        })
    }
}

/// What the user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setting {
    /// KVM where it works, else TCG.
    #[default]
    Auto,
    /// KVM, or an error.
    Kvm,
    /// TCG.
    Tcg,
}

/// An accelerator, and why it is this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The accelerator.
    pub accel: Accel,
    /// A sentence for people.
    pub reason: String,
}

/// What a guest is tried with.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The QEMU that is going to be used.
    pub qemu: Qemu,
    /// A kernel as it is going to be booted.
    pub kernel: PathBuf,
    /// Its initramfs.
    pub initramfs: PathBuf,
}

/// Chooses the accelerator. For [`Setting::Auto`] a boot may be tried, of ten seconds at most,
/// whose outcome is kept in the folder `cache`.
///
/// # Errors
/// When KVM was asked for and `/dev/kvm` cannot be opened, or the cache cannot be written.
pub async fn choose(setting: Setting, trial: &Trial, cache: &Path) -> Result<Choice, Error> {
    let chosen = |accel, reason: &str| Choice { accel, reason: reason.to_owned() };
    match (setting, openable()) {
        (Setting::Tcg, _) => Ok(chosen(Accel::Tcg, "TCG was asked for")),
        (Setting::Kvm, Ok(())) => Ok(chosen(Accel::Kvm, "KVM was asked for")),
        (Setting::Kvm, Err(why)) => Err(Error::NoKvm { why }),
        (Setting::Auto, Err(why)) => Ok(chosen(Accel::Tcg, &why)),
        (Setting::Auto, Ok(())) => remembered(trial, cache).await,
    }
}

fn openable() -> Result<(), String> {
    match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{DEVICE}: {error}")),
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Memory {
    key: Key,
    choice: Choice,
}

/// What must be the same for an outcome to hold.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    qemu: String,
    host_kernel: String,
    host_boot: String,
}

impl Key {
    fn new(qemu: &Qemu) -> Key {
        let read = |path: &str| {
            std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
        };
        Key {
            qemu: format!("{} {}", qemu.program.display(), qemu.version),
            host_kernel: read("/proc/sys/kernel/osrelease"),
            host_boot: read("/proc/sys/kernel/random/boot_id"),
        }
    }
}

async fn remembered(trial: &Trial, cache: &Path) -> Result<Choice, Error> {
    let file = cache.join("accel.json");
    let key = Key::new(&trial.qemu);
    // A memory that cannot be read is none: then it is tried again.
    let memory = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(Memory { key: known, choice }) = memory
        && known == key
    {
        return Ok(choice);
    }
    let choice = probe(trial).await?;
    remember(&file, cache, &Memory { key, choice: choice.clone() })?;
    Ok(choice)
}

/// Writes the memory as a whole or not at all, whoever else does the same.
fn remember(file: &Path, cache: &Path, memory: &Memory) -> Result<(), Error> {
    let write = || {
        std::fs::create_dir_all(cache)?;
        let mut new = tempfile::NamedTempFile::new_in(cache)?;
        serde_json::to_writer_pretty(&mut new, memory)?;
        new.persist(file)?;
        Ok(())
    };
    write().map_err(Error::host(format!("write {}", file.display())))
}

/// Boots a kernel under KVM, until it says that it runs init.
async fn probe(trial: &Trial) -> Result<Choice, Error> {
    let Trial { qemu, kernel, initramfs } = trial;
    let mut machine = Machine::new(qemu.clone(), Accel::Kvm, kernel, initramfs);
    machine.memory_mib = 512;
    machine.command_line.push("loglevel=7".to_owned());
    let log = tempfile::NamedTempFile::new().map_err(Error::host("make a temporary file"))?;
    let began = Instant::now();
    let outcome = timeout(PROBE, try_boot(&machine, log.path())).await;
    let refused = |why: String| Choice {
        accel: Accel::Tcg,
        reason: format!("{DEVICE} opens, but a kernel does not boot under KVM: {why}"),
    };
    Ok(match outcome {
        Ok(Ok(())) => Choice {
            accel: Accel::Kvm,
            reason: format!("a kernel booted under KVM in {} ms", began.elapsed().as_millis()),
        },
        Ok(Err(error)) => refused(first_line(&error)),
        Err(_) => refused(format!("nothing came of it within {} s", PROBE.as_secs())),
    })
}

async fn try_boot(machine: &Machine, log: &Path) -> Result<(), Error> {
    let started = Started::start(machine, Seat::new("probe", log), Birth::BOOT).await?;
    let for_ever = Duration::MAX;
    let until_init = async {
        let signs = started.life.console.shows(|signs| signs.init).await;
        if signs.init { Ok(()) } else { std::future::pending().await }
    };
    // Whoever calls has a deadline of its own.
    started.life.within("probe", for_ever, until_init).await
}

fn first_line(error: &Error) -> String {
    let qemu = match error {
        Error::Exited { stderr, .. } => stderr.first(),
        _ => None,
    };
    let text = error.to_string();
    qemu.cloned().unwrap_or_else(|| text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    fn trial() -> Trial {
        let version = Version { major: 10, minor: 0, micro: 0 };
        let qemu = Qemu { program: "qemu-that-is-not-there".into(), version };
        Trial { qemu, kernel: "bzImage".into(), initramfs: "initramfs".into() }
    }

    #[test]
    fn deadlines_scale_and_no_host_gives_up_before_its_guest() {
        let [quick, emulated, counted] = [Pace::Quick, Pace::Emulated, Pace::Counted]
            .map(|pace| pace.on_host(Duration::from_secs(120)).as_secs());
        assert_eq!((quick, emulated, counted), (30, 120, 360));
        for pace in [Pace::Quick, Pace::Emulated, Pace::Counted] {
            for seconds in [1, 5, 10, 60, 180] {
                let time = Duration::from_secs(seconds);
                assert!(pace.in_guest(time) <= pace.on_host(time), "{pace:?}, {time:?}");
                assert!(pace.on_host(time) >= time.min(Pace::LEAST), "{pace:?}, {time:?}");
            }
            assert!(pace.on_host(Duration::MAX) > Duration::from_secs(1 << 40));
        }
    }

    #[tokio::test]
    async fn what_was_found_before_is_not_tried_again() {
        let cache = tempfile::tempdir().expect("a folder");
        let choice = Choice { accel: Accel::Kvm, reason: "tried before".to_owned() };
        let memory = Memory { key: Key::new(&trial().qemu), choice: choice.clone() };
        remember(&cache.path().join("accel.json"), cache.path(), &memory).expect("written");
        assert_eq!(remembered(&trial(), cache.path()).await.expect("remembered"), choice);
    }

    #[tokio::test]
    async fn what_was_found_with_another_qemu_does_not_count() {
        let cache = tempfile::tempdir().expect("a folder");
        let choice = Choice { accel: Accel::Kvm, reason: "tried before".to_owned() };
        let mut memory = Memory { key: Key::new(&trial().qemu), choice };
        memory.key.qemu.push('1');
        remember(&cache.path().join("accel.json"), cache.path(), &memory).expect("written");
        let choice = remembered(&trial(), cache.path()).await.expect("tried");
        assert_eq!(choice.accel, Accel::Tcg);
        assert!(choice.reason.contains("qemu-that-is-not-there"), "{}", choice.reason);
    }
}
