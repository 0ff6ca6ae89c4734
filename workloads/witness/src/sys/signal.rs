//! Signals with values, handlers as the kernel has them, and alternate stacks.
#![expect(unsafe_code, reason = "nix has no queued signals and cannot read a handler back")]

use std::ffi::c_void;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::Duration;

use nix::unistd::Pid;

use super::checked;

/// Number of a signal.
pub type Number = libc::c_int;

/// Bytes of an alternate stack.
pub const STACK_BYTES: usize = 64 << 10;

/// Address of a local variable of the handler when it ran last; 0 before.
static HANDLED_AT: AtomicUsize = AtomicUsize::new(0);

/// A signal that was taken from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Which.
    pub signal: Number,
    /// How it was sent, such as SI_QUEUE.
    pub code: i32,
    /// Who sent it; meaningless for a timer.
    pub pid: i32,
    /// The value that came with it.
    pub value: usize,
}

/// A signal's disposition as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    handler: usize,
    flags: i32,
    mask: u64,
}

impl Action {
    /// Whether nobody handles or ignores the signal.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.handler == libc::SIG_DFL
    }
}

/// A real-time signal.
pub fn real_time(number: i32) -> Number {
    libc::SIGRTMIN() + number
}

/// A set as bits: bit N - 1 stands for signal N.
pub fn bits(signals: &[Number]) -> u64 {
    signals.iter().fold(0, |bits, signal| bits | 1 << (signal - 1))
}

/// Adds signals to those that the calling thread blocks.
pub fn block(signals: &[Number]) -> io::Result<()> {
    let set = set(signals);
    // SAFETY: `set` lives through the call, and the old set is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Signals that the calling thread blocks.
pub fn blocked() -> u64 {
    let mut old = set(&[]);
    // SAFETY: only the old set is asked for, and it is written whole.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut old) };
    read(&old)
}

/// Signals that wait for the calling thread or its process.
pub fn pending() -> io::Result<u64> {
    let mut waiting = set(&[]);
    // SAFETY: the kernel writes the set.
    checked(unsafe { libc::sigpending(&raw mut waiting) })?;
    Ok(read(&waiting))
}

/// Queues a signal with a value for the whole process.
pub fn queue_for_process(signal: Number, value: usize) -> io::Result<()> {
    let value = libc::sigval { sival_ptr: value as *mut c_void };
    // SAFETY: takes plain values; the pointer is never followed.
    checked(unsafe { libc::sigqueue(libc::getpid(), signal, value) }).map(drop)
}

/// Queues a signal with a value for the calling thread.
pub fn queue_for_thread(signal: Number, value: usize) -> io::Result<()> {
    let value = libc::sigval { sival_ptr: value as *mut c_void };
    // SAFETY: takes plain values; the pointer is never followed.
    match unsafe { libc::pthread_sigqueue(libc::pthread_self(), signal, value) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Takes a blocked signal from the queue, waiting for it at most so long.
pub fn take(signals: &[Number], patience: Duration) -> io::Result<Option<Taken>> {
    let set = set(signals);
    let patience = libc::timespec {
        tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(patience.subsec_nanos()),
    };
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: set and time live through the call, and the kernel writes at most one siginfo.
    let taken =
        unsafe { libc::sigtimedwait(&raw const set, info.as_mut_ptr(), &raw const patience) };
    if taken == -1 {
        let error = io::Error::last_os_error();
        let nothing = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINTR));
        return if nothing { Ok(None) } else { Err(error) };
    }
    // SAFETY: zeroed before and filled by the kernel: every bit pattern is valid.
    let info = unsafe { info.assume_init() };
    // SAFETY: reading the fields of another kind of signal gives other plain numbers.
    let (pid, value) = unsafe { (info.si_pid(), info.si_value().sival_ptr as usize) };
    Ok(Some(Taken { signal: info.si_signo, code: info.si_code, pid, value }))
}

/// Waits for a blocked signal, however long it takes.
///
/// # Errors
/// When the number is none.
pub fn wait(signal: Number) -> io::Result<()> {
    let set = set(&[signal]);
    let mut taken = 0;
    // SAFETY: `set` lives through the call, and the number is written.
    match unsafe { libc::sigwait(&raw const set, &raw mut taken) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Ignores a signal.
pub fn ignore(signal: Number) -> io::Result<()> {
    install(signal, libc::SIG_IGN, 0, &[])
}

/// Handles a signal on the alternate stack, with others blocked meanwhile.
pub fn handle(signal: Number, others: &[Number]) -> io::Result<()> {
    let handler: extern "C" fn(Number) = note_stack;
    install(signal, handler as usize, libc::SA_ONSTACK | libc::SA_RESTART, others)
}

/// Handles a signal in the same way, with flags of its own.
pub fn handle_with(signal: Number, flags: i32, others: &[Number]) -> io::Result<()> {
    let handler: extern "C" fn(Number) = note_stack;
    install(signal, handler as usize, flags, others)
}

/// Sends a signal to a thread of this process.
pub fn send_to_thread(thread: Pid, signal: Number) -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread.as_raw(), signal) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Waits for a handled signal of this number, and of no other.
pub fn suspend(signal: Number) -> io::Result<()> {
    HANDLED_AT.store(0, Ordering::SeqCst);
    let mut others = MaybeUninit::uninit();
    // SAFETY: sigfillset writes the whole set.
    let mut others = unsafe {
        libc::sigfillset(others.as_mut_ptr());
        others.assume_init()
    };
    // SAFETY: the set is valid.
    unsafe { libc::sigdelset(&raw mut others, signal) };
    // SAFETY: the set lives through the call, which always ends with EINTR.
    unsafe { libc::sigsuspend(&raw const others) };
    match HANDLED_AT.load(Ordering::SeqCst) {
        0 => Err(io::ErrorKind::Interrupted.into()),
        _ => Ok(()),
    }
}

/// Where the handler that waits reads, and what it has read.
static BELL: AtomicI32 = AtomicI32::new(-1);

/// What [`wait_in_handler`] gives.
pub const MARK: u64 = 0x5163_7fa5_0123_4567;

/// Sends the calling thread a signal whose handler waits for a byte, on the alternate stack, and gives
/// [`MARK`] when the frame below it is still whole.
pub fn wait_in_handler(signal: Number, bell: impl AsFd) -> io::Result<u64> {
    let handler: extern "C" fn(Number) = wait_for_bell;
    install(signal, handler as usize, libc::SA_ONSTACK, &[])?;
    BELL.store(bell.as_fd().as_raw_fd(), Ordering::SeqCst);
    let mark = std::hint::black_box([MARK; 8]);
    // SAFETY: takes a number only; the handler calls read and stores to atomics.
    checked(unsafe { libc::raise(signal) })?;
    let whole = std::hint::black_box(mark).iter().all(|word| *word == MARK);
    Ok(if whole && BELL.load(Ordering::SeqCst) == -1 { MARK } else { 0 })
}

extern "C" fn wait_for_bell(_: Number) {
    let mut byte = 0u8;
    let bell = BELL.load(Ordering::SeqCst);
    loop {
        // SAFETY: one byte is read into one byte.
        let count = unsafe { libc::read(bell, (&raw mut byte).cast(), 1) };
        if count == 1 {
            break BELL.store(-1, Ordering::SeqCst);
        }
        // SAFETY: errno is the thread's own.
        if unsafe { *libc::__errno_location() } != libc::EINTR {
            break;
        }
    }
}

/// What the kernel does on a signal.
pub fn action(signal: Number) -> io::Result<Action> {
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: only the old action is asked for.
    checked(unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) })?;
    // SAFETY: zeroed before and filled by the call.
    let old = unsafe { old.assume_init() };
    Ok(Action { handler: old.sa_sigaction, flags: old.sa_flags, mask: read(&old.sa_mask) })
}

