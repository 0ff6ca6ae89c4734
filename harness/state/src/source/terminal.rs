//! Terminals: settings and window size. Other character devices have neither.

use std::os::fd::BorrowedFd;

use nix::sys::termios::tcgetattr;

use crate::error::Result;
use crate::facts::Facts;
use crate::source::open_file::OpenFile;
use crate::sys;

pub(crate) fn put(open: &OpenFile<'_>, file: BorrowedFd<'_>, facts: &mut Facts) -> Result<()> {
    let Ok(settings) = tcgetattr(file) else { return Ok(()) };
    let settings = libc::termios::from(settings);
    let name = open.name;
    facts.put(format!("{name}.c_iflag"), format!("{:o}", settings.c_iflag));
    facts.put(format!("{name}.c_oflag"), format!("{:o}", settings.c_oflag));
    facts.put(format!("{name}.c_cflag"), format!("{:o}", settings.c_cflag));
    facts.put(format!("{name}.c_lflag"), format!("{:o}", settings.c_lflag));
    facts.put(format!("{name}.c_cc"), format!("{:x?}", settings.c_cc));
    let [rows, columns, x, y] = sys::window_size(file).map_err(open.failed("TIOCGWINSZ"))?;
    facts.put(format!("{name}.winsize"), format!("{rows} {columns} {x} {y}"));
    let unread = sys::ioctl_int(file, libc::FIONREAD).map_err(open.failed("FIONREAD"))?;
    facts.put(format!("{name}.fionread"), unread);
    Ok(())
}
