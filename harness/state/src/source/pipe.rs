//! Pipes: what is in them, left there.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::source::open_file::OpenFile;
use crate::sys;

pub(crate) fn put(open: &OpenFile<'_>, pipe: BorrowedFd<'_>, facts: &mut Facts) -> Result<()> {
    let unread = match sys::ioctl_int(pipe, libc::FIONREAD) {
        Ok(unread) => unread,
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => return Ok(()),
        Err(error) => return Err(open.failed("ioctl FIONREAD")(error)),
    };
    facts.put(format!("{}.fionread", open.name), unread);
    if open.readable() {
        facts.content(format!("{}.content", open.name), &copy(open, pipe)?);
    }
    Ok(())
}

/// The pipe's content, through a second pipe that is as large.
fn copy(open: &OpenFile<'_>, pipe: BorrowedFd<'_>) -> Result<Vec<u8>> {
    let failed = |errno| Error::call("pipe", open.name, errno);
    let (reader, writer) =
        nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(failed)?;
    let size = fcntl(pipe, FcntlArg::F_GETPIPE_SZ).map_err(failed)?;
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(size)).map_err(failed)?;
    match sys::tee(pipe, writer.as_fd(), size as usize) {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return Ok(Vec::new()),
        Err(error) => return Err(open.failed("tee")(error)),
    }
    drop(writer);
    let mut content = Vec::new();
    File::from(reader).read_to_end(&mut content).map_err(open.failed("reading the copy"))?;
    Ok(content)
}
