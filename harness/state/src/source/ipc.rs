//! System V objects and POSIX message queues.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::Pod;
use crate::read;
use crate::sys::ipc as sys;

/// Columns of `/proc/sysvipc` that are pids of the reader's pid namespace.
const PIDS: &[&str] = &["cpid", "lpid", "lspid", "lrpid"];

/// One object: its columns by name.
type Row = BTreeMap<String, String>;

/// System V objects and POSIX queues of the IPC namespace that the calling thread is in.
pub(crate) fn pod(pod: &Pod<'_>, facts: &mut Facts) -> Result<()> {
    table(pod, "shm", "shmid", facts)?;
    for row in table(pod, "sem", "semid", facts)? {
        semaphores(pod, &row, facts)?;
    }
    for row in table(pod, "msg", "msqid", facts)? {
        messages(&row, facts)?;
    }
    posix(pod, facts)
}

/// Writes down every column of a table; the first line names them.
fn table(pod: &Pod<'_>, kind: &str, id: &str, facts: &mut Facts) -> Result<Vec<Row>> {
    let Some(text) = read::text_if_shown(format!("/proc/sysvipc/{kind}"))? else {
        return Ok(Vec::new());
    };
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let mut rows = Vec::new();
    for line in lines {
        let values = line.split_whitespace().map(str::to_owned);
        let row: Row = columns.iter().map(|column| (*column).to_owned()).zip(values).collect();
        let name = format!("pod.sysv.{kind}.{}", number(&row, id));
        for (column, value) in row.iter().filter(|(column, _)| *column != id) {
            let value = if PIDS.contains(&column.as_str()) {
                pod.inner(number(&row, column))
            } else {
                value.clone()
            };
            facts.put(format!("{name}.{column}"), value);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn number(row: &Row, column: &str) -> i32 {
    row.get(column).and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn semaphores(pod: &Pod<'_>, row: &Row, facts: &mut Facts) -> Result<()> {
    let (id, count) = (number(row, "semid"), number(row, "nsems"));
    let name = format!("pod.sysv.sem.{id}");
    let failed = |error| Error::call("semctl", &name, error);
    let values = sys::semaphore_values(id, count.unsigned_abs() as usize).map_err(failed)?;
    facts.put(format!("{name}.semval"), format!("{values:?}"));
    for index in 0..count {
        let pid = sys::semaphore_pid(id, index).map_err(failed)?;
        facts.put(format!("{name}.{index}.sempid"), pod.inner(pid));
    }
    Ok(())
}

/// Copies of the messages. The kernel offers that since it can checkpoint; without it (ENOSYS)
/// their number and size must do.
fn messages(row: &Row, facts: &mut Facts) -> Result<()> {
    let id = number(row, "msqid");
    let most = sys::queue_bytes(id);
    let most = most.map_err(|error| Error::call("msgctl", format!("pod.sysv.msg.{id}"), error))?;
    facts.put(format!("pod.sysv.msg.{id}.qbytes"), most);
    let longest = number(row, "cbytes").unsigned_abs() as usize;
    for index in 0..number(row, "qnum") {
        let name = format!("pod.sysv.msg.{id}.{index}");
        match sys::message_copy(id, index.into(), longest) {
            Ok(Some((kind, text))) => {
                facts.put(format!("{name}.mtype"), kind);
                facts.content(format!("{name}.mtext"), &text);
            }
            Ok(None) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                facts.not_offered("pod.sysv.msg.*.m*", "this kernel has no MSG_COPY");
            }
            Err(error) => return Err(Error::call("msgrcv", name, error)),
        }
    }
    Ok(())
}

/// POSIX message queues. The folder is mounted nowhere, so that those of a container without
/// `/dev/mqueue` are seen, too.
fn posix(pod: &Pod<'_>, facts: &mut Facts) -> Result<()> {
    let failed = |error| Error::call("mounting", "mqueue", error);
    let Some(folder) = sys::message_queues().map_err(failed)? else {
        facts.not_offered("mqueue.*", "this kernel has no POSIX message queues");
        return Ok(());
    };
    let folder = PathBuf::from(format!("/proc/thread-self/fd/{}", folder.as_raw_fd()));
    for queue in read::names(&folder)? {
        posix_queue(pod, &folder.join(&queue), &format!("mqueue./{queue}"), facts)?;
    }
    Ok(())
}

fn posix_queue(pod: &Pod<'_>, path: &Path, name: &str, facts: &mut Facts) -> Result<()> {
    let failed = |source| Error::read(path, source);
    let queue = File::open(path).map_err(failed)?;
    let meta = queue.metadata().map_err(failed)?;
    facts.put(format!("{name}.mode"), format!("{:o}", meta.mode() & 0o7777));
    facts.put(format!("{name}.uid"), meta.uid());
    facts.put(format!("{name}.gid"), meta.gid());
    let [_, most, bytes, waiting] = sys::queue_attributes(queue.as_fd()).map_err(failed)?;
    facts.put(format!("{name}.mq_maxmsg"), most);
    facts.put(format!("{name}.mq_msgsize"), bytes);
    facts.put(format!("{name}.mq_curmsgs"), waiting);
    let text = std::io::read_to_string(queue).map_err(failed)?;
    for (key, value) in text.split_whitespace().filter_map(|word| word.split_once(':')) {
        let key = key.to_lowercase();
        let value = match (key.as_str(), value.parse()) {
            ("notify_pid", Ok(pid)) => pod.inner(pid),
            _ => value.to_owned(),
        };
        facts.put(format!("{name}.{key}"), value);
    }
    Ok(())
}
