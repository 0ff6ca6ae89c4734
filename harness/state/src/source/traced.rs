//! What only a tracer is told: registers, rseq, seccomp filters, pending signals, syscall dispatch.
//!
//! A task that is frozen in its cgroup may be seized and interrupted: it goes from the freezer's
//! trap to the tracer's and back, and neither runs an instruction nor takes a signal on the way
//! (`get_signal()` in kernel/signal.c looks at both traps before it dequeues). A task that is not
//! frozen would run between two such stops, so it is left alone.

use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollTimeout, poll};
use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Pod, Thread};
use crate::source::{clock, registers, sharing};
use crate::sys::Shared;
use crate::{read, sys};

/// A registered rseq area: the first process of its address space, and its address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RseqArea {
    pub(crate) pid: i32,
    pub(crate) address: u64,
}

/// How long a frozen thread may take to reach the tracer's trap.
const DEADLINE: Duration = Duration::from_secs(10);

/// Looks at every thread of the pod as a tracer and returns the rseq areas that it found.
pub(crate) fn pod(pod: &Pod<'_>, facts: &mut Facts) -> Result<Vec<RseqArea>> {
    let mut areas = Vec::new();
    for container in &pod.containers {
        if !frozen(&container.status.cgroup)? {
            facts.not_offered("task.*.traced.*", "a tracer looks at frozen tasks only");
            continue;
        }
        for task in container.tasks.iter().filter(|task| !task.zombie) {
            let pid = sharing::first(pod, task, Shared::Vm)?.pid;
            for thread in &task.threads {
                let rseq = held(thread, facts)?;
                areas.extend(rseq.map(|rseq| RseqArea { pid, address: rseq.pointer }));
            }
        }
        settle(&container.status.cgroup)?;
    }
    Ok(areas)
}

fn frozen(cgroup: &std::path::Path) -> Result<bool> {
    Ok(read::text(cgroup.join("cgroup.events"))?.lines().any(|line| line == "frozen 1"))
}

/// Holds a thread in the tracer's trap while it is looked at, and lets it go in any case. Returns
/// its rseq area, if it has registered one.
fn held(thread: &Thread, facts: &mut Facts) -> Result<Option<sys::Rseq>> {
    let tid = Pid::from_raw(thread.tid);
    let failed = |call: &'static str| {
        move |errno: Errno| Error::call(call, format!("{} ({tid})", thread.name), errno)
    };
    match ptrace::seize(tid, ptrace::Options::empty()) {
        Ok(()) => {}
        Err(Errno::EPERM) => {
            facts.not_offered(format!("{}.traced.*", thread.name), "another tracer has it");
            return Ok(None);
        }
        Err(errno) => return Err(failed("ptrace seize")(errno)),
    }
    let seen = ptrace::interrupt(tid)
        .map_err(failed("ptrace interrupt"))
        .and_then(|()| stopped(thread))
        .and_then(|()| look(thread, facts));
    let released = ptrace::detach(tid, None).map_err(failed("ptrace detach"));
    let rseq = seen.and_then(|seen| released.map(|()| seen))?;
    Ok((rseq.pointer != 0).then_some(rseq))
}

/// Waits for the stop by asking, not by waitpid(2): as PID 1 this process has a reaper that may
/// take the news away.
fn stopped(thread: &Thread) -> Result<()> {
    until(&format!("the tracer's stop of {}", thread.name), || {
        match ptrace::getsiginfo(Pid::from_raw(thread.tid)) {
            Ok(_) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            // Stopped, but not for a signal.
            Err(Errno::EINVAL) => Ok(true),
            Err(errno) => Err(Error::call("ptrace getsiginfo", &thread.name, errno)),
        }
    })
}

/// Waits until the freezer has all tasks of a cgroup back.
fn settle(cgroup: &std::path::Path) -> Result<()> {
    until(&format!("{} to be frozen again", cgroup.display()), || frozen(cgroup))
}

fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let id = nix::time::ClockId::CLOCK_MONOTONIC;
    let end = clock::now_ns(id)? + DEADLINE.as_nanos() as i64;
    while !holds()? {
        if clock::now_ns(id)? > end {
            return Err(Error::call("waiting", what, Errno::ETIMEDOUT));
        }
        poll(&mut [], PollTimeout::from(1u8)).map_err(|errno| Error::call("poll", what, errno))?;
    }
    Ok(())
}

fn look(thread: &Thread, facts: &mut Facts) -> Result<sys::Rseq> {
    let name = format!("{}.traced", thread.name);
    let dispatch = sys::ptrace_dispatch(thread.tid);
    if let Some(config) = offered("syscall_user_dispatch", dispatch, facts)? {
        facts.put(format!("{name}.syscall_user_dispatch"), format!("{config:x?}"));
    }
    registers::put(thread, &name, facts)?;
    if let Some(mask) = offered("sigmask", sys::ptrace_sigmask(thread.tid), facts)? {
        facts.put(format!("{name}.sigmask"), format!("{mask:016x}"));
    }
    seccomp_filters(thread, &name, facts)?;
    pending_signals(thread, &name, facts)?;
    let rseq = offered("rseq.*", sys::ptrace_rseq(thread.tid), facts)?.unwrap_or_default();
    facts.put(format!("{name}.rseq.abi_pointer"), format!("{:#x}", rseq.pointer));
    facts.put(format!("{name}.rseq.abi_size"), rseq.size);
    facts.put(format!("{name}.rseq.signature"), format!("{:#x}", rseq.signature));
    facts.put(format!("{name}.rseq.flags"), rseq.flags);
    Ok(rseq)
}

fn seccomp_filters(thread: &Thread, name: &str, facts: &mut Facts) -> Result<()> {
    let mut index = 0;
    loop {
        match sys::ptrace_seccomp(thread.tid, index) {
            Ok(Some(filter)) => {
                facts.content(format!("{name}.seccomp.{index}.filter"), &filter);
                let flags = sys::ptrace_seccomp_flags(thread.tid, index as u64);
                let flags = flags.map_err(|error| Error::call("ptrace seccomp", name, error))?;
                facts.put(format!("{name}.seccomp.{index}.flags"), format!("{flags:#x}"));
            }
            Ok(None) => return Ok(()),
            // No filter mode at all.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            Err(error) => return Err(Error::call("ptrace seccomp", &thread.name, error)),
        }
        index += 1;
    }
}

/// Signals that wait for the thread, and, told once by the first thread, for the process.
fn pending_signals(thread: &Thread, name: &str, facts: &mut Facts) -> Result<()> {
    for (process, word) in [(false, "pending"), (true, "pending_shared")] {
        let mut index = 0;
        while let Some(info) = (thread.is_first() || !process)
            .then(|| sys::ptrace_pending(thread.tid, process, index))
            .transpose()
            .map_err(|error| Error::call("ptrace peeksiginfo", &thread.name, error))?
            .flatten()
        {
            signal(&format!("{name}.{word}.{index}"), &info, facts);
            index += 1;
        }
    }
    Ok(())
}

/// A `siginfo_t`: number, errno, code, then (for what is sent by tasks) pid, uid and value. The
/// pid is already the receiver's number of the sender.
fn signal(name: &str, info: &[u8; sys::SIGINFO_BYTES], facts: &mut Facts) {
    let int = |at: usize| i32::from_ne_bytes(info[at..at + 4].try_into().unwrap_or_default());
    facts.put(format!("{name}.si_signo"), int(0));
    facts.put(format!("{name}.si_errno"), int(4));
    facts.put(format!("{name}.si_code"), int(8));
    facts.put(format!("{name}.si_pid"), int(16));
    facts.put(format!("{name}.si_uid"), int(20));
    facts.content(format!("{name}.si_value"), &info[24..]);
}

/// An answer, or nothing where this kernel does not know the question.
fn offered<T>(what: &str, answer: std::io::Result<T>, facts: &mut Facts) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.raw_os_error() == Some(libc::EIO) => {
            facts.not_offered(format!("task.*.traced.{what}"), "this kernel's ptrace lacks it");
            Ok(None)
        }
        Err(error) => Err(Error::call("ptrace", what, error)),
    }
}
