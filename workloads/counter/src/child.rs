//! A child process that shares pipes, an open file and a page with its parent.
//!
//! It answers questions: a byte that says how far to move the shared file's position, answered by
//! a few numbers. It ends when its parent does.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getpid, getppid, getsid, pipe2, setsid};

use crate::locks;
use witness::place::{Place, pattern};
use witness::sys::map::Mapping;
use witness::sys::{fork, process};
use witness::{Context, Findings, Witness};

const POSITION: u64 = 2000;

/// What the child answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Answer {
    pid: i32,
    parent: i32,
    session: i32,
    nice: i32,
    umask: i32,
    /// Who holds the lock on [`locks::RECORD`]; 0 when it is free.
    lock_holder: i32,
    position: i32,
    answers: i32,
}

/// The parent's end, and the witness.
#[derive(Debug)]
pub(crate) struct Child {
    questions: File,
    answers: File,
    shared: File,
    board: Mapping,
    expected: Answer,
}

impl Child {
    /// Starts it; there must be no thread yet.
    pub(crate) fn start(place: &Place) -> io::Result<Self> {
        let (asked, questions) = pipe2(OFlag::O_CLOEXEC)?;
        let (answers, answered) = pipe2(OFlag::O_CLOEXEC)?;
        let mut shared = place.file("shared", &pattern(3, 4096))?;
        shared.seek(SeekFrom::Start(POSITION))?;
        let board = Mapping::anonymous(1, true)?;
        let parent = getpid();
        let pid = fork::fork(|| {
            let served = Service::new(place, &shared, &board).and_then(|mut service| {
                service.serve(File::from(asked), File::from(answered), parent)
            });
            i32::from(served.is_err())
        })?;
        let expected = Answer {
            pid: pid.as_raw(),
            parent: parent.as_raw(),
            session: pid.as_raw(),
            nice: 7,
            umask: 0o077,
            lock_holder: parent.as_raw(),
            position: POSITION as i32,
            answers: 0,
        };
        let (questions, answers) = (File::from(questions), File::from(answers));
        Ok(Child { questions, answers, shared, board, expected })
    }

    fn ask(&mut self, forward: u8) -> io::Result<Answer> {
        self.questions.write_all(&[forward])?;
        self.expected.answers += 1;
        self.expected.position += i32::from(forward);
        let mut bytes = [0; Answer::BYTES];
        self.answers.read_exact(&mut bytes)?;
        Ok(Answer::from_bytes(bytes))
    }
}

impl Witness for Child {
    fn name(&self) -> &'static str {
        "child"
    }

    fn check(&mut self, findings: &mut Findings) {
        let Some(found) = findings.tried("answer", self.ask(0)) else { return };
        findings.equal("answer", self.expected, found);
        let board = self.board.words()[0].load(Ordering::SeqCst);
        findings.equal("shared_page", self.expected.answers as u64, board);
        if let Some(found) = findings.tried("shared_position", self.shared.stream_position()) {
            findings.equal("shared_position", self.expected.position as u64, found);
        }
    }

    fn finish(&mut self, findings: &mut Findings) {
        // The record lock was given back by its own witness, which comes earlier.
        self.expected.lock_holder = 0;
        let Some(found) = findings.tried("answer.last", self.ask(5)) else { return };
        findings.equal("answer.last", self.expected, found);
        if let Some(found) = findings.tried("moved", self.shared.stream_position()) {
            findings.equal("moved_together", self.expected.position as u64, found);
        }
    }
}

/// The child's own side.
struct Service<'a> {
    shared: &'a File,
    board: &'a Mapping,
    lock: PathBuf,
    answers: i32,
}

impl<'a> Service<'a> {
    fn new(place: &Place, shared: &'a File, board: &'a Mapping) -> io::Result<Self> {
        prctl::set_name(c"counter-child")?;
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        setsid()?;
        umask(Mode::from_bits_truncate(0o077));
        process::set_nice(7)?;
        enter(&place.path("child"))?;
        Ok(Service { shared, board, lock: place.path(locks::RECORD), answers: 0 })
    }

    fn serve(&mut self, mut asked: File, mut answered: File, parent: Pid) -> io::Result<()> {
        let mut forward = [0];
        // The parent may have ended before its death was asked to be told.
        while getppid() == parent {
            asked.read_exact(&mut forward)?;
            self.answers += 1;
            self.board.words()[0].store(self.answers as u64, Ordering::SeqCst);
            let answer = self.answer(i64::from(forward[0]))?;
            answered.write_all(&answer.to_bytes())?;
        }
        Ok(())
    }

    fn answer(&mut self, forward: i64) -> io::Result<Answer> {
        let mask = umask(Mode::empty());
        umask(mask);
        Ok(Answer {
            pid: getpid().as_raw(),
            parent: getppid().as_raw(),
            session: getsid(None)?.as_raw(),
            nice: process::nice(),
            umask: mask.bits() as i32,
            lock_holder: lock_holder(&self.lock)?,
            position: self.shared.seek(SeekFrom::Current(forward))? as i32,
            answers: self.answers,
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "a process of its own with one thread")]
fn enter(folder: &Path) -> io::Result<()> {
    std::env::set_current_dir(folder).context(folder.display())
}

/// Who holds a record lock on the file, as another process sees it.
fn lock_holder(path: &Path) -> io::Result<i32> {
    let Ok(file) = OpenOptions::new().read(true).write(true).open(path) else { return Ok(0) };
    let mut lock = locks::wanted();
    fcntl(&file, FcntlArg::F_GETLK(&mut lock))?;
    Ok(if i32::from(lock.l_type) == libc::F_UNLCK { 0 } else { lock.l_pid })
}

impl Answer {
    const BYTES: usize = size_of::<[i32; 8]>();

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let Answer { pid, parent, session, nice, umask, lock_holder, position, answers } = self;
        let numbers = [pid, parent, session, nice, umask, lock_holder, position, answers];
        let mut bytes = [0; Self::BYTES];
        for (place, number) in bytes.chunks_mut(4).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let number = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at * 4..][..4]);
            i32::from_ne_bytes(word)
        };
        Answer {
            pid: number(0),
            parent: number(1),
            session: number(2),
            nice: number(3),
            umask: number(4),
            lock_holder: number(5),
            position: number(6),
            answers: number(7),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let answer = Answer {
            pid: 2,
            parent: 1,
            session: 3,
            nice: -4,
            umask: 0o77,
            lock_holder: 5,
            position: 6,
            answers: 7,
        };
        assert_eq!(Answer::from_bytes(answer.to_bytes()), answer);
    }
}
