//! Who the process is and what it may do.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd;

use witness::place::Place;
use witness::proc;
use witness::sys::process;
use witness::{Context, Findings, Witness};

/// Resources whose limits are watched.
const RESOURCES: [(&str, Resource); 6] = [
    ("core", Resource::RLIMIT_CORE),
    ("data", Resource::RLIMIT_DATA),
    ("memlock", Resource::RLIMIT_MEMLOCK),
    ("nofile", Resource::RLIMIT_NOFILE),
    ("sigpending", Resource::RLIMIT_SIGPENDING),
    ("stack", Resource::RLIMIT_STACK),
];

/// Lines of `/proc/self/status` that must not change.
const STATUS: [&str; 15] = [
    "Name",
    "Umask",
    "Tgid",
    "Pid",
    "Uid",
    "Gid",
    "Groups",
    "NSpid",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
];

/// Gives the process attributes that differ from those of a program just started.
pub(crate) fn set_up(place: &Place) -> io::Result<()> {
    let work = place.path("work");
    enter(&work).context(work.display())?;
    umask(Mode::from_bits_truncate(0o027));
    process::set_nice(3).context("nice")?;
    fs::write("/proc/self/oom_score_adj", "321").context("oom_score_adj")?;
    prctl::set_child_subreaper(true).context("child subreaper")?;
    lower(Resource::RLIMIT_NOFILE, 300)?;
    lower(Resource::RLIMIT_CORE, 0)?;
    lower(Resource::RLIMIT_SIGPENDING, 777)
}

#[expect(clippy::disallowed_methods, reason = "there is no other thread yet, and it is state")]
fn enter(folder: &std::path::Path) -> io::Result<()> {
    std::env::set_current_dir(folder)
}

fn lower(resource: Resource, soft: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    setrlimit(resource, soft.min(hard), hard).context(format!("{resource:?}"))
}

/// Everything as it was recorded.
#[derive(Debug)]
pub(crate) struct Identity {
    recorded: BTreeMap<String, String>,
}

impl Identity {
    /// Records what is.
    pub(crate) fn record() -> io::Result<Self> {
        Ok(Identity { recorded: now()? })
    }
}

impl Witness for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn check(&mut self, findings: &mut Findings) {
        let Some(found) = findings.tried("read", now()) else { return };
        for (name, expected) in &self.recorded {
            let found = found.get(name).map_or("nothing", String::as_str);
            findings.equal(name, expected.as_str(), found);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        findings.tried("nice.set", process::set_nice(6));
        findings.equal("nice.after", 6, process::nice());
    }
}

/// Everything that is watched, by name.
fn now() -> io::Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::new();
    let mut fact = |name: &str, value: String| facts.insert(name.to_owned(), value);
    let status = proc::text("/proc/self/status")?;
    for (name, value) in status.lines().filter_map(|line| line.split_once(':')) {
        if STATUS.contains(&name) {
            fact(&name.to_lowercase(), value.trim().to_owned());
        }
    }
    for (name, resource) in RESOURCES {
        fact(&format!("rlimit.{name}"), format!("{:?}", getrlimit(resource)?));
    }
    for file in ["oom_score_adj", "cmdline", "environ", "comm", "personality"] {
        let value = proc::bytes(&format!("/proc/self/{file}"))?;
        fact(file, String::from_utf8_lossy(&value).trim_end().replace('\0', " "));
    }
    for file in ["cwd", "exe", "root"] {
        fact(file, fs::read_link(format!("/proc/self/{file}"))?.display().to_string());
    }
    fact("ppid", unistd::getppid().to_string());
    fact("pgid", unistd::getpgrp().to_string());
    fact("sid", unistd::getsid(None)?.to_string());
    fact("tid", unistd::gettid().to_string());
    fact("nice", process::nice().to_string());
    fact("policy", process::policy()?.to_string());
    fact("dumpable", prctl::get_dumpable()?.to_string());
    fact("child_subreaper", prctl::get_child_subreaper()?.to_string());
    Ok(facts)
}
