//! Processes: helpers that do one thing elsewhere, and the first process of a container.
//!
//! What fails between fork and execve is told through a pipe that the execve closes.

use std::ffi::CString;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use model::pod::Namespace;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags};
use nix::poll::PollFlags;
use nix::sched::CloneFlags;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::linux::{flag, mount_at, wait_for};
use super::sys::{self, Clone3};
use super::{Fitting, Home, Process, SpawnError, Streams, confine, users};
use crate::within::{self, Links};

/// Does something in a process of its own, so that the namespaces which it changes are not ours.
/// Gives back what was put into the buffer.
pub(super) fn run(action: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let (mut report, report_in) = io::pipe()?;
    let clone = Clone3 { flags: CloneFlags::empty(), cgroup: None };
    let Some(pid) = clone.fork()? else {
        drop(report);
        let mut output = Vec::new();
        let outcome = action(&mut output).doing("act");
        finish(report_in, outcome.map(|()| output));
    };
    drop(report_in);
    let mut told = Vec::new();
    report.read_to_end(&mut told)?;
    reap(pid)?;
    match told.split_first() {
        Some((b'+', output)) => Ok(output.to_vec()),
        Some((_, report)) => Err(SpawnError::told(report).source),
        None => Err(io::Error::other("a helper died")),
    }
}

/// Leaves for new namespaces of these kinds. A network has its loopback device up.
pub(super) fn unshare(
    kinds: impl IntoIterator<Item = Namespace>,
    hostname: &str,
) -> io::Result<()> {
    for kind in kinds {
        nix::sched::unshare(flag(kind))?;
        match kind {
            Namespace::Uts => nix::unistd::sethostname(hostname)?,
            Namespace::Net => sys::set_device("lo", true)?,
            Namespace::Ipc | Namespace::Pid => {}
        }
    }
    Ok(())
}

/// Makes pid 1 of the pid namespace that was just made: as long as it lives, others can be born
/// there. It is a sibling, so that it outlives this process.
pub(super) fn hold(cgroup: &Path) -> io::Result<()> {
    let cgroup = fs_err::File::open(cgroup)?;
    let clone = Clone3 { flags: CloneFlags::CLONE_PARENT, cgroup: Some(cgroup.as_fd()) };
    match clone.fork()? {
        Some(_) => Ok(()),
        None => sys::rest(),
    }
}

/// Those of these pids that somebody has in a pid namespace. A process that joins one stays where it
/// was: it is its child that is within, and asks.
pub(super) fn taken_pids(pin: &Path, pids: &[i32]) -> io::Result<Vec<i32>> {
    let pin = std::fs::File::open(pin)?;
    let told = run(|output| {
        nix::sched::setns(&pin, CloneFlags::CLONE_NEWPID)?;
        // The asker has a pid there for as long as it asks.
        let taken = run(|output| {
            let own = std::process::id().cast_signed();
            let taken = pids.iter().filter(|pid| **pid != own && sys::is_pid(**pid));
            taken.for_each(|pid| output.extend(pid.to_ne_bytes()));
            Ok(())
        });
        output.extend(taken?);
        Ok(())
    })?;
    Ok(told.chunks_exact(4).filter_map(|it| it.try_into().ok()).map(i32::from_ne_bytes).collect())
}

/// Starts a program in a container: the first one of a new container, or one more.
pub(super) fn spawn(process: &Process, streams: Streams) -> Result<i32, SpawnError> {
    let cgroup = fs_err::File::open(&process.cgroup).doing("open its cgroup")?;
    let (mut report, report_in) = io::pipe().doing("make a pipe")?;
    let (mut sibling, sibling_in) = io::pipe().doing("make a pipe")?;
    let flags = match &process.home {
        Home::New { ids: Some(_), .. } | Home::Of(_) => CloneFlags::empty(),
        Home::New { join, .. } if join.contains_key(&Namespace::Pid) => CloneFlags::CLONE_NEWNS,
        Home::New { .. } => CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID,
    };
    let clone = Clone3 { flags, cgroup: Some(cgroup.as_fd()) };
    let Some(mut pid) = clone.fork().doing("clone")? else {
        match begin(process, &streams, sibling_in) {
            Ok(()) => sys::exit_now(0),
            Err(error) => finish(report_in, Err(error)),
        }
    };
    drop((report_in, sibling_in, streams));
    let (mut told, mut made) = (Vec::new(), String::new());
    report.read_to_end(&mut told).doing("read from its pipe")?;
    sibling.read_to_string(&mut made).doing("read from its pipe")?;
    if !made.is_empty() {
        reap(pid).doing("reap its maker")?;
        pid = made.parse().map_err(io::Error::other).doing("read its pid")?;
    }
    match told.split_first() {
        Some((b'-', report)) => {
            reap(pid).doing("reap it")?;
            Err(SpawnError::told(report))
        }
        _ => Ok(pid),
    }
}

