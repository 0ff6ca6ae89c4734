//! Where the lab of this checkout lives: one folder, and a lock beside it.
//!
//! The lock is held by the supervisor for as long as it lives, and the kernel lets go of it however
//! that ends. So whether a lab stands is never guessed from a pid. What a dead supervisor has left
//! is known from `state.json`.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::protocol::Remains;
use crate::places;
use crate::status::Exit;

const SOCKET: &str = "lab.sock";
const STATE: &str = "state.json";
const LOG: &str = "supervisor.log";

/// Says that a folder is a lab's, so that it may be cleared.
const MARK: &str = ".lab";

/// The folder of the lab.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    folder: PathBuf,
}

/// The right to have a lab here, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) home: Home,
    _lock: File,
}

/// What the supervisor has written down, for the case that it dies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The supervisor itself.
    pub(crate) supervisor: Option<Process>,
    /// Machines that run.
    pub(crate) machines: Vec<Process>,
    /// What the lab leaves.
    #[serde(default)]
    pub(crate) nodes: Vec<String>,
    /// Captures of wires.
    #[serde(default)]
    pub(crate) pcap: Vec<PathBuf>,
}

/// A process, by what is never used twice while the host is up: pid and time of start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: u32,
    started: u64,
}

/// What is to be found in the folder of a lab.
#[derive(Debug)]
pub(crate) enum Found {
    /// A supervisor that can be asked.
    Lab(UnixStream),
    /// A supervisor that cannot be asked yet, or not any more.
    Busy,
    /// What a supervisor left that has died.
    Ruin(State),
    /// Nothing.
    Nothing,
}

impl Home {
    /// That of this checkout.
    pub(crate) fn here() -> Self {
        Home { folder: places::lab() }
    }

    /// A file or folder of the lab.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the supervisor says what nobody asked for.
    pub(crate) fn log(&self) -> PathBuf {
        self.path(LOG)
    }

    /// Whether it is still that of a lab.
    pub(crate) fn is_there(&self) -> bool {
        self.path(MARK).exists()
    }

    /// Makes room for a new lab. What an earlier one left is removed, machines included.
    pub(crate) fn claim(&self) -> Result<Claim, Exit> {
        let Some(lock) = self.lock()? else {
            let words = "a lab stands already, or is coming up; `cargo xtask lab status` shows it, \
                         `cargo xtask lab down` takes it down";
            return Err(Exit::usage(anyhow!(words)));
        };
        self.refuse_others()?;
        self.state()?.end_machines();
        self.remove().map_err(Exit::lab)?;
        fs_err::create_dir_all(&self.folder).map_err(Exit::lab)?;
        fs_err::write(self.path(MARK), "").map_err(Exit::lab)?;
        // Whoever can reach the socket is root on all nodes.
        let mode = std::fs::Permissions::from_mode(0o700);
        fs_err::set_permissions(&self.folder, mode).map_err(Exit::lab)?;
        Ok(Claim { home: self.clone(), _lock: lock })
    }

