//! How CRIU is started.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;

use super::child::{self, Step};
use super::error::Error;
use super::process::Process;
use super::session::Session;
use super::socket;

/// Describes a CRIU process; can be spawned again and again.
///
/// The program is called with the arguments `swrk FD`. It may be a wrapper script, if that ends in
/// `exec`: the process that was started is the one that a deadline kills.
///
/// Image and work folders need not be inherited: CRIU opens them by their number in the process
/// that spawned it.
#[derive(Debug)]
pub struct Command {
    program: PathBuf,
    environment: Vec<(OsString, OsString)>,
    clear_environment: bool,
    folder: Option<PathBuf>,
    die_with_parent: Option<Signal>,
    namespaces: Vec<OwnedFd>,
    cgroup_namespace: Option<CgroupNamespace>,
    inherited: Vec<OwnedFd>,
    standard: [Option<OwnedFd>; 3],
}

#[derive(Debug)]
struct CgroupNamespace {
    root: OwnedFd,
    home: OwnedFd,
}

impl Command {
    /// CRIU at this path, or found on the PATH, with nothing else of note: standard input and
    /// output lead to `/dev/null`, standard error is kept for error messages.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Command {
            program: PathBuf::from(program.as_ref()),
            environment: Vec::new(),
            clear_environment: false,
            folder: None,
            die_with_parent: None,
            namespaces: Vec::new(),
            cgroup_namespace: None,
            inherited: Vec::new(),
            standard: [None, None, None],
        }
    }

    /// Sets a variable of CRIU's environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Passes none of the own environment on.
    pub fn env_clear(&mut self) -> &mut Self {
        self.clear_environment = true;
        self
    }

    /// Sets the working directory.
    pub fn current_dir(&mut self, folder: impl AsRef<Path>) -> &mut Self {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    /// Has CRIU sent a signal when the *thread* that spawned it dies.
    ///
    /// A CRIU that is killed in the middle of a restore leaves half-made tasks behind, whereas one
    /// whose client went away before `post-restore` clears up.
    pub fn die_with_parent(&mut self, signal: Signal) -> &mut Self {
        self.die_with_parent = Some(signal);
        self
    }

    /// Enters a namespace, given by an open file of it, before CRIU starts. In the order of calls.
    pub fn enter(&mut self, namespace: impl Into<OwnedFd>) -> &mut Self {
        self.namespaces.push(namespace.into());
        self
    }

    /// Lets CRIU, and so what it restores, live in a new cgroup namespace rooted at another
    /// control group than its own.
    ///
    /// The child moves into the group whose open `cgroup.procs` is `root`, makes the namespace
    /// there, and moves on into that of `home`. Tasks that are restored with
    /// [`ManageCgroups::Ignore`](super::ManageCgroups::Ignore) inherit the namespace. While the
    /// group of `root` is frozen, spawning waits.
    pub fn cgroup_namespace(
        &mut self,
        root: impl Into<OwnedFd>,
        home: impl Into<OwnedFd>,
    ) -> &mut Self {
        self.cgroup_namespace = Some(CgroupNamespace { root: root.into(), home: home.into() });
        self
    }

    /// Hands a descriptor down and returns its number in CRIU, which is its number here: what
    /// [`InheritFd`](super::InheritFd) wants.
    pub fn inherit(&mut self, fd: impl Into<OwnedFd>) -> RawFd {
        let fd = fd.into();
        let number = fd.as_raw_fd();
        self.inherited.push(fd);
        number
    }

    /// Sets standard input. Where a stream of CRIU is a pipe, restored tasks can get hold of it.
    pub fn stdin(&mut self, fd: impl Into<OwnedFd>) -> &mut Self {
        self.standard[0] = Some(fd.into());
        self
    }

    /// Sets standard output.
    pub fn stdout(&mut self, fd: impl Into<OwnedFd>) -> &mut Self {
        self.standard[1] = Some(fd.into());
        self
    }

    /// Sets standard error: error messages will not have it then.
    pub fn stderr(&mut self, fd: impl Into<OwnedFd>) -> &mut Self {
        self.standard[2] = Some(fd.into());
        self
    }

    /// Starts CRIU.
    ///
    /// # Errors
    /// [`Error::Spawn`] with the step that failed.
    pub fn spawn(&self) -> Result<Session, Error> {
        let setting_up = |source| self.failed("set up", source);
        let (ours, theirs) = socket::pair().map_err(setting_up)?;
        let (mut reached, progress) = progress_pipe().map_err(setting_up)?;
        let steps = self.steps(theirs.as_raw_fd());
        let (mut command, stderr) = self.command(theirs.as_raw_fd()).map_err(setting_up)?;
        child::prepare(&mut command, steps.clone(), progress);
        let spawned = command.spawn();
        drop(command);
        let child =
            spawned.map_err(|source| self.failed(&self.step_name(&steps, &mut reached), source))?;
        let process = Process::new(child).map_err(setting_up)?;
        Ok(Session::new(process, ours, stderr))
    }

    /// The process to be, and where its standard error is kept.
    fn command(&self, socket: RawFd) -> io::Result<(process::Command, Option<File>)> {
        let mut command = process::Command::new(&self.program);
        command.arg("swrk").arg(socket.to_string());
        if self.clear_environment {
            command.env_clear();
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let [stdin, stdout, stderr] = &self.standard;
        command.stdin(stream(stdin.as_ref())?).stdout(stream(stdout.as_ref())?);
        let kept = match stderr {
            Some(_) => None,
            None => Some(File::from(memfd_create(c"criu-stderr", MFdFlags::MFD_CLOEXEC)?)),
        };
        match &kept {
            Some(file) => command.stderr(file.try_clone()?),
            None => command.stderr(stream(stderr.as_ref())?),
        };
        Ok((command, kept))
    }

    fn steps(&self, socket: RawFd) -> Vec<Step> {
        let parent = libc::pid_t::try_from(process::id()).unwrap_or_default();
        let mut steps = Vec::new();
        if let Some(signal) = self.die_with_parent {
            steps.push(Step::DieWithParent { signal: signal as i32, parent });
        }
        if let Some(CgroupNamespace { root, home }) = &self.cgroup_namespace {
            steps.push(Step::JoinCgroup(root.as_raw_fd()));
            steps.push(Step::NewCgroupNamespace);
            steps.push(Step::JoinCgroup(home.as_raw_fd()));
        }
        steps.extend(self.namespaces.iter().map(|fd| Step::Enter(fd.as_raw_fd())));
        steps.extend(self.inherited.iter().map(|fd| Step::Keep(fd.as_raw_fd())));
        steps.push(Step::Keep(socket));
        steps
    }

    /// The step that the child was at when it failed: the last number it wrote.
    fn step_name(&self, steps: &[Step], reached: &mut File) -> String {
        let mut numbers = Vec::new();
        // It ends with an error instead of the end while a child that another thread is just
        // starting holds the writer, too; what the child wrote has come nevertheless.
        let _ = reached.read_to_end(&mut numbers);
        let step = numbers.last().and_then(|&number| steps.get(usize::from(number)));
        match step {
            _ if numbers.is_empty() => "fork".to_owned(),
            None => "exec".to_owned(),
            Some(Step::DieWithParent { .. }) => "set the parent's death signal".to_owned(),
            Some(Step::NewCgroupNamespace) => "make a cgroup namespace".to_owned(),
            Some(Step::JoinCgroup(fd)) => format!("move into the cgroup of {}", path_of(*fd)),
            Some(Step::Enter(fd)) => format!("enter namespace {}", path_of(*fd)),
            Some(Step::Keep(fd)) => format!("inherit descriptor {fd}"),
        }
    }

    fn failed(&self, step: &str, source: io::Error) -> Error {
        Error::Spawn { program: self.program.clone(), step: step.to_owned(), source }
    }
}

/// What a descriptor of this process leads to, for messages.
fn path_of(fd: RawFd) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}"));
    link.map_or_else(|_| format!("descriptor {fd}"), |path| path.display().to_string())
}

fn stream(fd: Option<&OwnedFd>) -> io::Result<Stdio> {
    Ok(match fd {
        Some(fd) => Stdio::from(fd.try_clone()?),
        None => Stdio::null(),
    })
}

/// A pipe that never blocks its reader: once spawning has failed, the child is gone.
fn progress_pipe() -> io::Result<(File, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    Ok((File::from(reader), writer))
}
