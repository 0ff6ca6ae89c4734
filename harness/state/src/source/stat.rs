//! `/proc/PID/task/TID/stat`: the fields of proc_pid_stat(5) that `status` does not show.

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Pod, Task, Thread};
use crate::read;
use crate::registry::STAT_FIELDS;

/// Fields that `status` tells, and better.
const ELSEWHERE: &[&str] =
    &["ppid", "pgrp", "session", "signal", "blocked", "sigignore", "sigcatch"];

/// What is still to be seen of a task that has ended.
const OF_ZOMBIE: &[&str] = &["state", "exit_signal", "exit_code"];

/// What differs between the threads of a task; the rest is told by the first.
const OF_THREAD: &[&str] = &[
    "state",
    "flags",
    "minflt",
    "majflt",
    "utime",
    "stime",
    "priority",
    "nice",
    "starttime",
    "exit_signal",
    "processor",
    "rt_priority",
    "policy",
];

pub(crate) fn thread(pod: &Pod<'_>, task: &Task, thread: &Thread, facts: &mut Facts) -> Result<()> {
    let path = thread.proc.join("stat");
    let text = read::text(&path)?;
    let (_, rest) =
        text.rsplit_once(") ").ok_or_else(|| Error::form(&path, "no name in parentheses"))?;
    let values: Vec<&str> = rest.split_whitespace().collect();
    for (index, &value) in values.iter().enumerate() {
        match STAT_FIELDS.get(index).copied() {
            Some(field) if ELSEWHERE.contains(&field) => {}
            Some(field) if task.zombie && !OF_ZOMBIE.contains(&field) => {}
            Some(field) if !thread.is_first() && !OF_THREAD.contains(&field) => {}
            Some("nice") => facts.put(format!("{}.nice", thread.name), value),
            Some("state") => facts.put(format!("{}.state", thread.name), lasting(value)),
            Some("tpgid") => {
                let group = value.parse::<i32>().map(|group| foreground(pod, group));
                let group = group.map_err(|_| Error::form(&path, "tpgid is no number"))?;
                facts.put(format!("{}.stat.tpgid", thread.name), group);
            }
            Some(field) => facts.put(format!("{}.stat.{field}", thread.name), value),
            None => facts.put(format!("{}.stat.field_{}", thread.name, index + 3), value),
        }
    }
    Ok(())
}

/// Sleeping, running and frozen are one thing to a task that is held; these are not.
fn lasting(state: &str) -> &str {
    match state {
        "T" => "stopped",
        "Z" | "X" => "zombie",
        _ => "alive",
    }
}

fn foreground(pod: &Pod<'_>, group: i32) -> String {
    if group < 0 { group.to_string() } else { pod.inner(group) }
}
