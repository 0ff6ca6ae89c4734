//! Threads that differ in name, nice value, policy, signal mask, alternate stack and in what they
//! wait for; each tells about itself when it is woken.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::sys::prctl;
use nix::unistd::{gettid, pipe2};

use witness::sys::{process, signal};
use witness::{Findings, Witness};

/// How long a thread may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

thread_local! {
    static MARK: Cell<u64> = const { Cell::new(0) };
}

/// What a thread says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct About {
    name: String,
    tid: i32,
    nice: i32,
    policy: i32,
    blocked: u64,
    stack: (usize, usize),
    mark: u64,
    answers: u64,
}

/// How a thread is set up.
#[derive(Clone, Copy, Debug)]
struct Plan {
    name: &'static str,
    nice: i32,
    batch: bool,
    blocked: i32,
    stack: bool,
    mark: u64,
}

const WAITER: Plan = Plan {
    name: "counter-waiter",
    nice: 8,
    batch: false,
    blocked: libc::SIGCHLD,
    stack: true,
    mark: 0x1111,
};
const READER: Plan = Plan {
    name: "counter-reader",
    nice: 9,
    batch: true,
    blocked: libc::SIGIO,
    stack: false,
    mark: 0x2222,
};
const POLLER: Plan =
    Plan { name: "counter-poller", nice: 11, blocked: libc::SIGURG, mark: 0x3333, ..WAITER };

/// How a thread is woken, from this side.
#[derive(Debug)]
enum Bell {
    Channel(Sender<()>),
    Pipe(File),
    Event(EventFd),
}

/// The same from the thread's side.
#[derive(Debug)]
enum Ear {
    Channel(Receiver<()>),
    Pipe(File),
    Poll(OwnedFd),
}

/// A thread, and what it said first.
#[derive(Debug)]
struct Worker {
    name: &'static str,
    bell: Bell,
    answers: Receiver<io::Result<About>>,
    expected: About,
}

/// The witness.
#[derive(Debug)]
pub(crate) struct Threads {
    workers: Vec<Worker>,
}

impl Threads {
    /// Starts them: one waits for a futex, one reads a pipe, one polls.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        let event = EventFd::new()?;
        let polled = event.as_fd().try_clone_to_owned()?;
        Ok(Threads {
            workers: vec![
                Worker::start(WAITER, Bell::Channel(sender), Ear::Channel(receiver))?,
                Worker::start(READER, Bell::Pipe(writer.into()), Ear::Pipe(reader.into()))?,
                Worker::start(POLLER, Bell::Event(event), Ear::Poll(polled))?,
            ],
        })
    }
}

impl Witness for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn check(&mut self, findings: &mut Findings) {
        for worker in &mut self.workers {
            if let Some(found) = findings.tried(worker.name, worker.ask()) {
                findings.equal(worker.name, &worker.expected, &found);
            }
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        let answer =
            thread::Builder::new().spawn(|| gettid().as_raw()).map(thread::JoinHandle::join);
        if let Some(joined) = findings.tried("spawn", answer) {
            findings.equal("spawn.joined", true, joined.is_ok());
        }
    }
}

impl Worker {
    fn start(plan: Plan, bell: Bell, ear: Ear) -> io::Result<Self> {
        let (sender, answers) = mpsc::channel();
        let thread = thread::Builder::new().name(plan.name.to_owned()).stack_size(128 << 10);
        thread.spawn(move || answer_on(plan, ear, &sender))?;
        let first = answers.recv_timeout(PATIENCE).map_err(io::Error::other)??;
        Ok(Worker { name: plan.name, bell, answers, expected: first })
    }

    fn ask(&mut self) -> io::Result<About> {
        self.expected.answers += 1;
        self.bell.ring()?;
        self.answers.recv_timeout(PATIENCE).map_err(io::Error::other)?
    }
}

impl Bell {
    fn ring(&mut self) -> io::Result<()> {
        match self {
            Bell::Channel(sender) => sender.send(()).map_err(io::Error::other),
            Bell::Pipe(writer) => writer.write_all(b"!"),
            Bell::Event(event) => event.write(1).map(drop).map_err(io::Error::from),
        }
    }
}

impl Ear {
    /// Waits until the bell rings. A freeze may interrupt a poll, which then is begun again.
    fn listen(&mut self) -> io::Result<()> {
        match self {
            Ear::Channel(receiver) => receiver.recv().map_err(io::Error::other),
            Ear::Pipe(reader) => reader.read_exact(&mut [0]),
            Ear::Poll(event) => {
                let mut wanted = [PollFd::new(event.as_fd(), PollFlags::POLLIN)];
                while let Err(error) = poll(&mut wanted, PollTimeout::NONE) {
                    if error != nix::errno::Errno::EINTR {
                        return Err(error.into());
                    }
                }
                let mut count = [0; 8];
                nix::unistd::read(&*event, &mut count)?;
                Ok(())
            }
        }
    }
}

/// The life of a thread: set up, tell, and tell again whenever woken.
fn answer_on(plan: Plan, mut ear: Ear, answers: &Sender<io::Result<About>>) {
    let mut told = set_up(plan).and_then(|()| about(0));
    let mut count = 0;
    loop {
        let failed = told.is_err();
        if answers.send(told).is_err() || failed {
            return;
        }
        count += 1;
        told = ear.listen().and_then(|()| about(count));
    }
}

fn set_up(plan: Plan) -> io::Result<()> {
    MARK.set(plan.mark);
    signal::block(&[plan.blocked])?;
    if plan.stack {
        signal::make_stack()?;
    }
    if plan.batch {
        process::set_batch()?;
    }
    process::set_nice(plan.nice)
}

fn about(answers: u64) -> io::Result<About> {
    Ok(About {
        name: prctl::get_name()?.to_string_lossy().into_owned(),
        tid: gettid().as_raw(),
        nice: process::nice(),
        policy: process::policy()?,
        blocked: signal::blocked(),
        stack: signal::stack()?,
        mark: MARK.get(),
        answers,
    })
}
