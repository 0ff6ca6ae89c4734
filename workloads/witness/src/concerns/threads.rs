//! Threads: with attributes, rights and storage of their own, registers that a call keeps, and those
//! that wait for a lock which another one holds.
//!
//! Left out: what `lossy` shows (affinity, timer slack, I/O priority), and threads of which the first
//! one is gone, or that see another root than the others, which CRIU refuses.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError, RwLock};
use std::thread;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::gettid;
use witness::place::Place;
use witness::sys::{process, registers, signal};
use witness::waiting::Waiting;
use witness::{Context, Findings, PATIENCE, Seen, Subject, Witness, record};

thread_local! {
    static MARK: Cell<u64> = const { Cell::new(0) };
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

pub(super) fn set_up(_: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    let workers = Workers::new().context("threads")?;
    let registers = Registers::new().context("registers")?;
    Ok(vec![record(workers), record(registers), record(Locks::new().context("locks")?)])
}

/// A thread that tells about itself.
struct Worker {
    name: &'static str,
    ask: Sender<()>,
    answers: Receiver<io::Result<Seen>>,
}

impl Worker {
    fn start(
        name: &'static str,
        set_up: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let (ask, asked) = mpsc::channel();
        let (tell, answers) = mpsc::channel();
        thread::Builder::new().name(name.to_owned()).stack_size(192 << 10).spawn(move || {
            let mut about = set_up().map(|()| about());
            while tell.send(about).is_ok() && asked.recv().is_ok() {
                about = Ok(self::about());
            }
        })?;
        let worker = Worker { name, ask, answers };
        worker.answer()?;
        Ok(worker)
    }

    fn answer(&self) -> io::Result<Seen> {
        self.answers.recv_timeout(PATIENCE).map_err(io::Error::other)?
    }

    fn look(&self) -> io::Result<Seen> {
        self.ask.send(()).map_err(io::Error::other)?;
        self.answer()
    }
}

fn about() -> Seen {
    let mut seen = Seen::default();
    seen.note("tid", io::Result::Ok(gettid()));
    seen.note("name", prctl::get_name());
    seen.note("nice", io::Result::Ok(process::nice()));
    seen.note("policy", process::policy());
    seen.note("blocked", io::Result::Ok(signal::blocked()));
    seen.note("stack", signal::stack());
    seen.note("mark", io::Result::Ok(MARK.get()));
    seen.note("text", io::Result::Ok(TEXT.with_borrow(String::clone)));
    seen.note("no_new_privs", prctl::get_no_new_privs());
    seen.note("pdeathsig", prctl::get_pdeathsig());
    seen.note("base", registers::base());
    seen.note("rounding", io::Result::Ok(registers::control()));
    seen.note("ids", std::fs::read_to_string("/proc/thread-self/status").map(|it| rights(&it)));
    seen
}

/// Lines of `status` that tell who a thread is and what it may do.
fn rights(status: &str) -> Vec<String> {
    let is_right =
        |line: &&str| ["Uid:", "Gid:", "Groups:", "Cap"].iter().any(|it| line.starts_with(it));
    status.lines().filter(is_right).map(str::to_owned).collect()
}

struct Workers {
    workers: Vec<Worker>,
}

impl Workers {
    fn new() -> io::Result<Self> {
        let base = Box::leak(Box::new([0x1234_5678u64; 8])).as_ptr() as usize;
        Ok(Workers {
            workers: vec![
                Worker::start("plain", || Ok(()))?,
                Worker::start("nice", || process::set_nice(12))?,
                Worker::start("batch", process::set_batch)?,
                Worker::start("idle", process::set_idle)?,
                Worker::start("masked", || {
                    signal::block(&[libc::SIGHUP, libc::SIGINT, signal::real_time(12)])
                })?,
                Worker::start("stack", || signal::make_stack().map(drop))?,
                Worker::start("storage", || {
                    MARK.set(0x7157_0a6e);
                    TEXT.with_borrow_mut(|text| text.push_str("of this thread alone"));
                    Ok(())
                })?,
                Worker::start("no_rights", || {
                    process::drop_rights()?;
                    Ok(prctl::set_no_new_privs()?)
                })?,
                Worker::start("other_user", || process::become_user(1234, 1235))?,
                Worker::start("death", || Ok(prctl::set_pdeathsig(Signal::SIGUSR1)?))?,
                Worker::start("base", move || registers::set_base(base))?,
                Worker::start("rounding", || {
                    registers::set_control(registers::ROUND_UP);
                    Ok(())
                })?,
            ],
        })
    }
}

impl Subject for Workers {
    fn name(&self) -> &'static str {
        "workers"
    }

    fn look(&mut self, seen: &mut Seen) {
        for worker in &self.workers {
            seen.note(worker.name, worker.look());
        }
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let spawned = thread::Builder::new().spawn(gettid);
        if let Some(thread) = findings.tried("spawn", spawned) {
            findings.equal("spawn.joined", true, thread.join().is_ok());
        }
    }
}

