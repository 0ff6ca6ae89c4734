//! System calls that neither std nor nix offers.
#![expect(unsafe_code, reason = "prctl and calls by number")]

use std::io;

use nix::errno::Errno;

/// System calls without arguments and without effect, by name.
const CALLS: [(&str, i64); 4] = [
    ("getegid", libc::SYS_getegid),
    ("getpgrp", libc::SYS_getpgrp),
    ("getppid", libc::SYS_getppid),
    ("sched_yield", libc::SYS_sched_yield),
];

/// The number of one of [`CALLS`].
pub(crate) fn number(name: &str) -> Option<i64> {
    CALLS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// Makes one of [`CALLS`].
pub(crate) fn call(number: i64) -> io::Result<()> {
    // SAFETY: those calls take no argument.
    Errno::result(unsafe { libc::syscall(number) })?;
    Ok(())
}

/// Bits of capabilities(7), "The securebits flags".
pub(crate) fn securebits() -> i32 {
    // SAFETY: the call takes a number and touches no memory.
    unsafe { libc::prctl(libc::PR_GET_SECUREBITS) }
}

/// Sets these bits for the calling thread.
pub(crate) fn set_securebits(bits: u64) -> io::Result<()> {
    // SAFETY: the call takes numbers and touches no memory.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits) })?;
    Ok(())
}
