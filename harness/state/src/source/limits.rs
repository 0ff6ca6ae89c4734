//! `/proc/PID/limits`, by the names of setrlimit(2).

use crate::error::Result;
use crate::facts::Facts;
use crate::pod::{Pod, Task};
use crate::read;

/// The kernel's words in `limits`, and the resource.
const LIMITS: &[(&str, &str)] = &[
    ("Max cpu time", "cpu"),
    ("Max file size", "fsize"),
    ("Max data size", "data"),
    ("Max stack size", "stack"),
    ("Max core file size", "core"),
    ("Max resident set", "rss"),
    ("Max processes", "nproc"),
    ("Max open files", "nofile"),
    ("Max locked memory", "memlock"),
    ("Max address space", "as"),
    ("Max file locks", "locks"),
    ("Max pending signals", "sigpending"),
    ("Max msgqueue size", "msgqueue"),
    ("Max nice priority", "nice"),
    ("Max realtime priority", "rtprio"),
    ("Max realtime timeout", "rttime"),
];

pub(crate) fn task(_: &Pod<'_>, task: &Task, facts: &mut Facts) -> Result<()> {
    let text = read::text(task.proc().join("limits"))?;
    for line in text.lines().skip(1) {
        let (name, rest) = resource(line);
        let mut values = rest.split_whitespace();
        let soft = values.next().unwrap_or_default();
        let hard = values.next().unwrap_or_default();
        facts.put(format!("{}.limits.{name}", task.name), format!("{soft}:{hard}"));
    }
    Ok(())
}

/// A resource that is not in the table keeps the kernel's words.
fn resource(line: &str) -> (String, &str) {
    const COLUMN: usize = 26;
    for (words, name) in LIMITS {
        if let Some(rest) = line.strip_prefix(words) {
            return ((*name).to_owned(), rest);
        }
    }
    let (words, rest) = line.split_at_checked(COLUMN).unwrap_or((line, ""));
    (words.trim().to_lowercase().replace(' ', "_"), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_the_names_of_setrlimit() {
        let line = "Max open files            1024                 4096                 files     ";
        assert_eq!(resource(line).0, "nofile");
        let line = "Max new things            1                    2                    things    ";
        assert_eq!(resource(line).0, "max_new_things");
    }
}
