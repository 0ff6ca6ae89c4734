//! `/proc/PID/limits`, by the names of setrlimit(2).

use crate::error::Result;
use crate::facts::Facts;
use crate::pod::{Pod, Task};
use crate::{read, registry};

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
    let (words, rest) = line.split_at_checked(COLUMN).unwrap_or((line, ""));
    let words = words.trim();
    let name = registry::limit(words).map(str::to_owned);
    (name.unwrap_or_else(|| words.to_lowercase().replace(' ', "_")), rest)
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