/// Ends a helper: what it has made, or why it failed, goes through the pipe.
fn finish(mut report: io::PipeWriter, outcome: Result<Vec<u8>, SpawnError>) -> ! {
    let (code, text) = match outcome {
        Ok(output) => (0, [b"+".to_vec(), output].concat()),
        Err(error) => (127, [b"-".to_vec(), error.to_report()].concat()),
    };
    let written = report.write_all(&text);
    sys::exit_now(if written.is_ok() { code } else { 126 })
}

/// The life of the new process up to its program. A process that joins a container's pid namespace,
/// or the namespaces of a pod for one that will have no right to, makes a sibling, tells its pid, and
/// is done.
fn begin(process: &Process, streams: &Streams, mut made: io::PipeWriter) -> Result<(), SpawnError> {
    match &process.home {
        Home::New { join, hostname, root, fittings, ids } => {
            for (namespace, pin) in join {
                let pin = fs_err::File::open(pin).doing("open a namespace of the pod")?;
                nix::sched::setns(pin, flag(*namespace)).doing("join a namespace of the pod")?;
            }
            nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP).doing("make a cgroup namespace")?;
            // A pid namespace of its own was made with this process, as its pid 1.
            let own = [Namespace::Net, Namespace::Ipc, Namespace::Uts];
            let own = own.into_iter().filter(|kind| !join.contains_key(kind));
            unshare(own, hostname).doing("make namespaces of its own")?;
            if let Some(ids) = ids {
                if let Some(pid) = users::among(*ids)? {
                    return write!(made, "{pid}").doing("tell the pid");
                }
                users::bind_to_itself(root)?;
            } else if join.contains_key(&Namespace::Pid) && is_maker(&mut made)? {
                return Ok(());
            }
            build_root(root, fittings)?;
        }
        Home::Of(pid) => {
            join_all(*pid)?;
            if is_maker(&mut made)? {
                return Ok(());
            }
        }
    }
    drop(made);
    Err(execute(process, streams))
}

/// Makes a sibling, which is born in the pid namespace that was joined. Whether this is its maker,
/// which has told the pid and is done.
fn is_maker(made: &mut io::PipeWriter) -> Result<bool, SpawnError> {
    let sibling = Clone3 { flags: CloneFlags::CLONE_PARENT, cgroup: None };
    match sibling.fork().doing("clone into the pid namespace")? {
        Some(pid) => write!(made, "{pid}").doing("tell the pid").map(|()| true),
        None => Ok(false),
    }
}

/// Joins all namespaces of a process; its user namespace last, as it has no right in the others.
fn join_all(pid: i32) -> Result<(), SpawnError> {
    let open = |name: &str| fs_err::File::open(format!("/proc/{pid}/ns/{name}"));
    let mut files = Vec::new();
    for name in ["net", "ipc", "uts", "cgroup", "pid", "time", "mnt"] {
        match open(name) {
            Err(error) if name == "time" && error.kind() == io::ErrorKind::NotFound => {}
            other => files.push(other.doing("find a namespace of the container")?),
        }
    }
    let user = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user"));
    let (theirs, ours) = (user(&pid.to_string()), user("self"));
    // Nobody can join the one that they are in.
    if theirs.doing("look at its user namespace")?
        != ours.doing("look at the own user namespace")?
    {
        files.push(open("user").doing("find the user namespace of the container")?);
    }
    for file in files {
        nix::sched::setns(file, CloneFlags::empty()).doing("join a namespace of the container")?;
    }
    Ok(())
}

/// Fits out the root, makes it the root of this mount namespace, and lets go of the node's.
fn build_root(root: &Path, fittings: &[Fitting]) -> Result<(), SpawnError> {
    let (none, private) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    nix::mount::mount(none, "/", none, private, none).doing("make mounts private")?;
    let folder = within::open_folder(root).doing("open the root")?;
    for fitting in fittings {
        fit(&folder, fitting).doing(&fitting.to_string())?;
    }
    nix::unistd::fchdir(&folder).doing("enter the root")?;
    nix::unistd::pivot_root(".", ".").doing("pivot the root")?;
    nix::mount::umount2(".", MntFlags::MNT_DETACH).doing("let go of the node's root")?;
    nix::unistd::chdir("/").doing("enter /")
}

