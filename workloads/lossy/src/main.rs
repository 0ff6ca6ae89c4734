//! Holds state that CRIU is known to lose: `docs/losses.md` tells what, and the expectations know
//! each loss. So a CRIU that mends one is noticed, and whoever wants to mend one can see it.
//!
//! It attests nothing: what it would say is known. It says `ready` and waits for SIGTERM.

mod sys;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::Command;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

/// The argument with which a child makes System V objects, and leaves them behind.
const LEAVE_OBJECTS: &str = "leave-objects";

/// Where a socket and a deleted file are.
const FOLDER: &str = "/dev/shm";

/// So long a thread waits: the pod does not live to see its end.
const LONG: Duration = Duration::from_secs(86_400);

fn main() -> io::Result<()> {
    if std::env::args().nth(1).as_deref() == Some(LEAVE_OBJECTS) {
        return sys::leave_objects();
    }
    let mut end = SigSet::empty();
    end.add(Signal::SIGTERM);
    end.thread_block()?;
    let _held = hold()?;
    let mut stdout = io::stdout();
    writeln!(stdout, "ready")?;
    stdout.flush()?;
    end.wait()?;
    Ok(())
}

/// What is held until the end.
struct Held {
    _streams: [Stream; 2],
    _semaphore: EventFd,
    _folder: OwnedFd,
    _deleted: File,
    _never: Sender<()>,
}

/// A connection between a listener that has an address and a client.
struct Stream {
    _listener: UnixListener,
    _client: UnixStream,
    _accepted: UnixStream,
}

fn hold() -> io::Result<Held> {
    attributes()?;
    sys::map_wiped_on_fork()?;
    let child = Command::new("/proc/self/exe").arg(LEAVE_OBJECTS).status()?;
    if !child.success() {
        return Err(io::Error::other(format!("System V objects: {child}")));
    }
    let (never, wait) = mpsc::channel::<()>();
    thread::spawn(move || wait.recv_timeout(LONG));
    Ok(Held {
        _streams: [
            Stream::to(&SocketAddr::from_abstract_name("lossy")?)?,
            Stream::to(&SocketAddr::from_pathname(format!("{FOLDER}/lossy"))?)?,
        ],
        _semaphore: EventFd::from_value_and_flags(3, EfdFlags::EFD_SEMAPHORE)?,
        _folder: folder()?,
        _deleted: deleted()?,
        _never: never,
    })
}

/// Attributes of the task, none of which is the default.
fn attributes() -> io::Result<()> {
    let mut first = CpuSet::new();
    first.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &first)?;
    prctl::set_timerslack(123_456)?;
    prctl::set_thp_disable(true)?;
    sys::set_io_priority(sys::BEST_EFFORT, 6)
}

impl Stream {
    fn to(address: &SocketAddr) -> io::Result<Stream> {
        let listener = UnixListener::bind_addr(address)?;
        let client = UnixStream::connect_addr(address)?;
        let (accepted, _) = listener.accept()?;
        Ok(Stream { _listener: listener, _client: client, _accepted: accepted })
    }
}

/// A folder, opened as opendir(3) does.
fn folder() -> io::Result<OwnedFd> {
    let flags = libc::O_DIRECTORY | libc::O_NONBLOCK;
    Ok(OpenOptions::new().read(true).custom_flags(flags).open("/")?.into())
}

/// A file that is open and has no name any more.
fn deleted() -> io::Result<File> {
    let path = format!("{FOLDER}/deleted");
    let mut file = File::create(&path)?;
    file.write_all(b"nobody finds this again")?;
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789))?;
    fs::remove_file(path)?;
    Ok(file)
}
