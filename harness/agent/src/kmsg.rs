//! The agent's log: lines in the kernel's own log, and so on the console.

use std::fs::OpenOptions;
use std::io::Write;

/// Says something worth knowing.
pub(crate) fn info(text: &str) {
    write('6', text);
}

/// Says what went wrong.
pub(crate) fn error(text: &str) {
    write('3', text);
}

/// One record a line, each in one write: a record cannot be torn.
fn write(level: char, text: &str) {
    for line in text.lines() {
        let record = format!("<{level}>cryolab: {line}\n");
        let kmsg = OpenOptions::new().write(true).open("/dev/kmsg");
        if kmsg.and_then(|mut kmsg| kmsg.write_all(record.as_bytes())).is_err() {
            // Nothing is mounted yet, or this is not a guest: there is no better place.
            eprintln!("cryolab: {line}");
        }
    }
}
