//! Terminals: settings, window, session and what waits. Other character devices have none of it.

use std::os::fd::BorrowedFd;

use nix::sys::termios::tcgetattr;

use crate::error::Result;
use crate::facts::Facts;
use crate::source::open_file::OpenFile;
use crate::sys;

/// Characters that the kernel has (`NCC`); the C library's array has room for more.
const CHARACTERS: usize = 19;

/// Numbers of any terminal, and how they are asked for.
const NUMBERS: &[(&str, libc::c_ulong)] = &[
    ("ldisc", libc::TIOCGETD as libc::c_ulong),
    ("exclusive", libc::TIOCGEXCL as libc::c_ulong),
    ("fionread", libc::FIONREAD as libc::c_ulong),
    ("outq", libc::TIOCOUTQ as libc::c_ulong),
];

/// Numbers that only a master has.
const OF_MASTERS: &[(&str, libc::c_ulong)] = &[
    ("packet_mode", libc::TIOCGPKT as libc::c_ulong),
    ("locked", libc::TIOCGPTLCK as libc::c_ulong),
];

/// Who is at a slave: a master may ask, and of others only who is there.
const TASKS: &[(&str, libc::c_ulong)] =
    &[("sid", libc::TIOCGSID as libc::c_ulong), ("pgrp", libc::TIOCGPGRP as libc::c_ulong)];

pub(crate) fn put(open: &OpenFile<'_>, file: BorrowedFd<'_>, facts: &mut Facts) -> Result<()> {
    let Ok(settings) = tcgetattr(file) else { return Ok(()) };
    let name = open.name;
    put_settings(&format!("{name}.c_"), &settings.into(), facts);
    let locked = sys::locked_settings(file).map_err(open.failed("TIOCGLCKTRMIOS"))?;
    put_settings(&format!("{name}.lck_"), &locked, facts);
    let [rows, columns, x, y] = sys::window_size(file).map_err(open.failed("TIOCGWINSZ"))?;
    facts.put(format!("{name}.winsize"), format!("{rows} {columns} {x} {y}"));
    for &(word, request) in NUMBERS {
        let value = sys::ioctl_int(file, request).map_err(open.failed("ioctl of a terminal"))?;
        facts.put(format!("{name}.{word}"), value);
    }
    for &(word, request) in OF_MASTERS {
        // A slave knows nothing of it.
        if let Ok(value) = sys::ioctl_int(file, request) {
            facts.put(format!("{name}.{word}"), value);
        }
    }
    for &(word, request) in TASKS {
        if let Ok(id) = sys::ioctl_int(file, request) {
            facts.put(format!("{name}.{word}"), open.pod.inner(id));
        }
    }
    Ok(())
}

fn put_settings(name: &str, settings: &libc::termios, facts: &mut Facts) {
    facts.put(format!("{name}iflag"), format!("{:o}", settings.c_iflag));
    facts.put(format!("{name}oflag"), format!("{:o}", settings.c_oflag));
    facts.put(format!("{name}cflag"), format!("{:o}", settings.c_cflag));
    facts.put(format!("{name}lflag"), format!("{:o}", settings.c_lflag));
    facts.put(format!("{name}cc"), format!("{:x?}", &settings.c_cc[..CHARACTERS]));
}
