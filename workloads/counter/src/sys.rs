//! What neither std nor nix offers safely: each piece in a small module of its own.

pub(crate) mod descriptor;
pub(crate) mod fork;
pub(crate) mod map;
pub(crate) mod process;
pub(crate) mod signal;
pub(crate) mod sysv;

/// The result of a C function that tells failure by -1.
fn checked(result: libc::c_int) -> std::io::Result<libc::c_int> {
    if result == -1 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
