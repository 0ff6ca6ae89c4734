//! What only a tracer can change: registers, blocked signals, dispatch of system calls.
//!
//! A frozen thread can be seized: it goes into the tracer's trap and, once it is let go, back
//! into the freezer, without an instruction in between.

use std::time::Duration;

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::poll::{PollTimeout, poll};
use nix::sys::ptrace;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::pod::{Pod, Thread};
use super::sys;
use crate::clock;

/// How long a frozen thread may take to reach the tracer's trap.
const DEADLINE: Duration = Duration::from_secs(10);

/// Numbers of sets of registers, see `NT_*` in include/uapi/linux/elf.h.
const GENERAL: u32 = 1;
const FLOATING: u32 = 2;

/// A change of a thread that is held by a tracer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Traced {
    tid: i32,
    change: Change,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Register { set: u32, byte: usize },
    SignalMask { number: u32 },
    Dispatch,
}

/// General registers in the order of `struct user_regs_struct`; segments cannot be chosen.
const REGISTERS: [(&str, usize); 21] = [
    ("r15", 0),
    ("r14", 1),
    ("r13", 2),
    ("r12", 3),
    ("rbp", 4),
    ("rbx", 5),
    ("r11", 6),
    ("r10", 7),
    ("r9", 8),
    ("r8", 9),
    ("rax", 10),
    ("rcx", 11),
    ("rdx", 12),
    ("rsi", 13),
    ("rdi", 14),
    ("rip", 16),
    ("eflags", 18),
    ("rsp", 19),
    ("fs_base", 21),
    ("gs_base", 22),
    ("orig_rax", 15),
];

/// Places in the image of `fxsave`: control words, stack, vector registers.
const FLOATING_REGISTERS: [(&str, usize); 7] = [
    ("fcw", 0),
    ("fop", 6),
    ("mxcsr", 25),
    ("st0", 32),
    ("xmm0", 160),
    ("xmm7", 272),
    ("xmm15", 400),
];

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    for thread in pod.living().flat_map(|task| &task.threads) {
        for (name, index) in REGISTERS {
            register(thread, name, GENERAL, index * size_of::<u64>(), offers);
        }
        for (name, byte) in FLOATING_REGISTERS {
            register(thread, name, FLOATING, byte, offers);
        }
        for number in [10, 34, 64] {
            let what = format!("signal {number} of {} is blocked, or no longer", thread.name);
            let act =
                Act::Traced(Traced { tid: thread.tid, change: Change::SignalMask { number } });
            offers.live(format!("signal-mask/{}/{number}", thread.name), what, &act);
        }
        let what = format!("system calls of {} are dispatched to itself", thread.name);
        let act = Act::Traced(Traced { tid: thread.tid, change: Change::Dispatch });
        offers.live(format!("dispatch/{}/on", thread.name), what, &act);
    }
    Ok(())
}

fn register(thread: &Thread, name: &str, set: u32, byte: usize, offers: &mut Offers) {
    let what = format!("the lowest bit of register {name} of {}", thread.name);
    let act = Act::Traced(Traced { tid: thread.tid, change: Change::Register { set, byte } });
    offers.live(format!("register/{}/{name}", thread.name), what, &act);
}

impl Traced {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let tid = Pid::from_raw(self.tid);
        ptrace::seize(tid, ptrace::Options::empty()).context("ptrace seize")?;
        let done = ptrace::interrupt(tid)
            .context("ptrace interrupt")
            .and_then(|()| self.until_stopped())
            .and_then(|()| self.change());
        ptrace::detach(tid, None).context("ptrace detach")?;
        done
    }

    fn until_stopped(&self) -> anyhow::Result<()> {
        let end = clock::monotonic_ns() + DEADLINE.as_nanos() as u64;
        while ptrace::getsiginfo(Pid::from_raw(self.tid)) == Err(Errno::ESRCH) {
            if clock::monotonic_ns() > end {
                bail!("{} does not stop for its tracer", self.tid);
            }
            poll(&mut [], PollTimeout::from(1u8))?;
        }
        Ok(())
    }

    fn change(&self) -> anyhow::Result<()> {
        match self.change {
            Change::Register { set, byte } => {
                let before = sys::registers(self.tid, set)?;
                let mut after = before.clone();
                *after.get_mut(byte).context("no such register")? ^= 1;
                sys::set_registers(self.tid, set, &mut after)
                    .map_err(|error| refused("the register", error))?;
                changed("the register", &before[byte], &sys::registers(self.tid, set)?[byte])
            }
            Change::SignalMask { number } => {
                let before = sys::signal_mask(self.tid)?;
                sys::set_signal_mask(self.tid, before ^ 1 << (number - 1))?;
                changed("the mask", &before, &sys::signal_mask(self.tid)?)
            }
            Change::Dispatch => {
                let before = sys::dispatch(self.tid).map_err(|error| refused("ptrace", error))?;
                // On, with nothing that is let through, and no selector.
                let on = [1, 0, 0, 0];
                sys::set_dispatch(self.tid, &on).map_err(|error| refused("ptrace", error))?;
                changed("the dispatch", &before, &sys::dispatch(self.tid)?)
            }
        }
    }
}
