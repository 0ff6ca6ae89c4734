//! Each concern attests what it holds, and notices what is taken from it from outside.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rstest::rstest;
use tempfile::TempDir;

/// A witness that said that it is ready.
struct Witness {
    child: Child,
    stdout: BufReader<ChildStdout>,
    home: TempDir,
}

impl Witness {
    fn start(concern: &str) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_witness"))
            .arg(concern)
            .arg("--home")
            .arg(home.path().join("home"))
            .arg("--shm")
            .arg(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a witness");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "{concern}");
        Witness { child, stdout, home }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// A file in its home.
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("home").join(name)
    }

    /// A file with such a name on what it takes for the pod's shared memory.
    fn shared(&self, name: &str) -> PathBuf {
        let entries = fs::read_dir(self.home.path()).expect("the folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let mut found = paths.filter(|path| path.to_string_lossy().contains(name));
        found.next().expect("the file")
    }

    /// Sends SIGTERM; what it says then, and its exit code.
    fn verdict(mut self) -> (String, Option<i32>) {
        nix::sys::signal::kill(self.pid(), Signal::SIGTERM).expect("a signal");
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).expect("text");
        (said, self.child.wait().expect("its end").code())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        // It has ended already, but in a test that fails.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[rstest]
#[case("events")]
#[case("files")]
#[case("ipc")]
#[case("memory")]
#[case("pipes")]
#[case("signals")]
#[case("tcp")]
#[case("threads")]
#[case("timers")]
#[case("tree")]
#[case("tty")]
#[case("udp")]
fn what_nobody_touched_is_intact(#[case] concern: &str) {
    let (said, code) = Witness::start(concern).verdict();
    assert_eq!((said.as_str(), code), ("verdict: intact\n", Some(0)));
}

fn change_a_renamed_file(files: &Witness) {
    fs::write(files.path("renamed"), b"other").expect("written");
}

fn change_what_is_mapped(witness: &Witness) {
    let file = File::options().write(true).open(witness.path("mapped")).expect("the file");
    file.write_all_at(&[0xff; 8], 2 * 4096 + 7 * 8).expect("written");
}

fn change_shared_memory(ipc: &Witness) {
    let file = File::options().write(true).open(ipc.shared("-named")).expect("the file");
    file.write_all_at(b"x", 5000).expect("written");
}

fn change_what_is_watched(events: &Witness) {
    fs::write(events.shared("watched-").join("one"), b"x").expect("written");
}

fn send_a_datagram(pipes: &Witness) {
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.send_to(b"one more", pipes.path("receiver")).expect("sent");
}

/// Lets a stopped child go on.
fn continue_a_child(tree: &Witness) {
    let pid = tree.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("text");
    let stopped = children.split_whitespace().find(|child| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).expect("its state");
        stat.contains(") T ")
    });
    let stopped = stopped.and_then(|it| it.parse().ok()).expect("a stopped child");
    nix::sys::signal::kill(Pid::from_raw(stopped), Signal::SIGCONT).expect("a signal");
}

/// Reads what was typed at a terminal before whom it was typed for.
fn read_what_was_typed(tty: &Witness) {
    for entry in fs::read_dir(format!("/proc/{}/fd", tty.pid())).expect("its descriptors") {
        let terminal = fs::read_link(entry.expect("one").path()).expect("a link");
        if terminal.starts_with("/dev/pts") {
            let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
            let slave = File::options().read(true).custom_flags(flags).open(terminal);
            // One is open for its owner only, and of the others but one nobody can read a byte.
            slave.and_then(|mut slave| slave.read(&mut [0; 100])).ok();
        }
    }
}

fn send_a_signal(witness: &Witness) {
    nix::sys::signal::kill(witness.pid(), Signal::SIGUSR1).expect("a signal");
}

#[rstest]
#[case("files", change_a_renamed_file, "lost: open.renamed.")]
#[case("memory", change_what_is_mapped, "lost: files.through: ")]
#[case("ipc", change_shared_memory, "lost: posix.content: ")]
#[case("events", change_what_is_watched, "lost: inotify.nothing: ")]
#[case("events", send_a_signal, "lost: signals.")]
#[case("timers", send_a_signal, "lost: posix.pending: ")]
#[case("pipes", send_a_datagram, "lost: datagrams.goes_on: ")]
#[case("tree", continue_a_child, "lost: ended.stopped")]
#[case("tty", read_what_was_typed, "lost: unread.typed: ")]
fn what_is_taken_is_told(#[case] concern: &str, #[case] take: fn(&Witness), #[case] told: &str) {
    let witness = Witness::start(concern);
    take(&witness);
    let (said, code) = witness.verdict();
    assert!(said.lines().any(|line| line.starts_with(told)), "{said}");
    assert!(said.lines().last().is_some_and(|line| line.ends_with(" lost")), "{said}");
    assert_eq!(code, Some(1));
}