fn fit(root: &OwnedFd, fitting: &Fitting) -> io::Result<()> {
    let parent = |path| within::parent_of(root, path, Links::InRoot);
    match fitting {
        Fitting::Mount(mount) => {
            let target = within::open(root, &mount.target, OFlag::O_PATH, Links::InRoot)?;
            mount_at(mount, Path::new(&format!("/proc/self/fd/{}", target.as_raw_fd())))
        }
        Fitting::Folder(path) => {
            let (folder, name) = parent(path)?;
            Ok(mkdirat(folder, name, Mode::from_bits_truncate(0o755))?)
        }
        Fitting::File(path) => {
            let (folder, name) = parent(path)?;
            let mode = Mode::from_bits_truncate(0o666);
            Ok(mknodat(folder, name, SFlag::S_IFREG, mode, 0)?)
        }
        Fitting::Device { path, number } => {
            let (folder, name) = parent(path)?;
            nix::sys::stat::umask(Mode::empty());
            let mode = Mode::from_bits_truncate(0o666);
            let made = mknodat(folder, name, SFlag::S_IFCHR, mode, makedev(number.0, number.1));
            nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
            Ok(made?)
        }
        Fitting::Symlink { path, target } => {
            let (folder, name) = parent(path)?;
            Ok(nix::unistd::symlinkat(target, folder, name)?)
        }
    }
}

/// Becomes the program. Comes back only with what failed.
fn execute(process: &Process, streams: &Streams) -> SpawnError {
    let session = nix::unistd::setsid().map(drop).doing("begin a session");
    let prepared = session
        .and_then(|()| connect(streams))
        .and_then(|()| limit(process))
        .and_then(|()| nix::unistd::chdir(&process.directory).doing("enter its folder"));
    if let Err(error) = prepared {
        return error;
    }
    nix::sys::stat::umask(Mode::from_bits_truncate(0o022));
    let clean = sys::reset_signals().and_then(|()| sys::close_on_exec_from(3));
    let clean = clean.doing("reset signals and descriptors");
    if let Err(error) = clean.and_then(|()| confine::confine(process)) {
        return error;
    }
    let source = replace(process);
    SpawnError { doing: format!("run {}", process.command.join(" ")), source }
}

fn connect(streams: &Streams) -> Result<(), SpawnError> {
    let open = |stream: &Option<OwnedFd>| match stream {
        Some(stream) => stream.try_clone(),
        None => Ok(fs_err::OpenOptions::new().read(true).write(true).open("/dev/null")?.into()),
    };
    let [input, output, error] = &streams.0;
    let (input, output, error) = (open(input), open(output), open(error));
    nix::unistd::dup2_stdin(input.doing("open standard input")?).doing("connect it")?;
    nix::unistd::dup2_stdout(output.doing("open standard output")?).doing("connect it")?;
    nix::unistd::dup2_stderr(error.doing("open standard error")?).doing("connect it")
}

fn limit(process: &Process) -> Result<(), SpawnError> {
    for (name, (soft, hard)) in &process.rlimits {
        let resource = resource(name).ok_or(Errno::EINVAL).doing(&format!("limit {name}"))?;
        setrlimit(resource, *soft, *hard).doing(&format!("limit {name}"))?;
    }
    Ok(())
}

fn resource(name: &str) -> Option<Resource> {
    use Resource::{
        RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_LOCKS,
        RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_RSS,
        RLIMIT_RTPRIO, RLIMIT_RTTIME, RLIMIT_SIGPENDING, RLIMIT_STACK,
    };
    Some(match name {
        "as" => RLIMIT_AS,
        "core" => RLIMIT_CORE,
        "cpu" => RLIMIT_CPU,
        "data" => RLIMIT_DATA,
        "fsize" => RLIMIT_FSIZE,
        "locks" => RLIMIT_LOCKS,
        "memlock" => RLIMIT_MEMLOCK,
        "msgqueue" => RLIMIT_MSGQUEUE,
        "nice" => RLIMIT_NICE,
        "nofile" => RLIMIT_NOFILE,
        "nproc" => RLIMIT_NPROC,
        "rss" => RLIMIT_RSS,
        "rtprio" => RLIMIT_RTPRIO,
        "rttime" => RLIMIT_RTTIME,
        "sigpending" => RLIMIT_SIGPENDING,
        "stack" => RLIMIT_STACK,
        _ => return None,
    })
}