/// Gives the calling thread an alternate stack, and its address. It is never freed.
pub fn make_stack() -> io::Result<usize> {
    let memory = Box::leak(vec![0u8; STACK_BYTES].into_boxed_slice()).as_mut_ptr();
    let stack = libc::stack_t { ss_sp: memory.cast(), ss_flags: 0, ss_size: STACK_BYTES };
    // SAFETY: the memory is leaked, so the stack outlives the thread.
    checked(unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) })?;
    Ok(memory as usize)
}

/// Address and size of the calling thread's alternate stack.
pub fn stack() -> io::Result<(usize, usize)> {
    let mut old = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: only the old stack is asked for.
    checked(unsafe { libc::sigaltstack(std::ptr::null(), old.as_mut_ptr()) })?;
    // SAFETY: zeroed before and filled by the call.
    let old = unsafe { old.assume_init() };
    Ok((old.ss_sp as usize, old.ss_size))
}

/// Sends the calling thread a signal that is handled, and tells where the handler's stack was.
pub fn raise(signal: Number) -> io::Result<usize> {
    HANDLED_AT.store(0, Ordering::SeqCst);
    // SAFETY: takes a number only; the handler does nothing but an atomic store.
    checked(unsafe { libc::raise(signal) })?;
    Ok(HANDLED_AT.load(Ordering::SeqCst))
}

extern "C" fn note_stack(signal: Number) {
    HANDLED_AT.store(std::hint::black_box(&raw const signal) as usize, Ordering::SeqCst);
}

fn install(signal: Number, handler: usize, flags: i32, others: &[Number]) -> io::Result<()> {
    // SAFETY: all-zero is a valid sigaction.
    let mut new: libc::sigaction = unsafe { std::mem::zeroed() };
    new.sa_sigaction = handler;
    new.sa_flags = flags;
    new.sa_mask = set(others);
    // SAFETY: the handler is a function of this module or SIG_IGN.
    checked(unsafe { libc::sigaction(signal, &raw const new, std::ptr::null_mut()) }).map(drop)
}

fn set(signals: &[Number]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset writes the whole set.
    let mut set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    };
    for signal in signals {
        // SAFETY: `set` is a valid set; a bad number is refused without a change.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set
}

fn read(set: &libc::sigset_t) -> u64 {
    // SAFETY: `set` is a valid set.
    let member = |signal: &Number| unsafe { libc::sigismember(set, *signal) } == 1;
    (1..=64).filter(member).fold(0, |bits, signal| bits | 1 << (signal - 1))
}
