//! A minimal guest for the tests of this room: PID 1 that speaks as an agent does, or misbehaves.
//!
//! What it does wrong during the boot is asked for by `mishap=WORD` on the kernel's command line
//! (which the kernel hands to init as an environment variable), what it does wrong later by
//! `Request::Run` with WORD as the command.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::Command;

use model::Phase;
use model::frame::{Decoder, encode};
use model::message::{
    CHUNK_BYTES, CheckpointReport, Decision, Event, Failure, Hello, PORT, PROTOCOL, Reply, Request,
    RequestId, Shutdown, ToGuest, ToHost,
};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::pause;

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("eat") => return eat(),
        Some("oops") => return oops(),
        _ => {}
    }
    live().inspect_err(|error| {
        // A console that fails, too, leaves nobody to tell.
        let _ = say(&format!("the mishap guest dies: {error}"));
    })
}

fn live() -> io::Result<()> {
    for (kind, place) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        fs::create_dir_all(place)?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)?;
    }
    let mishap = std::env::var("mishap").unwrap_or_default();
    say(&format!("this is the mishap guest: {mishap}"))?;
    match mishap.as_str() {
        "hang" => hang(),
        "exit" => return Ok(()),
        _ => {}
    }
    let port = open_port()?;
    let mut agent = Agent { port, puts: HashMap::new(), protocol: PROTOCOL };
    match mishap.as_str() {
        "rubbish" => agent.talk_rubbish(),
        "stranger" => agent.protocol += 1,
        _ => {}
    }
    agent.serve()
}

fn say(text: &str) -> io::Result<()> {
    // Level 4, so that it is shown.
    File::create("/dev/kmsg")?.write_all(format!("<4>{text}\n").as_bytes())
}

fn hang() -> ! {
    loop {
        pause();
    }
}

fn open_port() -> io::Result<File> {
    for entry in fs::read_dir("/sys/class/virtio-ports")? {
        let entry = entry?;
        if fs::read_to_string(entry.path().join("name"))?.trim() == PORT {
            let path = PathBuf::from("/dev").join(entry.file_name());
            return OpenOptions::new().read(true).write(true).open(path);
        }
    }
    Err(io::Error::other("there is no port"))
}

struct Agent {
    port: File,
    /// Files that are still to come: path, bytes.
    puts: HashMap<RequestId, (PathBuf, Vec<u8>, usize)>,
    protocol: u32,
}

impl Agent {
    fn talk_rubbish(&mut self) {
        while self.port.write_all(b"login: \0 password: \0").is_ok() {}
    }

