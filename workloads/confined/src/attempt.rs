//! Attempts: each does something for real and leaves nothing behind, and something comes of it: `ok`,
//! `empty` where there was nothing to be read, or the name of an errno.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Pid, Uid, chroot, fchown, gethostname, sethostname};

use crate::sys;

/// Where a device would be made.
const DEVICE: &str = "/dev/shm/device";

/// Something to try.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    kind: Kind,
    word: String,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A system call that has no effect, by its name.
    Call,
    /// To give a file of its own to a user.
    Chown,
    /// To change the root to `/`.
    Chroot,
    /// To run a program.
    Exec,
    /// To name the host as it is named.
    Hostname,
    /// To list a folder.
    List,
    /// To make a device.
    Mknod,
    /// To mount a tmpfs on a folder.
    Mount,
    /// To open a socket that hears all frames.
    Packet,
    /// To listen at a port of the loopback device.
    Port,
    /// To open a raw socket.
    Raw,
    /// To read from a file.
    Read,
    /// To send itself a signal that does nothing.
    Signal,
    /// To open a file for writing.
    Write,
}

impl Attempt {
    /// Reads `KIND` or `KIND:WORD`.
    pub(crate) fn parse(text: &str) -> Option<Attempt> {
        let (kind, word) = text.split_once(':').unwrap_or((text, ""));
        let kind = match kind {
            "call" if sys::number(word).is_some() => Kind::Call,
            "chown" if word.parse::<u32>().is_ok() => Kind::Chown,
            "chroot" => Kind::Chroot,
            "exec" => Kind::Exec,
            "hostname" => Kind::Hostname,
            "list" => Kind::List,
            "mknod" => Kind::Mknod,
            "mount" => Kind::Mount,
            "packet" => Kind::Packet,
            "port" if word.parse::<u16>().is_ok() => Kind::Port,
            "raw" => Kind::Raw,
            "read" => Kind::Read,
            "signal" => Kind::Signal,
            "write" => Kind::Write,
            _ => return None,
        };
        Some(Attempt { kind, word: word.to_owned() })
    }

    /// What comes of it.
    pub(crate) fn outcome(&self) -> String {
        match self.dare() {
            Ok(Some(0)) => "empty".to_owned(),
            Ok(_) => "ok".to_owned(),
            Err(error) => match error.raw_os_error() {
                Some(number) => format!("{:?}", Errno::from_raw(number)),
                None => error.to_string(),
            },
        }
    }

    /// How much was read, where something is read.
    fn dare(&self) -> io::Result<Option<usize>> {
        let word = self.word.as_str();
        match self.kind {
            Kind::Read => File::open(word)?.read(&mut [0]).map(Some),
            Kind::List => Ok(Some(fs::read_dir(word)?.count())),
            Kind::Call => sys::call(sys::number(word).unwrap_or_default()).map(|()| None),
            Kind::Chown => {
                let file = memfd_create(c"attempt", MFdFlags::MFD_CLOEXEC)?;
                let user = word.parse().map(Uid::from_raw).map_err(io::Error::other)?;
                done(fchown(&file, Some(user), None))
            }
            Kind::Chroot => done(chroot("/")),
            Kind::Exec => {
                let mut program = Command::new(word);
                program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                program.status().map(|_| None)
            }
            Kind::Hostname => done(sethostname(gethostname()?)),
            Kind::Mknod => {
                let mode = Mode::from_bits_truncate(0o600);
                mknod(DEVICE, SFlag::S_IFCHR, mode, makedev(1, 3))?;
                fs::remove_file(DEVICE).map(|()| None)
            }
            Kind::Mount => mount(word),
            Kind::Packet => opened(AddressFamily::Packet, None),
            Kind::Port => {
                let port = word.parse().map_err(io::Error::other)?;
                TcpListener::bind(("127.0.0.1", port)).map(|_| None)
            }
            Kind::Raw => opened(AddressFamily::Inet, Some(SockProtocol::Icmp)),
            // Whoever does not handle it ignores it.
            Kind::Signal => done(kill(Pid::this(), Signal::SIGWINCH)),
            Kind::Write => OpenOptions::new().append(true).create(true).open(word).map(|_| None),
        }
    }
}

fn done(result: nix::Result<()>) -> io::Result<Option<usize>> {
    Ok(result.map(|()| None)?)
}

fn mount(folder: &str) -> io::Result<Option<usize>> {
    let none = None::<&str>;
    nix::mount::mount(Some("attempt"), folder, Some("tmpfs"), MsFlags::empty(), none)?;
    done(nix::mount::umount(folder))
}

fn opened(
    family: AddressFamily,
    protocol: impl Into<Option<SockProtocol>>,
) -> io::Result<Option<usize>> {
    let opened = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol);
    done(opened.map(drop))
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = format!("{:?}", self.kind).to_lowercase();
        match self.word.as_str() {
            "" => f.write_str(&kind),
            word => write!(f, "{kind}:{word}"),
        }
    }
}
