//! Multicast: groups that links listen to, senders that are filtered, anycast and flow labels.

use crate::error::Result;
use crate::facts::Facts;
use crate::read;

/// A table of which each row stands alone.
#[derive(Debug)]
struct Table {
    name: &'static str,
    /// Columns that tell rows apart.
    keys: &'static [usize],
    /// Columns that are written down.
    columns: &'static [(&'static str, usize)],
}

const fn rows(
    name: &'static str,
    keys: &'static [usize],
    columns: &'static [(&'static str, usize)],
) -> Table {
    Table { name, keys, columns }
}

const TABLES: &[Table] = &[
    rows("igmp6", &[1, 2], &[("users", 3), ("flags", 4)]),
    rows("anycast6", &[1, 2], &[("users", 3)]),
    rows("mcfilter", &[1, 2, 3], &[("inc", 4), ("exc", 5)]),
    rows("mcfilter6", &[1, 2, 3], &[("inc", 4), ("exc", 5)]),
    rows("ip6_flowlabel", &[0], &[("share", 1), ("users", 3), ("destination", 6)]),
];

/// Tables of the network namespace that the calling thread is in.
pub(crate) fn pod(facts: &mut Facts) -> Result<()> {
    groups(&table("igmp")?, facts);
    for Table { name, keys, columns } in TABLES {
        let text = table(name)?;
        for line in text.lines().filter(|line| !is_header(line)) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let word = |at: &usize| words.get(*at).copied().unwrap_or_default();
            let key: Vec<&str> = keys.iter().map(word).collect();
            for (column, at) in *columns {
                facts.put(format!("pod.net.{name}.{}.{column}", key.join(" ")), word(at));
            }
        }
    }
    Ok(())
}

/// A text of `/proc/net`; empty where the kernel has no such table.
fn table(name: &str) -> Result<String> {
    let text = read::text_if_shown(format!("/proc/thread-self/net/{name}"))?;
    Ok(text.unwrap_or_default())
}

/// Some tables begin with the names of their columns.
fn is_header(line: &str) -> bool {
    line.starts_with("Idx") || line.starts_with("Label")
}

/// Groups of IPv4: a line for each link, and lines below it for its groups.
fn groups(text: &str, facts: &mut Facts) {
    let mut link = "";
    for line in text.lines().filter(|line| !is_header(line)) {
        let mut words = line.split_whitespace();
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if line.starts_with(char::is_whitespace) {
            facts.put(format!("pod.net.igmp.{link} {first}.users"), second);
        } else {
            link = second;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_stand_below_their_link() {
        let text = "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
                    2\teth0      :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n";
        let mut facts = Facts::default();
        groups(text, &mut facts);
        let names: Vec<&String> = facts.facts.keys().collect();
        assert_eq!(names, ["pod.net.igmp.eth0 010000E0.users"]);
    }
}
