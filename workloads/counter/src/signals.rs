//! Signals: what is blocked, ignored, handled, and waiting with its value.

use std::io;
use std::time::Duration;

use witness::sys::signal::{
    self, Action, STACK_BYTES, Taken, action, bits, block, blocked, pending, raise, real_time,
    stack,
};
use witness::{Context, Findings, Witness};

/// Values that wait for the process, in this order.
const FOR_PROCESS: [usize; 2] = [0x5eed_0001, 0x5eed_0002];

/// The value that waits for the main thread.
const FOR_THREAD: usize = 0x7ead;

/// Blocks, in the main thread and so in all threads to come, what the program waits for itself.
pub(crate) fn block_all() -> io::Result<()> {
    block(&[libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, real_time(3), real_time(4)])
}

/// The witness.
#[derive(Debug)]
pub(crate) struct Signals {
    blocked: u64,
    actions: Vec<Action>,
    stack: usize,
}

impl Signals {
    /// Sets handlers and queues signals to the process and the calling thread.
    pub(crate) fn new() -> io::Result<Self> {
        let stack = signal::make_stack().context("alternate stack")?;
        signal::ignore(libc::SIGWINCH)?;
        signal::handle(libc::SIGHUP, &[libc::SIGUSR2, real_time(5)])?;
        for value in FOR_PROCESS {
            signal::queue_for_process(real_time(3), value).context("queue for the process")?;
        }
        signal::queue_for_thread(real_time(4), FOR_THREAD).context("queue for the thread")?;
        Ok(Signals { blocked: blocked(), actions: actions()?, stack })
    }
}

impl Witness for Signals {
    fn name(&self) -> &'static str {
        "signals"
    }

    fn check(&mut self, findings: &mut Findings) {
        findings.equal("blocked", format!("{:016x}", self.blocked), format!("{:016x}", blocked()));
        if let Some(found) = findings.tried("pending", pending()) {
            let expected = bits(&[real_time(3), real_time(4)]);
            // The one that asks for the verdict may come in the middle of a check.
            let found = found & !bits(&[libc::SIGTERM]);
            findings.equal("pending", format!("{expected:016x}"), format!("{found:016x}"));
        }
        if let Some(found) = findings.tried("actions", actions()) {
            for ((number, expected), found) in numbers().zip(&self.actions).zip(&found) {
                findings.equal(&format!("action.{number}"), expected, found);
            }
        }
        if let Some(found) = findings.tried("stack", stack()) {
            findings.equal("stack", (self.stack, STACK_BYTES), found);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        for value in FOR_PROCESS {
            expect(real_time(3), value, findings);
        }
        expect(real_time(4), FOR_THREAD, findings);
        if let Some(at) = findings.tried("handler", raise(libc::SIGHUP)) {
            let stack = self.stack as i128..=(self.stack + STACK_BYTES) as i128;
            findings.within("handler.stack", stack, at as i128);
        }
    }
}

/// Takes the next signal of a number: it was queued by this process with that value.
fn expect(signal: signal::Number, value: usize, findings: &mut Findings) {
    let expected = Taken { signal, code: libc::SI_QUEUE, pid: std::process::id() as i32, value };
    let name = format!("queued.{value:x}");
    if let Some(found) = findings.tried(&name, signal::take(&[signal], Duration::ZERO)) {
        findings.equal(&name, Some(expected), found);
    }
}

/// All signals but those that the C library keeps to itself.
fn numbers() -> impl Iterator<Item = signal::Number> {
    (1..=31).chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
}

fn actions() -> io::Result<Vec<Action>> {
    numbers().map(action).collect()
}