    /// A folder with something in it that is no lab is not ours to clear.
    fn refuse_others(&self) -> Result<(), Exit> {
        let mut entries = match fs_err::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Exit::lab(error)),
        };
        if entries.next().is_none() || self.is_there() {
            return Ok(());
        }
        let folder = self.folder.display();
        Err(Exit::usage(anyhow!("{folder} holds something that is no lab; choose another folder")))
    }

    /// Looks what is there.
    pub(crate) fn find(&self) -> Result<Found, Exit> {
        match self.near_socket(|path| UnixStream::connect(path)) {
            Ok(stream) => return Ok(Found::Lab(stream)),
            Err(error) if absent(error.kind()) => {}
            Err(error) => return Err(self.at(SOCKET, error)),
        }
        if !self.folder.exists() {
            return Ok(Found::Nothing);
        }
        let free = self.lock()?.is_some();
        Ok(match (free, self.state()?) {
            (false, _) => Found::Busy,
            (true, state) if state.supervisor.is_some() => Found::Ruin(state),
            (true, _) => Found::Nothing,
        })
    }

    /// Ends what a dead supervisor left, and keeps what a person may want to look at.
    pub(crate) fn clear(&self, state: &State) -> Result<Remains, Exit> {
        state.end_machines();
        self.tidy().map_err(Exit::lab)?;
        Ok(Remains { nodes: state.nodes.clone(), pcap: state.pcap.clone() })
    }

    /// Removes what makes a folder a lab: logs and captures stay until the next one.
    pub(crate) fn tidy(&self) -> std::io::Result<()> {
        for entry in fs_err::read_dir(&self.folder)? {
            let path = entry?.path();
            let of_use = path.extension().is_some_and(|it| it == "log" || it == "pcapng");
            let stays = of_use || path.ends_with(MARK);
            if path.is_dir() {
                fs_err::remove_dir_all(path)?;
            } else if !stays {
                fs_err::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Removes all of it.
    pub(crate) fn remove(&self) -> std::io::Result<()> {
        match fs_err::remove_dir_all(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// What the supervisor has written down, if anything.
    pub(crate) fn state(&self) -> Result<State, Exit> {
        match fs_err::read(self.path(STATE)) {
            // One that cannot be read is of another build: what it tells is lost.
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(Exit::lab(error)),
        }
    }

    /// The lock, unless somebody has it.
    fn lock(&self) -> Result<Option<File>, Exit> {
        let name = self.folder.file_name().unwrap_or_default().to_string_lossy();
        let path = self.folder.with_file_name(format!("{name}.lock"));
        let parent = path.parent().unwrap_or(Path::new("/"));
        fs_err::create_dir_all(parent).map_err(Exit::lab)?;
        let options = File::options().create(true).truncate(false).write(true).open(&path);
        let file = options.with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(self.at("lock", error)),
        }
    }

    fn at(&self, name: &str, error: std::io::Error) -> Exit {
        Exit::lab(anyhow::Error::new(error).context(self.path(name).display().to_string()))
    }

    /// A socket's path has at most 107 bytes (unix(7)), a checkout's may have any number: so it is
    /// named by way of the opened folder.
    fn near_socket<T>(&self, act: impl FnOnce(&Path) -> std::io::Result<T>) -> std::io::Result<T> {
        let folder = File::open(&self.folder)?;
        let near = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        act(Path::new(&near))
    }
}

impl Claim {
    /// Opens the socket on which commands ask.
    pub(crate) fn listen(&self) -> anyhow::Result<tokio::net::UnixListener> {
        let listener = self.home.near_socket(|path| UnixListener::bind(path));
        let listener = listener.with_context(|| self.home.path(SOCKET).display().to_string())?;
        listener.set_nonblocking(true)?;
        Ok(tokio::net::UnixListener::from_std(listener)?)
    }

    /// Writes down what is to be known if this process dies.
    pub(crate) fn write_down(&self, state: &State) -> anyhow::Result<()> {
        let (path, new) = (self.home.path(STATE), self.home.path("state.new"));
        fs_err::write(&new, serde_json::to_vec_pretty(state)?)?;
        Ok(fs_err::rename(new, path)?)
    }
}

impl State {
    /// Machines die with their supervisor. Should one not have done so, it does now.
    fn end_machines(&self) {
        for machine in &self.machines {
            machine.end();
        }
    }
}

impl Process {
    /// A process that runs.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Some(Process { pid, started: start_of(pid)? })
    }

    /// Kills it, unless its pid is somebody else's by now.
    fn end(&self) {
        self.tell(Signal::SIGKILL);
    }

    /// Sends it a signal; whether it was still there.
    pub(crate) fn tell(&self, signal: Signal) -> bool {
        self.lives() && kill(Pid::from_raw(self.pid.cast_signed()), signal).is_ok()
    }

    /// Whether it is still there.
    pub(crate) fn lives(&self) -> bool {
        start_of(self.pid) == Some(self.started)
    }
}

/// When a process was started, in clock ticks since the host's boot (proc_pid_stat(5)).
fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, blanks and parentheses included.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn absent(error: ErrorKind) -> bool {
    matches!(error, ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home { folder: folder.path().join("l".repeat(120)) };
        (folder, home)
    }

    #[tokio::test]
    async fn a_lab_is_found_however_long_its_path_is() {
        let (_folder, home) = home();
        assert!(matches!(home.find(), Ok(Found::Nothing)));
        let claim = home.claim().expect("free");
        assert!(matches!(home.find(), Ok(Found::Busy)));
        let _listener = claim.listen().expect("a socket");
        assert!(matches!(home.find(), Ok(Found::Lab(_))));
    }

    #[test]
    fn a_folder_with_something_else_in_it_is_not_cleared() {
        let (_folder, home) = home();
        std::fs::create_dir_all(&home.folder).expect("a folder");
        std::fs::write(home.path("thesis.tex"), "").expect("written");
        assert_eq!(home.claim().expect_err("somebody's").code, 2);
        assert!(home.path("thesis.tex").exists());
        std::fs::write(home.path(MARK), "").expect("written");
        home.refuse_others().expect("what an earlier lab left may be cleared");
    }

    #[test]
    fn what_a_dead_supervisor_left_is_found_and_cleared_but_for_logs_and_captures() {
        let (_folder, home) = home();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let claim = home.claim().expect("free");
        assert_eq!(home.claim().expect_err("there is one lab at a time").code, 2);
        let machine = Process::of(child.id()).expect("it runs");
        let reused = Process { started: 1, ..Process::of(std::process::id()).expect("it runs") };
        let state = State {
            supervisor: Some(reused),
            machines: vec![machine, reused],
            nodes: vec!["a".to_owned()],
            pcap: Vec::new(),
        };
        claim.write_down(&state).expect("written");
        std::fs::write(home.path("console-a-1.log"), "").expect("a log");
        drop(claim);
        let Ok(Found::Ruin(left)) = home.find() else { panic!("nothing was found") };
        assert_eq!(left, state);
        assert_eq!(home.clear(&left).expect("cleared").nodes, ["a"]);
        assert!(!child.wait().expect("its end").success(), "it was killed, and we were not");
        assert!(home.path("console-a-1.log").exists());
        assert!(matches!(home.find(), Ok(Found::Nothing)));
    }
}