    fn serve(mut self) -> io::Result<()> {
        self.hello()?;
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = self.port.read(&mut buffer)?;
            for message in decoder.push(&buffer[..count]).into_iter().flatten() {
                self.take(message)?;
            }
        }
    }

    fn send(&mut self, message: &ToHost) -> io::Result<()> {
        self.port.write_all(&encode(message).map_err(io::Error::other)?)
    }

    fn done(&mut self, id: RequestId, reply: Reply) -> io::Result<()> {
        self.send(&ToHost::Done { id, outcome: Ok(reply) })
    }

    fn fail(&mut self, id: RequestId, message: impl Into<String>) -> io::Result<()> {
        self.send(&ToHost::Done { id, outcome: Err(Failure::broken(message)) })
    }

    fn hello(&mut self) -> io::Result<()> {
        self.send(&ToHost::Hello(Hello {
            protocol: self.protocol,
            build: "mishap".to_owned(),
            kernel_release: read("/proc/sys/kernel/osrelease")?,
            criu_version: Err("there is none".to_owned()),
        }))
    }

    fn take(&mut self, message: ToGuest) -> io::Result<()> {
        match message {
            ToGuest::Hello { .. } => self.hello(),
            ToGuest::Request { id, request } => self.answer(id, request),
            ToGuest::Chunk { id, bytes } => self.chunk(id, &bytes),
            ToGuest::Input { .. } => Ok(()),
            ToGuest::Proceed { id, decision: Decision::Continue } => {
                self.done(id, Reply::Checkpoint(CheckpointReport::default()))
            }
            ToGuest::Proceed { id, decision: Decision::Abort } => self.fail(id, "aborted"),
        }
    }

    fn answer(&mut self, id: RequestId, request: Request) -> io::Result<()> {
        match request {
            Request::Ping | Request::Prepare => self.done(id, Reply::Done),
            Request::Become { .. } => {
                let boot_id = read("/proc/sys/kernel/random/boot_id")?;
                self.done(id, Reply::Became { boot_id })
            }
            Request::Panic => fs::write("/proc/sysrq-trigger", "c"),
            Request::Put { path, bytes, .. } => {
                self.puts.insert(id, (path, Vec::new(), bytes as usize));
                self.chunk(id, &[])
            }
            Request::Get { path } => self.get(id, &path),
            Request::Run { command, .. } => self.misbehave(id, &command.join(" ")),
            Request::Checkpoint { pod, .. } => self.operate(id, &pod),
            Request::Shutdown { how } => leave(how),
            other => self.fail(id, format!("not for a mishap guest: {other:?}")),
        }
    }

    fn chunk(&mut self, id: RequestId, bytes: &[u8]) -> io::Result<()> {
        let Some((path, content, length)) = self.puts.get_mut(&id) else { return Ok(()) };
        content.extend_from_slice(bytes);
        if content.len() < *length {
            return Ok(());
        }
        fs::write(path, content)?;
        self.puts.remove(&id);
        self.done(id, Reply::Done)
    }

    fn get(&mut self, id: RequestId, path: &std::path::Path) -> io::Result<()> {
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) => return self.fail(id, format!("{}: {error}", path.display())),
        };
        for bytes in content.chunks(CHUNK_BYTES) {
            self.send(&ToHost::Chunk { id, bytes: bytes.to_vec() })?;
        }
        self.done(id, Reply::Done)
    }

    fn operate(&mut self, id: RequestId, pod: &str) -> io::Result<()> {
        let step = Event::Step { name: format!("freeze.{pod}"), at_ns: 1 };
        self.send(&ToHost::Event { id, event: step })?;
        let (phase, pids) = (Phase::Frozen, vec![1, 2]);
        let event = Event::Phase { phase, at_ns: 2, pids, images: None };
        self.send(&ToHost::Event { id, event })
    }

    fn misbehave(&mut self, id: RequestId, how: &str) -> io::Result<()> {
        match how {
            "panic" => fs::write("/proc/sysrq-trigger", "c"),
            "hang" => hang(),
            "exit" => std::process::exit(3),
            "oops" => oops(),
            "limp" => limp(),
            "out of memory" => eat_by_child().and_then(|()| self.done(id, Reply::Done)),
            "out of its memory" => {
                confine()?;
                eat_by_child().and_then(|()| self.done(id, Reply::Done))
            }
            "lockup" => {
                say("watchdog: BUG: soft lockup - CPU#0 stuck for 126s! [init:1]")?;
                say("RIP: 0010:delay_tsc+0x3c/0x60")?;
                hang()
            }
            "reset" => leave(Shutdown::Reboot),
            "noise" => {
                self.port.write_all(b"\x1b[2J kernel: hello? \0\0")?;
                self.done(id.wrapping_add(1000), Reply::Done)?;
                self.done(id, Reply::Done)
            }
            "event" => {
                let event = Event::Step { name: "unasked".to_owned(), at_ns: 0 };
                self.send(&ToHost::Event { id, event })
            }
            "flood" => loop {
                self.send(&ToHost::Chunk { id, bytes: vec![7; CHUNK_BYTES] })?;
            },
            other => self.fail(id, format!("unknown mishap `{other}`")),
        }
    }
}

fn read(path: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

/// Makes a kernel that was booted with `initcall_blacklist=init_pipe_fs` follow a null pointer.
fn oops() -> io::Result<()> {
    nix::unistd::pipe().map(drop).map_err(io::Error::other)
}

/// An oops that is the end of a child only.
fn limp() -> io::Result<()> {
    fs::write("/proc/sys/kernel/panic_on_oops", "0")?;
    Command::new("/init").arg("oops").status()?;
    hang()
}

/// The child, which is killed: nobody would kill PID 1.
fn eat_by_child() -> io::Result<()> {
    Command::new("/init").arg("eat").status().map(drop)
}

fn eat() -> io::Result<()> {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 1 << 20]);
    }
}

/// Gives children 16 MiB.
fn confine() -> io::Result<()> {
    let root = "/sys/fs/cgroup";
    mount(Some("cgroup2"), root, Some("cgroup2"), MsFlags::empty(), None::<&str>)?;
    fs::write(format!("{root}/cgroup.subtree_control"), "+memory")?;
    fs::create_dir(format!("{root}/small"))?;
    fs::write(format!("{root}/small/memory.max"), "16M")?;
    fs::write(format!("{root}/small/cgroup.procs"), "1")
}

fn leave(how: Shutdown) -> ! {
    let mode = match how {
        Shutdown::Reboot => RebootMode::RB_AUTOBOOT,
        Shutdown::PowerOff => RebootMode::RB_POWER_OFF,
    };
    match reboot(mode) {
        Ok(never) => match never {},
        Err(_) => hang(),
    }
}
