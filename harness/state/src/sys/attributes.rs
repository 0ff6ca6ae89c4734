//! Extended attributes, by the path of a file or by an open one.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Result, checked};

/// The kernel tells no list and no value that is longer (XATTR_LIST_MAX, XATTR_SIZE_MAX).
const LONGEST: usize = 64 << 10;

/// Attributes of a file, not following a link, in the order of their names.
pub(crate) fn of_path(path: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let list = |room: &mut [u8]| {
        // SAFETY: `path` ends with a zero; the kernel writes at most the length of `room`.
        unsafe { libc::llistxattr(path.as_ptr(), room.as_mut_ptr().cast(), room.len()) }
    };
    all(list, |name, room| {
        // SAFETY: both texts end with a zero; the kernel writes at most the length of `room`.
        unsafe {
            libc::lgetxattr(path.as_ptr(), name.as_ptr(), room.as_mut_ptr().cast(), room.len())
        }
    })
}

/// Attributes of an open file, which may have no path any more.
pub(crate) fn of_open(file: BorrowedFd<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let fd = file.as_raw_fd();
    let list = |room: &mut [u8]| {
        // SAFETY: the kernel writes at most the length of `room`.
        unsafe { libc::flistxattr(fd, room.as_mut_ptr().cast(), room.len()) }
    };
    all(list, |name, room| {
        // SAFETY: `name` ends with a zero; the kernel writes at most the length of `room`.
        unsafe { libc::fgetxattr(fd, name.as_ptr(), room.as_mut_ptr().cast(), room.len()) }
    })
}

fn all(
    list: impl Fn(&mut [u8]) -> libc::ssize_t,
    get: impl Fn(&CStr, &mut [u8]) -> libc::ssize_t,
) -> Result<Vec<(String, Vec<u8>)>> {
    let mut room = vec![0u8; LONGEST];
    let got = match checked(list(&mut room) as libc::c_long) {
        Ok(got) => got as usize,
        Err(error) if error.raw_os_error() == Some(libc::ENOTSUP) => 0,
        Err(error) => return Err(error),
    };
    let mut attributes = Vec::new();
    for name in room[..got].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let name = CString::new(name)?;
        let mut value = vec![0u8; LONGEST];
        let length = checked(get(&name, &mut value) as libc::c_long)?;
        value.truncate(length as usize);
        attributes.push((name.to_string_lossy().into_owned(), value));
    }
    attributes.sort();
    Ok(attributes)
}
