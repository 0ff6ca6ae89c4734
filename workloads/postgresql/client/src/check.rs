//! Checks the server, its rows, pages and log, and the transaction that is open; goes on working.

use anyhow::{Context, Result, ensure};
use observer::Lost;

use crate::database::{Database, PREPARED, ROWS, SAME, content};

/// Compares everything with what was filled in.
pub(crate) fn check(database: &mut Database) -> Result<Lost> {
    let filled = database.ask("SELECT to_regclass('remembered') IS NOT NULL")?;
    ensure!(filled == "t", "there is no table `remembered`: the server was never filled");
    let mut lost = Lost::default();
    for (name, expression) in SAME {
        let now = database.ask(&format!("SELECT ({expression})::text"))?;
        lost.equal(&format!("server.{name}"), &remembered(database, name)?, &now);
    }
    check_rows(database, &mut lost)?;
    check_log(database, &mut lost)?;
    check_prepared(database, &mut lost)?;
    go_on(database, &mut lost)?;
    Ok(lost)
}

fn remembered(database: &mut Database, name: &str) -> Result<String> {
    database.ask(&format!("SELECT value FROM remembered WHERE name = '{name}'"))
}

/// Every row, by the index and by the table; no page or entry of either is damaged.
fn check_rows(database: &mut Database, lost: &mut Lost) -> Result<()> {
    let found = database.rows("SELECT content FROM kept WHERE number >= 0 ORDER BY number")?;
    lost.equal("rows", &(ROWS as usize), &found.len());
    for (number, found) in (0..ROWS).zip(&found) {
        lost.equal(&format!("row {number}"), &content(number), found);
    }
    let damage = database.rows("SELECT msg FROM verify_heapam('kept')")?;
    lost.equal("pages of the table", &Vec::new(), &damage);
    let index = database.run("SELECT bt_index_check('kept_pkey', true)");
    lost.holds("index", index.is_ok(), "nothing to complain of", index);
    Ok(())
}

/// The log is at least as long as it was, and has the records that it had: each is read and its
/// checksum verified, up to the end.
fn check_log(database: &mut Database, lost: &mut Lost) -> Result<()> {
    let (from, to) = (remembered(database, "from")?, remembered(database, "to")?);
    let is_as_long = database.ask(&format!("SELECT pg_current_wal_flush_lsn() >= '{to}'"))?;
    lost.equal("log.end", "t", is_as_long.as_str());
    let expected = remembered(database, "records")?;
    let count = format!("SELECT count(*) FROM pg_get_wal_records_info('{from}', '{to}')");
    lost.equal("log.records", &expected, &database.ask(&count)?);
    let rest =
        format!("SELECT count(*) FROM pg_get_wal_records_info('{to}', pg_current_wal_flush_lsn())");
    // At least what was remembered and prepared.
    let rest: usize = database.ask(&rest)?.parse().context("a count")?;
    lost.holds("log.rest", rest > SAME.len(), &format!("more than {}", SAME.len()), rest);
    Ok(())
}

/// What was prepared is open, and can be committed.
fn check_prepared(database: &mut Database, lost: &mut Lost) -> Result<()> {
    let open = database.rows("SELECT gid FROM pg_prepared_xacts")?;
    lost.equal("prepared", &vec![PREPARED.to_owned()], &open);
    let row = "SELECT content FROM kept WHERE number = -1";
    lost.equal("row of what is prepared", &Vec::new(), &database.rows(row)?);
    if !open.is_empty() {
        database.run(&format!("COMMIT PREPARED '{PREPARED}'"))?;
        lost.equal("row of what was prepared", &vec!["prepared".to_owned()], &database.rows(row)?);
    }
    Ok(())
}

/// The server writes and reads, and all that it has goes to its files.
fn go_on(database: &mut Database, lost: &mut Lost) -> Result<()> {
    database.run("INSERT INTO kept VALUES (-2, 'after')")?;
    database.run("CHECKPOINT")?;
    let found = database.rows("SELECT content FROM kept WHERE number = -2")?;
    lost.equal("row of after", &vec!["after".to_owned()], &found);
    Ok(())
}
