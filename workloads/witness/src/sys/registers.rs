//! Registers that the kernel keeps for a thread while it waits.
#![expect(unsafe_code, reason = "sets registers")]

use std::arch::asm;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

const ARCH_SET_GS: i32 = 0x1001;
const ARCH_GET_GS: i32 = 0x1004;

/// The control word of vector arithmetic with rounding up instead of to the nearest.
pub const ROUND_UP: u32 = 0x1f80 | 0x4000;

/// Sets the base of the segment gs, which nobody else uses, for the calling thread.
pub fn set_base(base: usize) -> io::Result<()> {
    // SAFETY: neither the C library nor the compiler uses gs in a 64-bit process.
    let done = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, base) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The base of gs.
pub fn base() -> io::Result<usize> {
    let mut base = 0usize;
    // SAFETY: the kernel writes one word.
    let done = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_GET_GS, &raw mut base) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(base) }
}

/// The control word of vector arithmetic, without the flags of what has happened.
#[must_use]
pub fn control() -> u32 {
    let mut word = 0u32;
    // SAFETY: stores one word where it belongs.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack)) };
    word & !0x3f
}

/// Sets the control word of vector arithmetic for the calling thread, which must not calculate with
/// fractions from then on.
pub fn set_control(word: u32) {
    // SAFETY: loads a valid control word: no exception is unmasked.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, readonly)) };
}

/// Reads a byte with a value in every vector register; whether all of them are still there then.
///
/// A call that ends with EINTR is begun again by the caller, with the same values.
pub fn keep(bell: impl AsFd) -> io::Result<bool> {
    let before: [u64; 32] = std::array::from_fn(|at| 0x0101_0101_0101_0101 * (at as u64 + 1));
    let mut after = [0u64; 32];
    let mut byte = 0u8;
    let mut result = libc::SYS_read;
    // SAFETY: loads and stores sixteen registers of sixteen bytes from and to arrays of that size,
    // and reads one byte into one byte. The call itself changes rax, rcx and r11 only.
    unsafe {
        asm!(
            "movdqu xmm0, [{before}]", "movdqu xmm1, [{before} + 16]",
            "movdqu xmm2, [{before} + 32]", "movdqu xmm3, [{before} + 48]",
            "movdqu xmm4, [{before} + 64]", "movdqu xmm5, [{before} + 80]",
            "movdqu xmm6, [{before} + 96]", "movdqu xmm7, [{before} + 112]",
            "movdqu xmm8, [{before} + 128]", "movdqu xmm9, [{before} + 144]",
            "movdqu xmm10, [{before} + 160]", "movdqu xmm11, [{before} + 176]",
            "movdqu xmm12, [{before} + 192]", "movdqu xmm13, [{before} + 208]",
            "movdqu xmm14, [{before} + 224]", "movdqu xmm15, [{before} + 240]",
            "syscall",
            "movdqu [{after}], xmm0", "movdqu [{after} + 16], xmm1",
            "movdqu [{after} + 32], xmm2", "movdqu [{after} + 48], xmm3",
            "movdqu [{after} + 64], xmm4", "movdqu [{after} + 80], xmm5",
            "movdqu [{after} + 96], xmm6", "movdqu [{after} + 112], xmm7",
            "movdqu [{after} + 128], xmm8", "movdqu [{after} + 144], xmm9",
            "movdqu [{after} + 160], xmm10", "movdqu [{after} + 176], xmm11",
            "movdqu [{after} + 192], xmm12", "movdqu [{after} + 208], xmm13",
            "movdqu [{after} + 224], xmm14", "movdqu [{after} + 240], xmm15",
            before = in(reg) before.as_ptr(),
            after = in(reg) after.as_mut_ptr(),
            inlateout("rax") result,
            in("rdi") i64::from(bell.as_fd().as_raw_fd()),
            in("rsi") &raw mut byte,
            in("rdx") 1u64,
            out("rcx") _, out("r11") _,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
            out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
            out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
            out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            options(nostack),
        );
    }
    match result {
        1 => Ok(before == after),
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        error => Err(io::Error::from_raw_os_error(i32::try_from(-error).unwrap_or(libc::EINVAL))),
    }
}
