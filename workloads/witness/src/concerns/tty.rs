//! Terminals: one that a session controls, with a job in front and a suspended one behind; one with
//! settings of its own; and what waits in one, both ways.
//!
//! Left out: a slave whose master is gone, which CRIU takes only for the terminal of the whole tree
//! (`--shell-job`); a job that its terminal stopped because it read from behind (SIGTTIN), which CRIU
//! refuses; and virtual consoles.

mod shell;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{
    ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices, cfmakeraw,
    tcgetattr, tcsetattr,
};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use shell::Jobs;
use witness::place::Place;
use witness::streams::receive;
use witness::sys::{descriptor, terminal};
use witness::{Context, Findings, Seen, Subject, Witness, io as as_io, record};

pub(super) fn set_up(_: &Place) -> io::Result<Vec<Box<dyn Witness>>> {
    Ok(vec![
        record(Session::new().context("a session with jobs")?),
        record(Settings::new().context("a terminal with settings of its own")?),
        record(Unread::new().context("bytes in a terminal")?),
        record(Alone::new().context("masters without a slave")?),
    ])
}

/// A master and its slave, which shall control no session by that it is opened.
fn pair() -> io::Result<(PtyMaster, File)> {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = open(&master)?;
    Ok((master, slave))
}

fn open(master: &PtyMaster) -> io::Result<File> {
    let path = ptsname_r(master)?;
    File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(path)
}

/// A session leader at its terminal, as a shell is, and its jobs.
struct Session {
    master: PtyMaster,
    leader: Pid,
    jobs: Jobs,
}

impl Session {
    fn new() -> io::Result<Self> {
        let (mut master, slave) = pair()?;
        let leader = shell::start(&slave)?;
        let jobs = Jobs::read(&mut master)?;
        Ok(Session { master, leader, jobs })
    }

    /// Types something, and compares what the terminal shows then.
    fn type_in(&mut self, name: &str, typed: &[u8], shown: &[u8], findings: &mut Findings) {
        if findings.tried(name, self.master.write_all(typed)).is_some() {
            receive(name, &mut self.master, shown, findings);
        }
    }
}

impl Subject for Session {
    fn name(&self) -> &'static str {
        "session"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("number", ptsname_r(&self.master));
        seen.note("foreground", nix::unistd::tcgetpgrp(&self.master));
        seen.note("leader_of", nix::sys::termios::tcgetsid(&self.master));
        for (name, pid) in self.jobs.all(self.leader) {
            seen.note(name, shell::place_of(pid));
        }
    }

    fn go_on(&mut self, findings: &mut Findings) {
        self.type_in("front.reads", b"one\n", b"one\r\nfront: one\r\n", findings);
        self.type_in("front.suspended", b"\x1a", b"^Zfront: SIGTSTP\r\n", findings);
        // The leader has put the one behind in front now, and let it go on.
        self.type_in("behind.reads", b"two\n", b"two\r\nbehind: two\r\n", findings);
        receive("behind.ended", &mut self.master, b"behind: 0\r\n", findings);
        self.type_in("front.goes_on", b"three\n", b"three\r\nfront: three\r\n", findings);
        self.type_in("front.interrupted", b"\x03", b"^Cfront: SIGINT\r\n", findings);
        let ended = WaitStatus::Exited(self.leader, 0);
        findings.gives("leader.wait", ended, as_io(waitpid(self.leader, None)));
        let hung_up = self.master.read(&mut [0]).err().and_then(|it| it.raw_os_error());
        findings.equal("hung_up", Some(libc::EIO), hung_up);
    }
}

/// A terminal of which every kind of setting is another than that of a new one.
struct Settings {
    master: PtyMaster,
    slave: File,
}

impl Settings {
    fn new() -> io::Result<Self> {
        let (master, slave) = pair()?;
        let mut settings = tcgetattr(&slave)?;
        cfmakeraw(&mut settings);
        settings.input_flags |= InputFlags::IXANY | InputFlags::IUTF8;
        settings.output_flags |= OutputFlags::OPOST | OutputFlags::OLCUC;
        settings.local_flags |= LocalFlags::NOFLSH | LocalFlags::TOSTOP;
        settings.control_chars[SpecialCharacterIndices::VMIN as usize] = 3;
        settings.control_chars[SpecialCharacterIndices::VTIME as usize] = 7;
        settings.control_chars[SpecialCharacterIndices::VINTR as usize] = b'!';
        settings.control_flags |= ControlFlags::CSTOPB | ControlFlags::HUPCL;
        tcsetattr(&slave, SetArg::TCSANOW, &settings)?;
        terminal::set_size(&slave, (50, 132))?;
        terminal::set_packets(&master, true)?;
        terminal::set_exclusive(&slave)?;
        Ok(Settings { master, slave })
    }
}

