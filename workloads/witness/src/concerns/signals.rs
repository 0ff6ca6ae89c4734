//! Signals: what each does, what is blocked, what waits with its value, and threads in the midst.

use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;
use witness::place::Place;
use witness::sys::{descriptor, signal};
use witness::waiting::Waiting;
use witness::{Context, Findings, PATIENCE, Seen, Subject, Witness, record};

/// Numbers of real-time signals with a meaning here.
const QUEUED: i32 = 8;
const OWNED: i32 = 9;
const SUSPENDED: i32 = 10;

/// How many signals wait, each with a value of its own.
const MANY: usize = 100;

pub(super) fn set_up(_: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    let queued: Vec<i32> = (QUEUED..=SUSPENDED).map(signal::real_time).collect();
    signal::block(&queued)?;
    signal::block(&[libc::SIGUSR1, libc::SIGUSR2, libc::SIGQUIT])?;
    let suspended = Suspended::new().context("a thread that waits")?;
    Ok(vec![
        record(suspended),
        record(Actions::new().context("actions")?),
        record(Waits::new().context("signals that wait")?),
        record(Told::new().context("a descriptor that tells")?),
    ])
}

/// What the kernel does on each signal.
struct Actions {
    stack: usize,
}

impl Actions {
    fn new() -> io::Result<Self> {
        let stack = signal::make_stack()?;
        signal::ignore(libc::SIGPIPE)?;
        signal::ignore(signal::real_time(20))?;
        signal::handle(libc::SIGHUP, &[libc::SIGINT, libc::SIGWINCH])?;
        let flags = [
            (libc::SIGINT, libc::SA_RESETHAND | libc::SA_NODEFER),
            (libc::SIGWINCH, libc::SA_ONSTACK),
            (libc::SIGCHLD, libc::SA_NOCLDSTOP | libc::SA_NOCLDWAIT | libc::SA_RESTART),
            (signal::real_time(21), libc::SA_ONSTACK | libc::SA_RESTART),
        ];
        for (number, flags) in flags {
            signal::handle_with(number, flags, &[number])?;
        }
        Ok(Actions { stack })
    }
}

impl Subject for Actions {
    fn name(&self) -> &'static str {
        "actions"
    }

    fn look(&mut self, seen: &mut Seen) {
        for number in (1..=31).chain(libc::SIGRTMIN()..=libc::SIGRTMAX()) {
            seen.note(number.to_string(), signal::action(number));
        }
        seen.note("stack", signal::stack());
        seen.note("blocked", io::Result::Ok(format!("{:016x}", signal::blocked())));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let stack = self.stack as i128..=(self.stack + signal::STACK_BYTES) as i128;
        for number in [libc::SIGHUP, libc::SIGWINCH, signal::real_time(21)] {
            if let Some(at) = findings.tried("handler", signal::raise(number)) {
                findings.within(&format!("{number}.stack"), stack.clone(), at as i128);
            }
        }
        if let Some(at) = findings.tried("handler", signal::raise(libc::SIGINT)) {
            findings.equal("own_stack", false, stack.contains(&(at as i128)));
        }
        let once = signal::action(libc::SIGINT).map(|it| it.is_default());
        findings.gives("once.is_default_then", true, once);
    }
}

/// Signals that wait: for the process and for a thread, of every sort.
struct Waits;

impl Waits {
    fn new() -> io::Result<Self> {
        for value in 0..MANY {
            signal::queue_for_process(signal::real_time(QUEUED), value)?;
        }
        signal::queue_for_thread(signal::real_time(QUEUED), MANY)?;
        nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGUSR1)?;
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR2)?;
        signal::queue_for_process(libc::SIGQUIT, 0xbeef)?;
        Ok(Waits)
    }
}

impl Subject for Waits {
    fn name(&self) -> &'static str {
        "waiting"
    }

    fn look(&mut self, seen: &mut Seen) {
        let waiting = signal::pending().map(|it| it & !signal::bits(&[libc::SIGTERM]));
        seen.note("pending", waiting.map(|it| format!("{it:016x}")));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let pid = std::process::id() as i32;
        let mut expect = |name: &str, number, code, value| {
            let taken = signal::take(&[number], Duration::ZERO);
            let taken = taken.map(|it| it.map(|it| (it.code, it.pid, it.value)));
            findings.gives(name, Some((code, pid, value)), taken);
        };
        // What waits for the thread comes before what waits for the process.
        expect("thread", signal::real_time(QUEUED), libc::SI_QUEUE, MANY);
        for value in 0..MANY {
            expect(&format!("queued.{value}"), signal::real_time(QUEUED), libc::SI_QUEUE, value);
        }
        expect("kill", libc::SIGUSR1, libc::SI_USER, 0);
        // It came by SI_TKILL, of which the C library makes SI_USER.
        expect("raise", libc::SIGUSR2, libc::SI_USER, 0);
        expect("sigqueue", libc::SIGQUIT, libc::SI_QUEUE, 0xbeef);
        let none = signal::take(&[signal::real_time(QUEUED), libc::SIGUSR1], Duration::ZERO);
        findings.gives("no_more", None, none.map(|it| it.map(|it| it.value)));
    }
}

/// A thread that waits for a signal with another mask, and one in the midst of a handler.
struct Suspended {
    thread: Waiting<u64>,
    handler: Waiting<u64>,
    bell: File,
}

impl Suspended {
    fn new() -> io::Result<Self> {
        signal::handle_with(signal::real_time(SUSPENDED), libc::SA_RESTART, &[])?;
        let thread = Waiting::start("suspended", libc::SYS_rt_sigsuspend, || {
            signal::suspend(signal::real_time(SUSPENDED))?;
            Ok(signal::blocked())
        })?;
        let (reader, bell) = pipe2(OFlag::O_CLOEXEC)?;
        let handler = Waiting::start("in-handler", libc::SYS_read, move || {
            signal::make_stack()?;
            signal::wait_in_handler(signal::real_time(SUSPENDED + 1), &reader)
        })?;
        Ok(Suspended { thread, handler, bell: bell.into() })
    }
}

impl Subject for Suspended {
    fn name(&self) -> &'static str {
        "suspended"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("blocked", io::Result::Ok(signal::blocked()));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.thread.still(findings);
        let sent = signal::send_to_thread(self.thread.tid, signal::real_time(SUSPENDED));
        findings.tried("wake", sent);
        findings.gives("mask_is_back", signal::blocked(), self.thread.woken());
        self.handler.still(findings);
        findings.tried("bell", self.bell.write_all(b"!"));
        findings.gives("handler.ends", signal::MARK, self.handler.woken());
    }
}

/// A pipe that tells by a signal of its own that there is something to read.
struct Told {
    reader: File,
    writer: File,
}

impl Told {
    fn new() -> io::Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        descriptor::set_signal(&reader, signal::real_time(OWNED))?;
        descriptor::set_owner(&reader, std::process::id() as i32)?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK | OFlag::O_ASYNC))?;
        Ok(Told { reader: reader.into(), writer: writer.into() })
    }
}

impl Subject for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("owner", descriptor::owner(&self.reader));
        seen.note("signal", descriptor::signal(&self.reader));
        let flags = fcntl(&self.reader, FcntlArg::F_GETFL).map(|it| it & libc::O_ASYNC);
        seen.note("async", flags);
    }

    fn go_on(&mut self, findings: &mut Findings) {
        findings.tried("write", self.writer.write_all(b"tell"));
        let taken = signal::take(&[signal::real_time(OWNED)], PATIENCE);
        findings.gives("told", true, taken.map(|it| it.is_some()));
    }
}
