//! The kernel of this machine.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criu::rpc::{Answer, Command, DumpOptions, Features, RestoreOptions};
use model::pod::{Link, Namespace};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags};
use nix::mount::{MntFlags, MsFlags};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::claims::Object;

use super::{
    Callback, Descriptor, Host, Mount, PageDaemon, PageProgram, Process, SpawnError, Streams,
    child, network, pages, sockets, sys,
};

/// How long CRIU may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(30);

/// How long CRIU may take to look at the kernel.
const FEATURES_LIMIT: Duration = Duration::from_secs(60);

/// The kernel of this machine. The process that uses it must have one thread and be root.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinuxHost;

impl Host for LinuxHost {
    fn now(&self) -> Duration {
        clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
        match file.write(text.as_bytes())? {
            written if written == text.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = std::fs::read_dir(path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::read_link(path)
    }

    fn inode(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.ino())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir_all(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn await_line(
        &self,
        path: &Path,
        wanted: &str,
        limit: Duration,
    ) -> io::Result<Result<(), String>> {
        let end = self.now() + limit;
        let file = std::fs::File::open(path)?;
        loop {
            let text = read_from_start(&file)?;
            if text.lines().any(|line| line == wanted) {
                return Ok(Ok(()));
            }
            let left = end.saturating_sub(self.now());
            if left.is_zero() {
                return Ok(Err(text));
            }
            wait_for(file.as_fd(), PollFlags::POLLPRI, left)?;
        }
    }

    fn mount(&self, mount: &Mount) -> io::Result<()> {
        mount_at(mount, &mount.target)
    }

    fn unmount(&self, path: &Path) -> io::Result<()> {
        let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
        match nix::mount::umount2(path, flags) {
            Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    fn pin_namespaces(
        &self,
        pins: &BTreeMap<Namespace, PathBuf>,
        hostname: &str,
        holder: &Path,
    ) -> io::Result<()> {
        for path in pins.values() {
            std::fs::File::create(path)?;
        }
        child::run(|_| {
            child::unshare(pins.keys().copied(), hostname)?;
            if pins.contains_key(&Namespace::Pid) {
                child::hold(holder)?;
            }
            for (namespace, path) in pins {
                let name = match namespace {
                    Namespace::Pid => "pid_for_children",
                    other => other.name(),
                };
                mount_at(&Mount::bind(format!("/proc/self/ns/{name}"), path), path)?;
            }
            Ok(())
        })
        .map(drop)
    }

    fn read_in(&self, namespace: (Namespace, &Path), files: &[&Path]) -> io::Result<Vec<Vec<u8>>> {
        let pin = std::fs::File::open(namespace.1)?;
        files
            .iter()
            .map(|path| {
                child::run(|output| {
                    nix::sched::setns(&pin, flag(namespace.0))?;
                    output.write_all(&std::fs::read(path)?)
                })
            })
            .collect()
    }

    fn write_in(&self, namespace: (Namespace, &Path), file: &Path, text: &str) -> io::Result<()> {
        let pin = std::fs::File::open(namespace.1)?;
        let written = child::run(|_| {
            nix::sched::setns(&pin, flag(namespace.0))?;
            self.write(file, text)
        });
        written.map(drop)
    }

    fn taken_pids(&self, pin: &Path, pids: &[i32]) -> io::Result<Vec<i32>> {
        child::taken_pids(pin, pids)
    }

    fn remove_objects(&self, pin: &Path, objects: &[Object]) -> io::Result<()> {
        let pin = std::fs::File::open(pin)?;
        let removed = child::run(|_| {
            nix::sched::setns(&pin, flag(Namespace::Ipc))?;
            objects.iter().try_for_each(|object| sys::remove_object(*object))
        });
        removed.map(drop)
    }

    fn make_link(&self, net: &Path, link: &Link, node_end: &str) -> io::Result<()> {
        network::make_link(net, link, node_end)
    }

    fn gate_link(&self, node_end: &str, open: bool) -> io::Result<()> {
        if open { network::open_gate(node_end) } else { network::close_gate(node_end) }
    }

    fn remove_link(&self, node_end: &str) -> io::Result<()> {
        network::remove_link(node_end)
    }

    fn remove_locks(&self, net: &Path) -> io::Result<()> {
        network::remove_locks(net)
    }

    fn reusing_sockets(&self, pid: i32) -> io::Result<Vec<Descriptor>> {
        sockets::reusing(pid)
    }

    fn end_repair(&self, pid: i32, reusing: &[Descriptor]) -> io::Result<()> {
        sockets::end_repair(pid, reusing)
    }

    fn spawn(&self, process: &Process, streams: Streams) -> Result<i32, SpawnError> {
        child::spawn(process, streams)
    }

    fn signal(&self, pid: i32, signal: i32) -> io::Result<()> {
        let signal = nix::sys::signal::Signal::try_from(signal)?;
        match nix::sys::signal::kill(Pid::from_raw(pid), signal) {
            Err(Errno::ESRCH) => Ok(()),
            other => Ok(other?),
        }
    }

    fn await_exit(&self, pid: i32, limit: Duration) -> io::Result<Option<i32>> {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(Pid::from_raw(pid)), look) {
            Err(Errno::ECHILD) => return Ok(Some(0)),
            other => other?,
        };
        let pidfd = sys::pidfd_open(pid)?;
        if !wait_for(pidfd.as_fd(), PollFlags::POLLIN, limit)? {
            return Ok(None);
        }
        match waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED)? {
            WaitStatus::Exited(_, code) => Ok(Some(code)),
            WaitStatus::Signaled(_, signal, _) => Ok(Some(128 + signal as i32)),
            other => Err(io::Error::other(format!("ended as {other:?}"))),
        }
    }

    fn await_gone(&self, pid: i32, limit: Duration) -> io::Result<bool> {
        match sys::pidfd_open(pid) {
            Ok(pidfd) => wait_for(pidfd.as_fd(), PollFlags::POLLIN, limit),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn criu_version(&self, program: &Path) -> Result<String, criu::rpc::Error> {
        let session = Command::new(program).spawn()?;
        Ok(session.version(Instant::now() + VERSION_LIMIT)?.to_string())
    }

    fn criu_features(&self, command: &Command) -> Result<Features, criu::rpc::Error> {
        command.spawn()?.features(Instant::now() + FEATURES_LIMIT)
    }

    fn pre_dump(
        &self,
        command: &Command,
        options: &DumpOptions<'_>,
        limit: Duration,
    ) -> Result<(), criu::rpc::Error> {
        command.spawn()?.pre_dump(options, Instant::now() + limit, &mut |_| Answer::Go)
    }

    fn dump(
        &self,
        command: &Command,
        options: &DumpOptions<'_>,
        limit: Duration,
        callback: Callback<'_>,
    ) -> Result<(), criu::rpc::Error> {
        command.spawn()?.dump(options, Instant::now() + limit, callback)
    }

    fn restore(
        &self,
        command: &Command,
        options: &RestoreOptions<'_>,
        limit: Duration,
        callback: Callback<'_>,
    ) -> Result<i32, criu::rpc::Error> {
        command.spawn()?.restore(options, Instant::now() + limit, callback)
    }

    fn serve_pages(&self, pages: PageProgram) -> io::Result<i32> {
        pages::serve(pages)
    }

    fn bring_pages(&self, pages: PageProgram, group: &Path) -> io::Result<PageDaemon> {
        pages::bring(pages, group)
    }

    fn end_pages(&self, daemon: PageDaemon) -> io::Result<()> {
        pages::end(daemon)
    }

    fn peek_pipe(&self, path: &Path) -> io::Result<Vec<u8>> {
        let source = open_pipe(path, true)?;
        let (copy, copy_in) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let capacity = nix::fcntl::fcntl(&source, FcntlArg::F_GETPIPE_SZ)?;
        nix::fcntl::fcntl(&copy_in, FcntlArg::F_SETPIPE_SZ(capacity))?;
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
        match nix::fcntl::tee(&source, &copy_in, usize::MAX >> 33, flags) {
            Ok(_) => {}
            Err(Errno::EAGAIN) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        }
        drop(copy_in);
        let mut bytes = Vec::new();
        std::fs::File::from(copy).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn fill_pipe(&self, end: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
        let path = format!("/proc/self/fd/{}", end.as_raw_fd());
        let mut pipe = open_pipe(Path::new(&path), false)?;
        let capacity = nix::fcntl::fcntl(&pipe, FcntlArg::F_GETPIPE_SZ)?;
        let wanted = i32::try_from(bytes.len()).map_err(io::Error::other)?;
        if wanted > capacity {
            nix::fcntl::fcntl(&pipe, FcntlArg::F_SETPIPE_SZ(wanted))?;
        }
        pipe.write_all(bytes)
    }
}

/// The flag of setns and unshare.
pub(super) fn flag(namespace: Namespace) -> CloneFlags {
    match namespace {
        Namespace::Net => CloneFlags::CLONE_NEWNET,
        Namespace::Ipc => CloneFlags::CLONE_NEWIPC,
        Namespace::Uts => CloneFlags::CLONE_NEWUTS,
        Namespace::Pid => CloneFlags::CLONE_NEWPID,
    }
}

/// Mounts at a path that may stand for the mount's target. A bind mount takes its flags only when
/// it is mounted again.
pub(super) fn mount_at(mount: &Mount, target: &Path) -> io::Result<()> {
    let bind = MsFlags::MS_BIND;
    let none = None::<&str>;
    if mount.kind.is_some() {
        let options = mount.options.as_str();
        nix::mount::mount(Some(&mount.source), target, mount.kind, mount.flags, Some(options))?;
        return Ok(());
    }
    nix::mount::mount(Some(&mount.source), target, none, bind, none)?;
    if mount.flags != bind {
        nix::mount::mount(none, target, none, mount.flags | MsFlags::MS_REMOUNT, none)?;
    }
    Ok(())
}

/// Waits until one of the events happens; whether it did.
pub(super) fn wait_for(fd: BorrowedFd<'_>, events: PollFlags, limit: Duration) -> io::Result<bool> {
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(fd, events)], limit) {
        Err(Errno::EINTR) => Ok(false),
        other => Ok(other? > 0),
    }
}

fn read_from_start(file: &std::fs::File) -> io::Result<String> {
    let mut bytes = vec![0; 4096];
    let length = nix::sys::uio::pread(file, &mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

fn open_pipe(path: &Path, read: bool) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new()
        .read(read)
        .write(!read)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
}