impl Subject for Settings {
    fn name(&self) -> &'static str {
        "settings"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("number", ptsname_r(&self.master));
        match tcgetattr(&self.slave) {
            Ok(settings) => {
                seen.note("input", Ok::<_, Errno>(settings.input_flags));
                seen.note("output", Ok::<_, Errno>(settings.output_flags));
                seen.note("control", Ok::<_, Errno>(settings.control_flags));
                seen.note("local", Ok::<_, Errno>(settings.local_flags));
                seen.note("characters", Ok::<_, Errno>(settings.control_chars));
            }
            Err(error) => seen.note("input", Err::<(), _>(error)),
        }
        seen.note("size", terminal::size(&self.slave));
        seen.note("packets", terminal::packets(&self.master));
        seen.note("exclusive", terminal::exclusive(&self.slave));
        seen.note("unlocked", terminal::locked(&self.master).map(|locked| !locked));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        findings.tried("write", self.slave.write_all(b"shout"));
        findings.gives("read", b"SHOUT".to_vec(), packets(&mut self.master, 5));
        findings.tried("type", self.master.write_all(b"raw"));
        receive("typed", &mut self.slave, b"raw", findings);
    }
}

/// Reads so many bytes of data, in however many packets; each begins with a zero.
fn packets(master: &mut PtyMaster, bytes: usize) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while all.len() < bytes {
        let mut packet = [0; 100];
        let count = master.read(&mut packet)?;
        match &packet[..count] {
            [0, data @ ..] => all.extend(data),
            other => return Err(io::Error::other(format!("a packet of {other:?}"))),
        }
    }
    Ok(all)
}

/// Two terminals with bytes that nobody has read: shown by one, typed at the other.
struct Unread {
    shown: (PtyMaster, File),
    typed: (PtyMaster, File),
}

const SHOWN: &[u8] = b"shown, but not looked at";
const TYPED: &[u8] = b"typed, but not asked for\n";

impl Unread {
    fn new() -> io::Result<Self> {
        let mut shown = pair()?;
        shown.1.write_all(SHOWN)?;
        let mut typed = pair()?;
        let mut settings = tcgetattr(&typed.1)?;
        settings.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&typed.1, SetArg::TCSANOW, &settings)?;
        typed.0.write_all(TYPED)?;
        while descriptor::unread(&typed.1)? < TYPED.len() {
            std::thread::yield_now();
        }
        Ok(Unread { shown, typed })
    }
}

impl Subject for Unread {
    fn name(&self) -> &'static str {
        "unread"
    }

    fn look(&mut self, seen: &mut Seen) {
        seen.note("typed", descriptor::unread(&self.typed.1));
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let ends = [("shown", &self.shown.0 as &dyn AsFd), ("typed", &self.typed.1)];
        for (name, end) in ends {
            // What was lost shall be told, not waited for.
            let set = fcntl(end.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
            findings.tried(&format!("{name}.flags"), as_io(set));
        }
        receive("shown.content", &mut self.shown.0, SHOWN, findings);
        receive("typed.content", &mut self.typed.1, TYPED, findings);
        findings.tried("shown.write", self.shown.1.write_all(b"more"));
        receive("shown.goes_on", &mut self.shown.0, b"more", findings);
        findings.tried("typed.write", self.typed.0.write_all(b"more\n"));
        receive("typed.goes_on", &mut self.typed.1, b"more\n", findings);
    }
}

/// A master whose slave nobody has opened yet, and one that is locked still.
struct Alone {
    master: PtyMaster,
    locked: PtyMaster,
}

impl Alone {
    fn new() -> io::Result<Self> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let (master, locked) = (posix_openpt(flags)?, posix_openpt(flags)?);
        unlockpt(&master)?;
        Ok(Alone { master, locked })
    }
}

impl Subject for Alone {
    fn name(&self) -> &'static str {
        "alone"
    }

    fn look(&mut self, seen: &mut Seen) {
        for (name, master) in [("master", &self.master), ("locked", &self.locked)] {
            seen.note(format!("{name}.number"), ptsname_r(master));
            seen.note(format!("{name}.locked"), terminal::locked(master));
            seen.note(format!("{name}.flags"), fcntl(master, FcntlArg::F_GETFL));
        }
    }

    fn go_on(&mut self, findings: &mut Findings) {
        let mut first = || {
            let mut slave = open(&self.master)?;
            slave.write_all(b"first")?;
            let mut bytes = [0; 5];
            self.master.read_exact(&mut bytes)?;
            Ok(bytes)
        };
        findings.gives("master.goes_on", *b"first", first());
        let refused = open(&self.locked).err().and_then(|it| it.raw_os_error());
        findings.equal("locked.refuses", Some(libc::EIO), refused);
    }
}
