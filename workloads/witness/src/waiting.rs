//! Threads that wait in a system call until the end, and tell then what it gave them.

use std::fs;
use std::io;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use nix::unistd::{Pid, gettid};

use crate::{Findings, PATIENCE};

/// How often it is looked whether a thread waits, before that is given up.
const MOST_LOOKS: usize = 1_000_000;

/// A thread in a system call.
#[derive(Debug)]
pub struct Waiting<T> {
    name: &'static str,
    /// The thread.
    pub tid: Pid,
    answer: Receiver<io::Result<T>>,
}

impl<T: Send + 'static> Waiting<T> {
    /// Starts a thread of this name, and returns when it waits in the system call of that number.
    ///
    /// A checkpoint may end a call with EINTR, which then is begun again.
    ///
    /// # Errors
    /// When it does not come so far.
    pub fn start(
        name: &'static str,
        number: libc::c_long,
        mut call: impl FnMut() -> io::Result<T> + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, answer) = mpsc::channel();
        let (tell_tid, tid) = mpsc::channel();
        thread::Builder::new().name(name.to_owned()).stack_size(128 << 10).spawn(move || {
            // Nobody hears it when the start was given up.
            tell_tid.send(gettid()).ok();
            let told = loop {
                match call() {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    told => break told,
                }
            };
            tell.send(told).ok();
            // What the call holds, such as a lock, stays held.
            loop {
                thread::park();
            }
        })?;
        let tid = tid.recv_timeout(PATIENCE).map_err(io::Error::other)?;
        let waiting = Waiting { name, tid, answer };
        waiting.in_call(number)?;
        Ok(waiting)
    }

    fn in_call(&self, number: libc::c_long) -> io::Result<()> {
        let (path, wanted) = (format!("/proc/self/task/{}/syscall", self.tid), number.to_string());
        for _ in 0..MOST_LOOKS {
            if fs::read_to_string(&path)?.split(' ').next() == Some(wanted.as_str()) {
                return Ok(());
            }
            thread::yield_now();
        }
        Err(io::Error::other(format!("{}: does not come to wait", self.name)))
    }

    /// It waits still: nothing has come out of its call.
    pub fn still(&self, findings: &mut Findings) {
        if let Ok(answer) = self.answer.try_recv() {
            findings.lose(self.name, "waits".to_owned(), format!("{:?}", answer.map(drop)));
        }
    }

    /// It has been woken: what its call gave it.
    ///
    /// # Errors
    /// When it gave an error, or nothing in a long while.
    pub fn woken(&self) -> io::Result<T> {
        self.answer.recv_timeout(PATIENCE).map_err(io::Error::other)?
    }
}
