//! System calls that wait: which of them end with EINTR, although no handler ever ran.
//!
//! The kernel lets some end so whenever a task is stopped or frozen and goes on (signal(7)), which is
//! right, and which a program that never gets a signal may well not expect.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};

use crate::{Look, Seen};

/// How long each waits, in milliseconds.
const WAIT_MS: u16 = 50;

/// A system call that is made again and again.
pub(crate) struct Call {
    name: &'static str,
    call: Box<dyn FnMut() -> nix::Result<()> + Send>,
    made: u64,
    interrupted: u64,
    failed: Option<Errno>,
}

/// One of each kind.
pub(crate) fn all() -> io::Result<Vec<Call>> {
    Ok(vec![epoll_call()?, poll_call()?, sleep_call()])
}

fn call(name: &'static str, call: impl FnMut() -> nix::Result<()> + Send + 'static) -> Call {
    Call { name, call: Box::new(call), made: 0, interrupted: 0, failed: None }
}

/// Nothing ever comes out of it.
fn silence() -> io::Result<(PipeReader, PipeWriter)> {
    io::pipe()
}

fn epoll_call() -> io::Result<Call> {
    let (reader, writer) = silence()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&reader, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    Ok(call("epoll_wait", move || {
        let _held = (&reader, &writer);
        epoll.wait(&mut [EpollEvent::empty()], EpollTimeout::from(WAIT_MS)).map(drop)
    }))
}

fn poll_call() -> io::Result<Call> {
    let (reader, writer) = silence()?;
    Ok(call("poll", move || {
        let _held = &writer;
        poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], WAIT_MS).map(drop)
    }))
}

fn sleep_call() -> Call {
    let time = TimeSpec::new(0, i64::from(WAIT_MS) * 1_000_000);
    call("clock_nanosleep", move || {
        let flags = ClockNanosleepFlags::empty();
        clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &time).map(drop)
    })
}

impl Look for Call {
    fn look(&mut self) {
        self.made += 1;
        match (self.call)() {
            Ok(()) => {}
            Err(Errno::EINTR) => self.interrupted += 1,
            Err(errno) => self.failed = Some(errno),
        }
    }

    fn seen(&self) -> Seen {
        let Call { interrupted, made, .. } = self;
        let noticed = vec![(self.name, format!("{interrupted} of {made} ended with EINTR"))];
        let lost = self.failed.map(|errno| (self.name, format!("failed: {errno}")));
        Seen { noticed, lost: lost.into_iter().collect() }
    }
}
