//! `/proc/PID/task/TID/status`: every line, whatever it is called.

use crate::error::Result;
use crate::facts::Facts;
use crate::pod::{Pod, Task, Thread};
use crate::read;

/// What is still to be seen of a task that has ended; its masks, capabilities and so on are of no
/// use to anybody.
const OF_ZOMBIE: &[&str] =
    &["name", "tgid", "ppid", "uid", "gid", "nspid", "nstgid", "nspgid", "nssid"];

/// Lines that tell the same for every thread of a task, by how they begin: told by the first.
const OF_TASK: &[&str] = &[
    "vm",
    "rss",
    "hugetlb",
    "coredumping",
    "thp_",
    "threads",
    "untag_mask",
    "kthread",
    "fdsize",
    "tgid",
    "ngid",
    "ppid",
    "nstgid",
    "nspgid",
    "nssid",
    "shdpnd",
    "sigign",
    "sigcgt",
    "sigq",
    "mems_",
];

pub(crate) fn thread(pod: &Pod<'_>, task: &Task, thread: &Thread, facts: &mut Facts) -> Result<()> {
    let text = read::text(thread.proc.join("status"))?;
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let key = key.to_lowercase();
        let told_by_first = OF_TASK.iter().any(|head| key.starts_with(head));
        if (task.zombie && !OF_ZOMBIE.contains(&key.as_str()))
            || (told_by_first && !thread.is_first())
        {
            continue;
        }
        let value = seen_inside(pod, task, &key, value);
        facts.put(format!("{}.status.{key}", thread.name), value);
    }
    Ok(())
}

/// The value as a reader in the container would see it.
fn seen_inside(pod: &Pod<'_>, task: &Task, key: &str, value: &str) -> String {
    let words: Vec<&str> = value.split_whitespace().collect();
    match key {
        "tgid" | "ppid" | "tracerpid" => translated(pod, words.first()),
        "nspid" | "nstgid" | "nspgid" | "nssid" => {
            words.get(task.level..).unwrap_or_default().join(" ")
        }
        "name" => value.trim_start().to_owned(),
        _ => words.join(" "),
    }
}

fn translated(pod: &Pod<'_>, pid: Option<&&str>) -> String {
    pod.inner(pid.and_then(|pid| pid.parse().ok()).unwrap_or_default())
}
