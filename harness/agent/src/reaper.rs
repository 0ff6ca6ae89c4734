//! Children: those that the agent started, and every orphan of the node.
//!
//! PID 1 inherits orphans and must reap them, so one thread reaps everything, and nobody else in
//! this process ever waits for a child (a library that starts processes belongs into the engine
//! child). Who wants to know an exit status holds the [`Exit`] of that pid.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::sync::{Bell, lock, wait_while};

/// So many ends of processes that nobody asked about are remembered: who learns of a pid only
/// after its end still finds it.
const REMEMBERED: usize = 256;

/// A process whose end somebody wants to know.
#[derive(Debug)]
pub(crate) struct Exit {
    pid: i32,
    code: OnceLock<i32>,
}

impl Exit {
    /// The process.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Its exit code, or 128 + signal; nothing while it runs.
    pub(crate) fn code(&self) -> Option<i32> {
        self.code.get().copied()
    }
}

/// Reaps, and remembers how processes ended.
#[derive(Debug)]
pub(crate) struct Reaper {
    bell: Arc<Bell>,
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    awaited: BTreeMap<i32, Arc<Exit>>,
    recent: VecDeque<(i32, i32)>,
    births: u64,
    idle: bool,
}

impl Reaper {
    /// Starts reaping in a thread of its own.
    pub(crate) fn start(bell: Arc<Bell>) -> io::Result<Arc<Reaper>> {
        let reaper =
            Arc::new(Reaper { bell, table: Mutex::default(), changed: Condvar::default() });
        let runner = Arc::clone(&reaper);
        std::thread::Builder::new().name("reaper".into()).spawn(move || runner.run())?;
        Ok(reaper)
    }

    /// Starts a program. The [`Child`] is there for its pipes: never wait on it.
    ///
    /// The table is locked meanwhile: the child cannot be reaped before it is known, and a failed
    /// exec is still reaped by the standard library itself.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<(Child, Arc<Exit>)> {
        let mut table = lock(&self.table);
        table.births += 1;
        self.changed.notify_all();
        let child = command.spawn()?;
        let pid = child.id().cast_signed();
        Ok((child, table.watch(pid)))
    }

    /// Will know the end of a process that somebody else started and that is or becomes ours.
    pub(crate) fn watch(&self, pid: i32) -> Arc<Exit> {
        let mut table = lock(&self.table);
        let remembered = table.recent.iter().position(|(ended, _)| *ended == pid);
        let code = remembered.and_then(|place| table.recent.remove(place)).map(|(_, code)| code);
        let exit = table.watch(pid);
        if let Some(code) = code {
            table.end(pid, code);
        }
        exit
    }

    /// Waits until the agent has no child left.
    pub(crate) fn await_idle(&self, limit: Duration) -> bool {
        let step = Duration::from_millis(100);
        self.bell.until(limit, step, || lock(&self.table).idle.then_some(())).is_some()
    }

    fn run(&self) {
        loop {
            let births = lock(&self.table).births;
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(status) => status.pid().into_iter().for_each(|pid| self.reap(pid)),
                Err(Errno::ECHILD) => self.await_birth(births),
                Err(_) => {}
            }
        }
    }

    /// Orphans come from children: without a child there is nothing to reap until one is born.
    fn await_birth(&self, births: u64) {
        let mut table = lock(&self.table);
        table.idle = table.births == births;
        self.bell.ring();
        table = wait_while(&self.changed, table, |table| table.births == births);
        table.idle = false;
    }

    fn reap(&self, pid: Pid) {
        let mut table = lock(&self.table);
        let code = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => code,
            Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32,
            _ => return,
        };
        table.end(pid.as_raw(), code);
        drop(table);
        self.bell.ring();
    }
}

impl Table {
    fn watch(&mut self, pid: i32) -> Arc<Exit> {
        let exit = Arc::new(Exit { pid, code: OnceLock::new() });
        Arc::clone(self.awaited.entry(pid).or_insert(exit))
    }

    fn end(&mut self, pid: i32, code: i32) {
        if let Some(exit) = self.awaited.remove(&pid) {
            // Set once only: the entry is gone now, and a new process of this pid gets its own.
            let _ = exit.code.set(code);
            return;
        }
        self.recent.truncate(REMEMBERED - 1);
        self.recent.push_front((pid, code));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Tests share one process and so one reaper.
    pub(crate) fn shared() -> (Arc<Reaper>, Arc<Bell>) {
        static SHARED: OnceLock<(Arc<Reaper>, Arc<Bell>)> = OnceLock::new();
        let (reaper, bell) = SHARED.get_or_init(|| {
            let bell = Arc::new(Bell::default());
            (Reaper::start(Arc::clone(&bell)).expect("a thread starts"), bell)
        });
        (Arc::clone(reaper), Arc::clone(bell))
    }

    fn ends(script: &str) -> Option<i32> {
        let (reaper, bell) = shared();
        let (_, exit) = reaper.spawn(Command::new("sh").args(["-c", script])).expect("sh starts");
        bell.until(Duration::from_secs(30), Duration::from_secs(1), || exit.code())
    }

    #[test]
    fn an_exit_code_and_a_signal_are_told() {
        assert_eq!(ends("exit 7"), Some(7));
        assert_eq!(ends("kill -9 $$"), Some(137));
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        let (reaper, _) = shared();
        let error = reaper.spawn(&mut Command::new("/nonexistent")).map(|_| ());
        assert_eq!(error.map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    }

    #[test]
    fn an_end_that_nobody_asked_about_is_still_known_later() {
        let mut table = Table::default();
        for pid in 1..=1000 {
            table.end(pid, pid % 100);
        }
        assert_eq!(table.recent.len(), REMEMBERED);
        assert_eq!(table.recent.front(), Some(&(1000, 0)));
    }
}
