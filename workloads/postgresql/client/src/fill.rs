//! Fills an empty cluster, and remembers in it what must stay.

use std::fmt::Write;

use anyhow::Result;

use crate::database::{Database, PREPARED, ROWS, SAME, content};

/// Tables, and what looks into the log and into pages.
const SCHEMA: &str = "
    CREATE EXTENSION pg_walinspect;
    CREATE EXTENSION amcheck;
    CREATE TABLE kept (number bigint PRIMARY KEY, content text NOT NULL);
    CREATE TABLE watched (length bigint PRIMARY KEY, token text NOT NULL);
    CREATE TABLE remembered (name text PRIMARY KEY, value text NOT NULL);
";

/// Writes all that is checked after the event.
pub(crate) fn fill(database: &mut Database) -> Result<()> {
    let from = database.ask("SELECT pg_current_wal_flush_lsn()")?;
    database.run(SCHEMA)?;
    let mut rows = String::new();
    for number in 0..ROWS {
        writeln!(rows, "{number}\t{}", content(number))?;
    }
    database.copy("kept", &rows)?;
    let to = database.ask("SELECT pg_current_wal_flush_lsn()")?;
    let records = format!("SELECT count(*) FROM pg_get_wal_records_info('{from}', '{to}')");
    let records = database.ask(&records)?;
    for (name, value) in [("from", &from), ("to", &to), ("records", &records)] {
        remember(database, name, &format!("'{value}'"))?;
    }
    for (name, expression) in SAME {
        remember(database, name, expression)?;
    }
    // In a transaction of its own, which ends with this connection and not with itself.
    let prepare = format!(
        "BEGIN; INSERT INTO kept VALUES (-1, 'prepared'); PREPARE TRANSACTION '{PREPARED}'"
    );
    database.run(&prepare)
}

fn remember(database: &mut Database, name: &str, expression: &str) -> Result<()> {
    database.run(&format!("INSERT INTO remembered SELECT '{name}', ({expression})::text"))
}
