//! Registers of a thread that a tracer holds.

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::Thread;
use crate::sys;

/// General registers in the order of `struct user_regs_struct`, arch/x86/include/asm/user_64.h.
const GENERAL: &[&str] = &[
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi",
    "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs",
    "gs",
];

const NT_PRSTATUS: i32 = 1;
const NT_PRFPREG: i32 = 2;
const NT_X86_XSTATE: i32 = 0x202;

/// Where an extended state has what is not the thread's: the kernel's own words at the end of the
/// legacy area, then the header, which begins with the mask of parts that are not in their first
/// state. The kernel fills those in with their first values, so their content does not depend on it.
const OWN_WORDS: usize = 464;
const HEADER: usize = 512;
const AFTER_HEADER: usize = 576;

/// Writes down the general registers one by one, floating point and vectors by their digest.
pub(super) fn put(thread: &Thread, name: &str, facts: &mut Facts) -> Result<()> {
    let failed = |error| Error::call("ptrace getregset", &thread.name, error);
    let general = sys::ptrace_registers(thread.tid, NT_PRSTATUS).map_err(failed)?;
    let words = general.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_ne_bytes));
    for (register, value) in GENERAL.iter().zip(words) {
        facts.put(format!("{name}.regs.{register}"), format!("{value:#x}"));
    }
    match sys::ptrace_registers(thread.tid, NT_X86_XSTATE) {
        Ok(state) if state.len() >= AFTER_HEADER => extended(&state, name, facts),
        // A processor without XSAVE.
        Ok(_) | Err(_) => {
            let legacy = sys::ptrace_registers(thread.tid, NT_PRFPREG).map_err(failed)?;
            let end = legacy.len().min(OWN_WORDS);
            facts.content(format!("{name}.xstate.content"), &legacy[..end]);
        }
    }
    Ok(())
}

fn extended(state: &[u8], name: &str, facts: &mut Facts) {
    let content = [&state[..OWN_WORDS], &state[AFTER_HEADER..]].concat();
    facts.content(format!("{name}.xstate.content"), &content);
    let mask = state[HEADER..HEADER + 8].try_into().map_or(0, u64::from_ne_bytes);
    facts.put(format!("{name}.xstate.bv"), format!("{mask:#x}"));
}
