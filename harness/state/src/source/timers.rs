//! `/proc/PID/timers`: POSIX timers, by their ids.

use crate::error::Result;
use crate::facts::Facts;
use crate::pod::{Pod, Task};
use crate::read;

pub(crate) fn task(pod: &Pod<'_>, task: &Task, facts: &mut Facts) -> Result<()> {
    let text = read::text_if_shown(task.proc().join("timers"))?.unwrap_or_default();
    let mut timer = String::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once(": ")) {
        if key == "ID" {
            timer = format!("{}.timer.{}", task.name, value.trim());
        }
        let value = if key == "notify" { receiver(pod, value) } else { value.to_owned() };
        facts.put(format!("{timer}.{}", key.to_lowercase()), value);
    }
    Ok(())
}

/// `signal/pid.1234`: the pid is the reader's.
fn receiver(pod: &Pod<'_>, value: &str) -> String {
    match value.rsplit_once('.') {
        Some((how, pid)) => match pid.parse() {
            Ok(pid) => format!("{how}.{}", pod.inner(pid)),
            Err(_) => value.to_owned(),
        },
        None => value.to_owned(),
    }
}
