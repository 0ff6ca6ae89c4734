//! Socket tables of `/proc/net`: also sockets that no descriptor leads to show here.

use crate::error::Result;
use crate::facts::Facts;
use crate::read;

/// Tables whose rows begin with number, local and remote address.
const INTERNET: &[&str] = &["tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6"];

/// Tables that are told by the number of their rows; the rows have no key that lasts.
const COUNTED: &[&str] = &["unix", "netlink", "packet", "icmp", "icmp6"];

const TIME_WAIT: &str = "06";

/// Tables of the network namespace that the calling thread is in.
pub(crate) fn pod(facts: &mut Facts) -> Result<()> {
    for table in INTERNET {
        let text = read::text_if_shown(format!("/proc/thread-self/net/{table}"))?;
        for line in text.unwrap_or_default().lines().skip(1) {
            row(table, line, facts);
        }
    }
    for table in COUNTED {
        if let Some(text) = read::text_if_shown(format!("/proc/thread-self/net/{table}"))? {
            let rows = text.lines().count().saturating_sub(1);
            facts.put(format!("pod.net.{table}.rows"), rows);
        }
    }
    Ok(())
}

/// `0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1234 ...`
fn row(table: &str, line: &str, facts: &mut Facts) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let table = if word(3) == TIME_WAIT { format!("{table}_time_wait") } else { table.to_owned() };
    let name = facts.unused(&format!("pod.net.{table}.{}-{}", word(1), word(2)), "st");
    let (sent, received) = word(4).split_once(':').unwrap_or_default();
    let (timer, when) = word(5).split_once(':').unwrap_or_default();
    for (key, value) in [
        ("st", word(3)),
        ("tx_queue", sent),
        ("rx_queue", received),
        ("tr", timer),
        ("tm_when", when),
        ("retrnsmt", word(6)),
        ("uid", word(7)),
        ("timeout", word(8)),
        ("inode", word(9)),
    ] {
        facts.put(format!("{name}.{key}"), value);
    }
}
