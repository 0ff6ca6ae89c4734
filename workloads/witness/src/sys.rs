//! What neither std nor nix offers safely: each piece in a small module of its own.

pub mod descriptor;
pub mod fork;
pub mod map;
pub mod process;
pub mod registers;
pub mod signal;
pub mod sysv;
pub mod terminal;
pub mod timer;

/// The result of a C function that tells failure by -1.
fn checked(result: libc::c_int) -> std::io::Result<libc::c_int> {
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
