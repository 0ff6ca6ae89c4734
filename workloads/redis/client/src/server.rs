//! What the server says about itself.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use redis::Connection;

/// What must be the same after the event: the same process with the same memory answers.
const SAME: [&str; 5] = ["redis_version", "run_id", "process_id", "tcp_port", "master_replid"];

/// A counter of the server that only grows.
pub(crate) const COMMANDS: &str = "total_commands_processed";

/// The lines of INFO that are remembered and compared.
pub(crate) fn same(connection: &mut Connection) -> Result<BTreeMap<String, String>> {
    let mut info = info(connection)?;
    info.retain(|name, _| SAME.contains(&name.as_str()));
    Ok(info)
}

/// All of INFO.
pub(crate) fn info(connection: &mut Connection) -> Result<BTreeMap<String, String>> {
    let text: String = redis::cmd("INFO").query(connection).context("INFO")?;
    Ok(parse(&text))
}

/// The server's clock, in milliseconds of Unix time.
pub(crate) fn now_ms(connection: &mut Connection) -> Result<u64> {
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query(connection).context("TIME")?;
    Ok(seconds * 1000 + micros / 1000)
}

/// How many keys there are.
pub(crate) fn size(connection: &mut Connection) -> Result<u64> {
    redis::cmd("DBSIZE").query(connection).context("DBSIZE")
}

fn parse(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.trim_end().split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_without_its_headings() {
        let info = parse("# Server\r\nredis_version:8.0.2\r\nexecutable:/a:b\r\n\r\n# Clients\r\n");
        assert_eq!(info["redis_version"], "8.0.2");
        assert_eq!(info["executable"], "/a:b");
        assert_eq!(info.len(), 2);
    }
}
