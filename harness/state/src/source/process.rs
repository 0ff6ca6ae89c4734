//! Files of `/proc/PID` that are read as they are: one value each, or a list.

use std::path::Path;

use crate::error::Result;
use crate::facts::Facts;
use crate::pod::{Pod, Task, Thread};
use crate::{read, registry};

/// Files of one value that belong to a thread.
const THREAD_FILES: &[&str] = &["comm", "personality", "timerslack_ns", "cpuset"];

/// Files of one value that belong to the whole task.
const TASK_FILES: &[&str] = &[
    "coredump_filter",
    "gid_map",
    "loginuid",
    "oom_score_adj",
    "projid_map",
    "sessionid",
    "setgroups",
    "uid_map",
    "timens_offsets",
    "patch_state",
];

/// Security labels, one set a thread.
const LABELS: &[&str] = &[
    "current",
    "exec",
    "fscreate",
    "keycreate",
    "prev",
    "sockcreate",
    "apparmor/current",
    "apparmor/exec",
    "apparmor/prev",
    "smack/current",
];

/// The one of AppArmor that counts.
const CONFINED_BY: &str = "apparmor/current";

/// The policies of AppArmor that are loaded.
const POLICIES: &str = "/sys/kernel/security/apparmor/policy/profiles";

pub(crate) fn thread(_: &Pod<'_>, _: &Task, thread: &Thread, facts: &mut Facts) -> Result<()> {
    // timerslack_ns is in the folder of a process only, but a thread's folder may be named there.
    let by_tid = format!("/proc/{}", thread.tid);
    for &name in THREAD_FILES {
        one_value(Path::new(&by_tid), &thread.name, name, facts)?;
    }
    for &label in LABELS {
        let path = thread.proc.join("attr").join(label);
        if let Some(text) = read::text_if_shown(path)? {
            let value = read::one_line(text.trim_end_matches(['\0', '\n']).as_bytes());
            if label == CONFINED_BY {
                policies(&thread.name, &value, facts)?;
            }
            facts.put(format!("{}.attr.{}", thread.name, label.replace('/', ".")), value);
        }
    }
    Ok(())
}

/// Digests of the policies in an AppArmor label such as `a//&b (enforce)`: what a name stands for.
fn policies(thread: &str, label: &str, facts: &mut Facts) -> Result<()> {
    let names = label.rsplit_once(" (").map_or(label, |(names, _)| names);
    let names: Vec<&str> = names.split("//&").filter(|name| *name != "unconfined").collect();
    if names.iter().all(|name| name.is_empty()) {
        return Ok(());
    }
    for folder in read::folders(POLICIES)? {
        let name = read::text(folder.join("name"))?;
        if names.contains(&name.trim()) {
            let digest = read::text(folder.join("raw_sha256"))?;
            facts.put(format!("{thread}.policy.{}.raw_sha256", name.trim()), digest.trim());
        }
    }
    Ok(())
}

pub(crate) fn task(_: &Pod<'_>, task: &Task, facts: &mut Facts) -> Result<()> {
    for &name in TASK_FILES {
        one_value(&task.proc(), &task.name, name, facts)?;
    }
    autogroup(task, facts)?;
    for name in ["exe", "cwd", "root"] {
        facts.put(format!("{}.{name}", task.name), read::link(task.proc().join(name))?);
    }
    let arguments = read::bytes(task.proc().join("cmdline"))?;
    facts.put(format!("{}.cmdline", task.name), read::one_line(&arguments));
    environment(task, facts)?;
    auxiliary(task, facts)
}

fn one_value(proc: &Path, prefix: &str, name: &str, facts: &mut Facts) -> Result<()> {
    match read::text_if_shown(proc.join(name))? {
        Some(text) => {
            let lines: Vec<String> = text.lines().map(words).collect();
            facts.put(format!("{prefix}.{name}"), lines.join(", "));
        }
        None if Path::new("/proc/self").join(name).exists() => {}
        None => facts.not_offered(format!("task.*{name}"), format!("no /proc/PID/{name} here")),
    }
    Ok(())
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `/autogroup-12 nice 0`: the number is an id, the nice value is state.
fn autogroup(task: &Task, facts: &mut Facts) -> Result<()> {
    let text = read::text_if_shown(task.proc().join("autogroup"))?.unwrap_or_default();
    if let Some((group, nice)) = text.trim_end().split_once(" nice ") {
        facts.put(format!("{}.autogroup.id", task.name), group);
        facts.put(format!("{}.autogroup.nice", task.name), nice);
    }
    Ok(())
}

/// The environment as the kernel shows it; variables may repeat, and need not have a `=`.
fn environment(task: &Task, facts: &mut Facts) -> Result<()> {
    let bytes = read::bytes(task.proc().join("environ"))?;
    facts.content(format!("{}.environ", task.name), &bytes);
    for entry in bytes.split(|&byte| byte == 0).filter(|entry| !entry.is_empty()) {
        let entry = read::one_line(entry);
        let (key, value) = entry.split_once('=').unwrap_or((&entry, ""));
        let name = facts.unused(&format!("{}.environ.{key}", task.name), "value");
        facts.put(format!("{name}.value"), value);
    }
    Ok(())
}

/// The auxiliary vector by the kernel's numbers, see getauxval(3).
fn auxiliary(task: &Task, facts: &mut Facts) -> Result<()> {
    let bytes = read::bytes(task.proc().join("auxv"))?;
    let words: Vec<u64> = bytes
        .chunks_exact(8)
        .map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default()))
        .collect();
    for entry in words.chunks_exact(2).take_while(|entry| entry[0] != 0) {
        let name = registry::auxiliary(entry[0]).map(str::to_owned);
        let name = name.unwrap_or_else(|| format!("at_{}", entry[0]));
        facts.put(format!("{}.auxv.{name}", task.name), format!("{:#x}", entry[1]));
    }
    Ok(())
}
