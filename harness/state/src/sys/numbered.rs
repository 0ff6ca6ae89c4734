//! A process for a moment, as a member of another pid namespace.
//!
//! What the kernel shows to the members of a pid namespace only has to be read by one. A new member
//! would move the namespace's count of pids on, unless its number is chosen (clone3(2), `set_tid`).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::{Result, checked};

/// What a member of the namespace sees of a file.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// The file's inode: files that a namespace has of its own have another one.
    pub(crate) inode: u64,
    /// How many bytes it has, or the kernel's negative error number.
    length: i64,
    bytes: [u8; 48],
}

const NOTHING: View = View { inode: 0, length: 0, bytes: [0; 48] };

impl View {
    /// What is in the file.
    pub(crate) fn text(&self) -> Result<String> {
        match usize::try_from(self.length) {
            Ok(length) => Ok(String::from_utf8_lossy(&self.bytes[..length]).into_owned()),
            Err(_) => Err(io::Error::from_raw_os_error(-self.length as i32)),
        }
    }
}

/// `struct clone_args`, up to what is used here.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
}

/// Files as they are seen by a process that bears this number in the pid namespace for children of
/// the calling thread. `EEXIST` when somebody bears it already.
pub(crate) fn views<const N: usize>(number: i32, paths: [&CStr; N]) -> Result<[View; N]> {
    let (reader, writer) = io::pipe()?;
    let args = CloneArgs {
        set_tid: std::ptr::from_ref(&number) as u64,
        set_tid_size: 1,
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM, so that the child has its own copy of all memory. It makes system
    // calls only, as other threads may have held locks, and ends.
    let child = checked(unsafe {
        let child = libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>());
        if child == 0 {
            tell(writer.as_raw_fd(), paths.map(look));
        }
        child
    })?;
    drop(writer);
    let told = take(reader.as_raw_fd());
    reap(child as i32)?;
    told
}

/// Sends everything at once, since it fits into a pipe, and ends the process.
fn tell<const N: usize>(pipe: RawFd, views: [View; N]) -> ! {
    // SAFETY: reads as many bytes as `views` has. Nothing of the parent's is cleaned up at the end.
    unsafe {
        libc::write(pipe, views.as_ptr().cast(), size_of_val(&views));
        libc::_exit(0)
    }
}

fn look(path: &CStr) -> View {
    let mut view = NOTHING;
    // SAFETY: `path` ends with a zero; the kernel writes one `stat`, and into `bytes` at most its
    // length.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let mut stat: libc::stat = std::mem::zeroed();
        if fd < 0 || libc::fstat(fd, &raw mut stat) < 0 {
            view.length = -i64::from(*libc::__errno_location());
            return view;
        }
        view.inode = stat.st_ino;
        view.length = libc::read(fd, view.bytes.as_mut_ptr().cast(), view.bytes.len()) as i64;
        if view.length < 0 {
            view.length = -i64::from(*libc::__errno_location());
        }
    }
    view
}

fn take<const N: usize>(pipe: RawFd) -> Result<[View; N]> {
    let mut views = [NOTHING; N];
    let size = size_of_val(&views);
    // SAFETY: the kernel writes at most the size of `views`, in which every pattern of bits is valid.
    let got =
        checked(unsafe { libc::read(pipe, views.as_mut_ptr().cast(), size) } as libc::c_long)?;
    if got as usize == size { Ok(views) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A child that ends without a signal is waited for by `__WALL` only.
fn reap(child: i32) -> Result<()> {
    loop {
        // SAFETY: no status is asked for.
        let waited = unsafe { libc::waitpid(child, std::ptr::null_mut(), libc::__WALL) };
        match checked(waited.into()) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn a_member_sees_the_count_of_its_namespace_and_does_not_move_it() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("not tried: only root makes a pid namespace");
            return;
        }
        let seen = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWPID).expect("a pid namespace");
            let mut first = Command::new("sleep").arg("600").spawn().expect("its first process");
            let look = || views(200, [c"/proc/sys/kernel/ns_last_pid", c"/proc/no/such/file"]);
            let seen = [look(), look()];
            first.kill().and_then(|()| first.wait()).expect("its end");
            seen
        });
        for views in seen.join().expect("no panic") {
            let [last, missing] = views.expect("views");
            assert_eq!(last.text().expect("a number").trim_end(), "1");
            let error = missing.text().expect_err("no such file");
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}
