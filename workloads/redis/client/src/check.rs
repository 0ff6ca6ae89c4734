//! Checks every key and the server, and goes on working.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use observer::Lost;
use redis::{Connection, Value};

use crate::dataset::{Key, REMEMBERED};
use crate::fill::{FILLED, SIZE};
use crate::server;

/// Keys that are read in one round trip.
const BATCH: usize = 250;

/// What a key is now: type, expiry in Unix milliseconds, time to live in milliseconds, content.
type Found = (String, i64, i64, Value);

/// Compares everything with what was filled in.
pub(crate) fn check(connection: &mut Connection) -> Result<Lost> {
    let remembered = remembered(connection)?;
    let mut lost = Lost::default();
    check_server(connection, &remembered, &mut lost)?;
    let filled_ms = number(&remembered, FILLED)?;
    let keys: Vec<Key> = Key::all().collect();
    for batch in keys.chunks(BATCH) {
        let now_ms = server::now_ms(connection)?;
        let found = read(connection, batch)
            .with_context(|| format!("read the keys from {} on", batch[0].name()))?;
        for (key, found) in batch.iter().zip(found) {
            check_key(*key, found, filled_ms, now_ms, &mut lost);
        }
    }
    go_on(connection, &mut lost)?;
    Ok(lost)
}

fn remembered(connection: &mut Connection) -> Result<BTreeMap<String, String>> {
    let facts: BTreeMap<String, String> =
        redis::cmd("HGETALL").arg(REMEMBERED).query(connection).context(REMEMBERED)?;
    ensure!(
        !facts.is_empty(),
        "there is no {REMEMBERED}: the database was never filled, or is lost"
    );
    Ok(facts)
}

fn number(facts: &BTreeMap<String, String>, name: &str) -> Result<u64> {
    let text = facts.get(name).with_context(|| format!("{REMEMBERED} has no {name}"))?;
    text.parse().with_context(|| format!("{REMEMBERED}: {name} is `{text}`"))
}

/// The same process answers, it has all keys, and its counters went on.
fn check_server(
    connection: &mut Connection,
    remembered: &BTreeMap<String, String>,
    lost: &mut Lost,
) -> Result<()> {
    let info = server::info(connection)?;
    for (name, found) in server::same(connection)? {
        lost.equal(&format!("server.{name}"), &remembered.get(&name), &Some(&found));
    }
    lost.equal("server.size", &number(remembered, SIZE)?, &server::size(connection)?);
    let (before, now) = (number(remembered, server::COMMANDS)?, number(&info, server::COMMANDS)?);
    lost.holds("server.commands", now > before, &format!("more than {before}"), now);
    Ok(())
}

fn read(connection: &mut Connection, keys: &[Key]) -> Result<Vec<Found>> {
    let mut pipe = redis::pipe();
    for key in keys {
        let name = key.name();
        pipe.cmd("TYPE").arg(&name).cmd("PEXPIRETIME").arg(&name).cmd("PTTL").arg(&name);
        pipe.add_command(key.read());
    }
    let answers: Vec<Value> = pipe.query(connection)?;
    let found = |four: &[Value]| match four {
        [kind, expires, left, content] => Ok((
            redis::from_redis_value(kind.clone())?,
            redis::from_redis_value(expires.clone())?,
            redis::from_redis_value(left.clone())?,
            content.clone(),
        )),
        other => anyhow::bail!("{} answers to four commands", other.len()),
    };
    answers.chunks(4).map(found).collect()
}

fn check_key(key: Key, found: Found, filled_ms: u64, now_ms: u64, lost: &mut Lost) {
    let (kind, expires, left, content) = found;
    let name = |what: &str| format!("key.{}.{what}", key.name());
    lost.equal(&name("type"), key.kind.name(), &kind);
    let expected = key.expires_ms(filled_ms).and_then(|at| i64::try_from(at).ok());
    lost.equal(&name("expires"), &expected.unwrap_or(-1), &expires);
    if let Some(at) = expected {
        let right = at - i64::try_from(now_ms).unwrap_or(i64::MAX);
        let near = (right - 60_000..=right).contains(&left);
        lost.holds(&name("ttl"), near, &format!("about {right}"), left);
    }
    lost.words(&name("content"), &key.content(), &key.words(content));
}

/// Writes and reads some more, and leaves no trace, so that a check can be repeated.
fn go_on(connection: &mut Connection, lost: &mut Lost) -> Result<()> {
    const NAME: &str = "cryolab:goes-on";
    let before = server::size(connection)?;
    let (count, length, first, size): (i64, i64, String, u64) = redis::pipe()
        .cmd("DEL")
        .arg(NAME)
        .ignore()
        .cmd("INCRBY")
        .arg(NAME)
        .arg(41)
        .ignore()
        .cmd("INCR")
        .arg(NAME)
        .cmd("APPEND")
        .arg(NAME)
        .arg(" is the answer")
        .cmd("GET")
        .arg(NAME)
        .cmd("DBSIZE")
        .cmd("DEL")
        .arg(NAME)
        .ignore()
        .query(connection)
        .context("write some more")?;
    lost.equal("goes_on.count", &42, &count);
    lost.equal("goes_on.length", &16, &length);
    lost.equal("goes_on.text", "42 is the answer", &first);
    lost.equal("goes_on.size", &(before + 1), &size);
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const FILLED_MS: u64 = 1_700_000_000_000;

    /// A string that expires, as it is a second after it was filled in.
    fn right() -> (Key, Found) {
        let key = Key::all().next().expect("a key");
        let expires = key.expires_ms(FILLED_MS).expect("it expires") as i64;
        let left = expires - FILLED_MS as i64 - 1000;
        (key, ("string".to_owned(), expires, left, Value::BulkString(key.content().concat())))
    }

    fn lines(found: Found) -> Vec<String> {
        let mut lost = Lost::default();
        check_key(right().0, found, FILLED_MS, FILLED_MS + 1000, &mut lost);
        lost.lines()
    }

    #[test]
    fn a_key_as_it_was_is_intact() {
        assert_eq!(lines(right().1), ["verdict: intact"]);
    }

    #[rstest]
    #[case("type", |found: &mut Found| found.0 = "none".to_owned())]
    #[case("expires", |found: &mut Found| found.1 = -1)]
    #[case("ttl", |found: &mut Found| found.2 += 3_600_000)]
    #[case("content", |found: &mut Found| found.3 = Value::BulkString(b"other".to_vec()))]
    fn what_is_wrong_of_a_key_is_named(#[case] what: &str, #[case] spoil: fn(&mut Found)) {
        let mut found = right().1;
        spoil(&mut found);
        let lines = lines(found);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with(&format!("lost: key.string:0.{what}: ")), "{lines:?}");
    }
}