/// A thread that waits in a call with all vector registers in use.
struct Registers {
    bell: File,
    waits: Waiting<bool>,
}

impl Registers {
    fn new() -> io::Result<Self> {
        let (reader, bell) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let waits = Waiting::start("registers", libc::SYS_read, move || registers::keep(&reader))?;
        Ok(Registers { bell: bell.into(), waits })
    }
}

impl Subject for Registers {
    fn name(&self) -> &'static str {
        "registers"
    }

    fn look(&mut self, _: &mut Seen) {}

    fn go_on(&mut self, findings: &mut Findings) {
        self.waits.still(findings);
        findings.tried("bell", self.bell.write_all(b"!"));
        findings.gives("kept", true, self.waits.woken());
    }
}

/// Locks that the first thread holds, and threads that want them.
struct Locks {
    shared: Arc<Shared>,
    mutex: Waiting<u32>,
    write: Waiting<u32>,
    condition: Waiting<u32>,
    barrier: Waiting<bool>,
    holder: Sender<()>,
    given: Receiver<()>,
}

struct Shared {
    mutex: Mutex<u32>,
    both: RwLock<u32>,
    state: Mutex<u32>,
    changed: Condvar,
    barrier: Barrier,
}

impl Locks {
    fn new() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            mutex: Mutex::new(10),
            both: RwLock::new(20),
            state: Mutex::new(0),
            changed: Condvar::new(),
            barrier: Barrier::new(2),
        });
        let (holder, given) = hold(&shared)?;
        let futex = libc::SYS_futex;
        let of = Arc::clone(&shared);
        let mutex = Waiting::start("mutex", futex, move || {
            Ok(*of.mutex.lock().unwrap_or_else(PoisonError::into_inner))
        })?;
        let of = Arc::clone(&shared);
        let write = Waiting::start("write", futex, move || {
            Ok(*of.both.write().unwrap_or_else(PoisonError::into_inner))
        })?;
        let of = Arc::clone(&shared);
        let condition = Waiting::start("condition", futex, move || {
            let state = of.state.lock().unwrap_or_else(PoisonError::into_inner);
            let state = of.changed.wait_while(state, |state| *state == 0);
            Ok(*state.unwrap_or_else(PoisonError::into_inner))
        })?;
        let of = Arc::clone(&shared);
        let barrier = Waiting::start("barrier", futex, move || Ok(of.barrier.wait().is_leader()))?;
        Ok(Locks { shared, mutex, write, condition, barrier, holder, given })
    }
}

/// A thread that holds the mutex and reads, until it is told to change what it holds and let it go.
fn hold(shared: &Arc<Shared>) -> io::Result<(Sender<()>, Receiver<()>)> {
    let (holder, told) = mpsc::channel();
    let (tell, given) = mpsc::channel();
    let of = Arc::clone(shared);
    thread::Builder::new().name("holder".to_owned()).spawn(move || {
        let mut held = of.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        let read = of.both.read().unwrap_or_else(PoisonError::into_inner);
        // Nobody hears it, or tells it anything, when the start was given up.
        tell.send(()).ok();
        told.recv().ok();
        *held += *read;
        drop((held, read));
        tell.send(()).ok();
    })?;
    given.recv_timeout(PATIENCE).map_err(io::Error::other)?;
    Ok((holder, given))
}

impl Subject for Locks {
    fn name(&self) -> &'static str {
        "locks"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("mutex.held", io::Result::Ok(self.shared.mutex.try_lock().is_err()));
        seen.note("both.read", io::Result::Ok(self.shared.both.try_write().is_err()));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.mutex.still(findings);
        self.write.still(findings);
        self.condition.still(findings);
        self.barrier.still(findings);
        findings.tried("holder", self.holder.send(()).map_err(io::Error::other));
        findings.tried("given", self.given.recv_timeout(PATIENCE).map_err(io::Error::other));
        findings.gives("mutex.woken", 30, self.mutex.woken());
        findings.gives("write.woken", 20, self.write.woken());
        *self.shared.state.lock().unwrap_or_else(PoisonError::into_inner) = 5;
        self.shared.changed.notify_all();
        findings.gives("condition.woken", 5, self.condition.woken());
        let is_leader = self.shared.barrier.wait().is_leader();
        findings.gives("barrier.woken", !is_leader, self.barrier.woken());
    }
}
