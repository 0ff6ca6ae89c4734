//! The counter attests what it holds, and notices what is taken from it from outside.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rstest::rstest;
use tempfile::TempDir;

/// A counter that said that it is ready.
struct Counter {
    child: Child,
    stdout: BufReader<ChildStdout>,
    _home: TempDir,
}

impl Counter {
    fn start() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_counter"))
            .arg("--home")
            .arg(home.path().join("home"))
            .arg("--shm")
            .arg(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a counter");
        let mut stdout = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Counter { child, stdout, _home: home }
    }

    /// Sends SIGTERM; what the counter says then, and its exit code.
    fn verdict(mut self) -> (String, Option<i32>) {
        let pid = Pid::from_raw(self.child.id().cast_signed());
        nix::sys::signal::kill(pid, Signal::SIGTERM).expect("a signal");
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).expect("text");
        (said, self.child.wait().expect("its end").code())
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // It has ended already, but in a test that fails.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("the program");
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

#[test]
fn what_nobody_touched_is_intact() {
    let (said, code) = Counter::start().verdict();
    assert_eq!((said.as_str(), code), ("verdict: intact\n", Some(0)));
}

fn lower_a_limit(counter: &Counter) {
    run("prlimit", &["--pid", &counter.pid(), "--nofile=77:77"]);
}

fn renice(counter: &Counter) {
    run("renice", &["-n", "17", "-p", &counter.pid()]);
}

fn change_the_oom_score(counter: &Counter) {
    fs::write(counter.proc("oom_score_adj"), "500").expect("written");
}

/// Takes what waits in the counter's own pipe: the only pipe with as much in it.
fn drain_the_pipe(counter: &Counter) {
    let drained = fs::read_dir(counter.proc("fd")).expect("its descriptors").any(|entry| {
        let path = entry.expect("an entry").path();
        let target = fs::read_link(&path).expect("a link");
        if !target.to_string_lossy().starts_with("pipe:") {
            return false;
        }
        let pipe = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        pipe.is_ok_and(|mut pipe| pipe.read(&mut [0; 20_000]).is_ok_and(|bytes| bytes == 10_000))
    });
    assert!(drained, "there is no pipe to drain");
}

fn append_to_the_journal(counter: &Counter) {
    let home = fs::read_link(counter.proc("cwd")).expect("its folder");
    let journal = home.parent().expect("the home").join("journal");
    let mut journal = OpenOptions::new().append(true).open(journal).expect("the journal");
    journal.write_all(b"a line of somebody else\n").expect("written");
}

/// Changes one byte of the largest private anonymous map.
fn flip_a_byte(counter: &Counter) {
    let maps = fs::read_to_string(counter.proc("maps")).expect("its maps");
    let (start, _) = maps
        .lines()
        .filter(|line| line.contains("rw-p 00000000 00:00 0"))
        .filter_map(|line| line.split(' ').next()?.split_once('-'))
        .map(|(start, end)| (number(start), number(end)))
        .max_by_key(|(start, end)| end - start)
        .expect("a map");
    let memory = File::options().read(true).write(true).open(counter.proc("mem")).expect("memory");
    let at = start + (30 << 20) + 17;
    let mut byte = [0];
    memory.read_exact_at(&mut byte, at).expect("read");
    memory.write_all_at(&[byte[0] ^ 1], at).expect("written");
}

fn number(hexadecimal: &str) -> u64 {
    u64::from_str_radix(hexadecimal, 16).expect("an address")
}

#[rstest]
#[case(lower_a_limit, "lost: identity.rlimit.nofile: expected ")]
#[case(renice, "lost: identity.nice: expected \"3\", found \"17\"")]
#[case(change_the_oom_score, "lost: identity.oom_score_adj: expected \"321\", found \"500\"")]
#[case(drain_the_pipe, "lost: pipes.pipe.unread: expected 10000, found 0")]
#[case(append_to_the_journal, "lost: files.journal.")]
#[case(flip_a_byte, "lost: memory.private: expected ")]
fn what_is_taken_is_told(#[case] take: fn(&Counter), #[case] told: &str) {
    let counter = Counter::start();
    take(&counter);
    let (said, code) = counter.verdict();
    assert!(said.lines().any(|line| line.starts_with(told)), "{said}");
    assert!(said.lines().last().is_some_and(|line| line.ends_with(" lost")), "{said}");
    assert_eq!(code, Some(1));
}
