//! Lines for what only a tracer is told.

use super::Kind::{Content, Exact, Moment};
use super::Rule;
use super::lines::{STATE, lines};

const SIGNALS: &str = "ptrace(2) PTRACE_PEEKSIGINFO";
const REGISTERS: &str = "ptrace(2) PTRACE_GETREGSET NT_PRSTATUS";
const EXTENDED: &str = "ptrace(2) PTRACE_GETREGSET NT_X86_XSTATE";

pub(super) const TRACED: &[&[Rule]] = &[
    lines!("task.*.traced.regs.", REGISTERS;
        Exact, "", STATE =>
            "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rcx", "rdx", "rsi",
            "rdi", "eflags", "rsp", "fs_base", "gs_base", "cs", "ss", "ds", "es", "fs", "gs";
        Exact, "", "state, but for the restart of an interrupted system call" =>
            "rax", "rip", "orig_rax";
    ),
    lines!("task.*.traced.", EXTENDED;
        Content, "", "floating point and vectors" => "xstate.content";
        Moment, "", "which parts are in their first state: a hint of the processor" => "xstate.bv";
    ),
    lines!("task.*.traced.", "ptrace(2) PTRACE_SECCOMP_GET_FILTER";
        Content, "4.4", STATE => "seccomp.*.filter";
    ),
    lines!("task.*.traced.", "ptrace(2) PTRACE_SECCOMP_GET_METADATA";
        Exact, "4.16", "whether the filter logs" => "seccomp.*.flags";
    ),
    lines!("task.*.traced.", SIGNALS;
        Content, "3.10", STATE => "pending.*.si_value", "pending_shared.*.si_value";
        Exact, "3.10", STATE =>
            "pending.*.si_signo", "pending.*.si_errno", "pending.*.si_code", "pending.*.si_pid",
            "pending.*.si_uid", "pending_shared.*.si_signo", "pending_shared.*.si_errno",
            "pending_shared.*.si_code", "pending_shared.*.si_pid", "pending_shared.*.si_uid";
    ),
    lines!("task.*.traced.", "ptrace(2) PTRACE_GETSIGMASK";
        Exact, "3.11", "what is blocked again after a call that blocks other signals meanwhile" =>
            "sigmask";
    ),
    lines!("task.*.traced.rseq.", "ptrace(2) PTRACE_GET_RSEQ_CONFIGURATION";
        Exact, "5.13", STATE => "abi_pointer", "abi_size", "signature", "flags";
    ),
    lines!("task.*.traced.", "ptrace(2) PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG";
        Exact, "6.4", STATE => "syscall_user_dispatch";
    ),
];
