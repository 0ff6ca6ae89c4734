//! A connection by the driver, and the questions that are asked before and after the event.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use observer::PATIENCE;
use postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// What must be the same after the event, by name and by the expression that tells it: the same
/// server with the same memory has the same cluster.
pub(crate) const SAME: [(&str, &str); 5] = [
    ("version", "version()"),
    ("started", "pg_postmaster_start_time()"),
    ("cluster", "(SELECT system_identifier FROM pg_control_system())"),
    ("timeline", "(SELECT timeline_id FROM pg_control_checkpoint())"),
    ("recovering", "pg_is_in_recovery()"),
];

/// Name of the transaction that is prepared and open across the event.
pub(crate) const PREPARED: &str = "cryolab";

/// Rows of the table `kept`.
pub(crate) const ROWS: u32 = 2000;

/// What is in a row.
pub(crate) fn content(number: u32) -> String {
    format!("{number:08},").repeat(1 + number as usize % 40)
}

/// A connection.
pub(crate) struct Database(Client);

impl Database {
    pub(crate) fn at(address: &str) -> Result<Database> {
        let socket: SocketAddr =
            address.parse().with_context(|| format!("`{address}` is no ADDRESS:PORT"))?;
        let mut config = Config::new();
        config.host(&socket.ip().to_string()).port(socket.port()).connect_timeout(PATIENCE);
        config.user("postgres").dbname("postgres");
        let client = config.connect(NoTls).with_context(|| format!("connect to {address}"))?;
        Ok(Database(client))
    }

    /// Does what SQL says.
    pub(crate) fn run(&mut self, sql: &str) -> Result<()> {
        self.0.batch_execute(sql).with_context(|| sql.to_owned())
    }

    /// The first column of the first row that SQL tells, as text.
    pub(crate) fn ask(&mut self, sql: &str) -> Result<String> {
        let first = self.rows(sql)?.into_iter().next();
        first.with_context(|| format!("{sql}: no row"))
    }

    /// The first column of every row that SQL tells, as text.
    pub(crate) fn rows(&mut self, sql: &str) -> Result<Vec<String>> {
        let messages = self.0.simple_query(sql).with_context(|| sql.to_owned())?;
        let column = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        };
        Ok(messages.iter().filter_map(column).collect())
    }

    /// Writes rows in COPY's text format.
    pub(crate) fn copy(&mut self, table: &str, rows: &str) -> Result<()> {
        let mut writer = self.0.copy_in(&format!("COPY {table} FROM STDIN"))?;
        writer.write_all(rows.as_bytes())?;
        writer.finish().with_context(|| format!("COPY {table}"))?;
        Ok(())
    }
}