/// Tries execve wherever the environment's `PATH` says. Comes back only with an error.
fn replace(process: &Process) -> io::Error {
    let text = |text: &str| CString::new(text).map_err(io::Error::other);
    let arguments = process.command.iter().map(|word| text(word)).collect::<io::Result<Vec<_>>>();
    let variables = process.env.iter().map(|(name, value)| text(&format!("{name}={value}")));
    let (arguments, variables) = match (arguments, variables.collect::<io::Result<Vec<_>>>()) {
        (Ok(arguments), Ok(variables)) => (arguments, variables),
        (Err(error), _) | (_, Err(error)) => return error,
    };
    let mut failed = io::Error::from(Errno::ENOENT);
    for program in candidates(process) {
        let Err(error) = text(&program).and_then(|program| {
            nix::unistd::execve(&program, &arguments, &variables).map_err(io::Error::from)
        });
        if error.kind() != io::ErrorKind::NotFound {
            failed = error;
        }
    }
    failed
}

fn candidates(process: &Process) -> Vec<String> {
    let Some(program) = process.command.first() else { return Vec::new() };
    if program.contains('/') {
        return vec![program.clone()];
    }
    let path = process.env.iter().rev().find(|(name, _)| name == "PATH");
    let path = path.map_or("/usr/local/bin:/usr/bin:/bin", |(_, value)| value.as_str());
    path.split(':').map(|folder| format!("{folder}/{program}")).collect()
}

/// Reaps a helper that has told all it had to tell; it ends at once.
fn reap(pid: i32) -> io::Result<()> {
    let pidfd = sys::pidfd_open(pid)?;
    while !wait_for(pidfd.as_fd(), PollFlags::POLLIN, Duration::from_secs(1))? {}
    waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED)?;
    Ok(())
}

impl SpawnError {
    /// As text for the pipe: error number, action, words.
    fn to_report(&self) -> Vec<u8> {
        let mut text = String::new();
        let number = self.source.raw_os_error().unwrap_or(0);
        // Writing to a string cannot fail.
        let _ = write!(text, "{number}\n{}\n{}", self.doing, self.source);
        text.into_bytes()
    }

    /// Read from the pipe.
    fn told(report: &[u8]) -> SpawnError {
        let text = String::from_utf8_lossy(report);
        let mut parts = text.splitn(3, '\n');
        let number = parts.next().and_then(|number| number.parse().ok()).unwrap_or(0);
        let doing = parts.next().unwrap_or("say what failed").to_owned();
        let source = match number {
            0 => io::Error::other(parts.next().unwrap_or("nothing was told").to_owned()),
            number => io::Error::from_raw_os_error(number),
        };
        SpawnError { doing, source }
    }
}

/// Names what was being done when an error came.
pub(super) trait Doing<T> {
    fn doing(self, doing: &str) -> Result<T, SpawnError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, doing: &str) -> Result<T, SpawnError> {
        self.map_err(|error| SpawnError { doing: doing.to_owned(), source: error.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_goes_through_the_pipe_and_comes_out_the_same() {
        let errors = [io::Error::from_raw_os_error(libc::ENOTDIR), io::Error::other("odd\nthing")];
        for source in errors {
            let sent = SpawnError { doing: "pivot the root".into(), source };
            let got = SpawnError::told(&sent.to_report());
            assert_eq!(got.to_string(), sent.to_string());
            assert_eq!(got.source.raw_os_error(), sent.source.raw_os_error());
        }
    }

    #[test]
    fn a_program_is_looked_up_in_the_containers_own_path() {
        let mut process = Process {
            cgroup: "/".into(),
            home: Home::Of(1),
            command: vec!["sleep".into()],
            env: vec![("PATH".into(), "/a:/b".into())],
            directory: "/".into(),
            uid: 0,
            gid: 0,
            rlimits: std::collections::BTreeMap::new(),
            security: model::pod::Security::default(),
        };
        assert_eq!(candidates(&process), ["/a/sleep", "/b/sleep"]);
        process.command[0] = "./sleep".into();
        assert_eq!(candidates(&process), ["./sleep"]);
    }
}
