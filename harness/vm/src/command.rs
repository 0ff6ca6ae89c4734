//! The command lines of QEMU and of the kernel that it boots.
//!
//! Every option here means the same from QEMU 7.2 to 10.x. A difference between versions belongs
//! into this file and nowhere else: [`Machine::qemu`] knows the version.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::path::Path;

use model::message::{Card, PORT};

use crate::{Accel, Disk, Machine, Time, Version};

/// What one start of a machine adds to the machine itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) name: &'a str,
    pub(crate) console_log: &'a Path,
    pub(crate) seed: Option<u64>,
    pub(crate) memory: Memory<'a>,
    /// Whether the state comes by migration, and not by a boot.
    pub(crate) incoming: bool,
    pub(crate) sockets: &'a Sockets,
    /// Who the cards are; a card without an entry has QEMU's default address.
    pub(crate) cards: &'a [Card],
}

/// Where a machine's memory is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Memory<'a> {
    /// Its own.
    Own,
    /// A file that others may then fork from.
    File(&'a Path),
    /// A file, of which it changes private copies.
    CopyOf(&'a Path),
}

/// Sockets that QEMU inherits, connected to us.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    pub(crate) monitor: RawFd,
    pub(crate) console: RawFd,
    pub(crate) agent: RawFd,
    pub(crate) data: Option<RawFd>,
    pub(crate) cards: Vec<RawFd>,
}

impl Sockets {
    /// All of them, to be inherited.
    pub(crate) fn all(&self) -> Vec<RawFd> {
        let fixed = [self.monitor, self.console, self.agent];
        fixed.into_iter().chain(self.data).chain(self.cards.iter().copied()).collect()
    }
}

/// QEMU's word for the file that a machine's state is written to.
///
/// `file:` is there since 8.2; before that a shell does the same.
pub(crate) fn state_to(version: Version, path: &Path) -> String {
    if version >= FILES { by_name(path) } else { format!("exec:cat > {}", quoted(path)) }
}

/// QEMU's word for the file that a machine's state is read from.
pub(crate) fn state_from(version: Version, path: &Path) -> String {
    if version >= FILES { by_name(path) } else { format!("exec:cat {}", quoted(path)) }
}

const FILES: Version = Version { major: 8, minor: 2, micro: 0 };

fn by_name(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// A path as the shell reads it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// The CPU that is emulated, with all that QEMU can do but two things.
///
/// - With `erms` the kernel copies by `rep movsb`, which QEMU emulates byte by byte: without it,
///   every copy and all that is made of copies is six times as fast.
/// - With `smap` the kernel opens and closes the way to user memory around each access, and QEMU
///   has another table of pages for either: without it, whatever makes many system calls is a
///   twentieth faster.
pub(crate) const EMULATED_CPU: &str = "max,-erms,-smap";

impl Launch<'_> {
    /// Whether it only takes over a state, to save it in another form.
    fn never_runs(&self) -> bool {
        self.incoming && matches!(self.memory, Memory::File(_))
    }
}

impl Machine {
    /// Arguments for QEMU.
    pub(crate) fn arguments(&self, launch: &Launch<'_>) -> Vec<OsString> {
        let mut arguments = Arguments::default();
        self.hardware(launch, &mut arguments);
        if !launch.incoming {
            self.kernel(&mut arguments);
        }
        wires(launch.console_log, launch.sockets, &mut arguments);
        for (number, disk) in self.disks.iter().enumerate() {
            attach(number, disk, &mut arguments);
        }
        if let Some(fd) = launch.sockets.data {
            attach_data(fd, &mut arguments);
        }
        for (number, fd) in launch.sockets.cards.iter().enumerate() {
            plug(number, *fd, launch.cards.get(number), &mut arguments);
        }
        arguments.0
    }

    fn hardware(&self, launch: &Launch<'_>, arguments: &mut Arguments) {
        arguments.option("-name", Words::new("debug-threads=on").key("guest", launch.name).0);
        for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
            arguments.0.push(flag.into());
        }
        arguments.option("-display", "none");
        arguments.option("-machine", "q35,memory-backend=ram");
        self.processor(launch.never_runs(), arguments);
        self.memory(launch.memory, arguments);
        arguments.option("-device", "virtio-rng-pci");
        if let Some(seed) = launch.seed {
            arguments.option("-seed", seed.to_string());
        }
        if launch.incoming {
            arguments.option("-incoming", "defer");
        }
    }

    fn processor(&self, never_runs: bool, arguments: &mut Arguments) {
        let (accel, cpu) = match self.accel {
            Accel::Kvm => ("kvm", "host"),
            // With a thread for each CPU, QEMU loses races against a kernel that patches its own
            // code while another CPU runs it: the guest dies of `Oops: int3`.
            Accel::Tcg if !never_runs || self.time == Time::Virtual => {
                ("tcg,thread=single", EMULATED_CPU)
            }
            // The one thread of all CPUs does not look, before they run for the first time, whether
            // there is work left when it goes to sleep (accel/tcg/tcg-accel-ops-rr.c,
            // rr_cpu_thread_fn()): now and then, saving such a machine never ended.
            Accel::Tcg => ("tcg,thread=multi", EMULATED_CPU),
        };
        arguments.option("-accel", accel);
        arguments.option("-cpu", self.cpu_model.as_deref().unwrap_or(cpu));
        match self.time {
            Time::Real => arguments.option("-smp", self.cpus.to_string()),
            Time::Virtual => {
                arguments.option("-smp", "1");
                // With `sleep=off` an idle machine leaps to its next timer: while it waits for a
                // disk of the host that is a deadline, which then has passed.
                arguments.option("-icount", "shift=0,sleep=on");
                arguments.option("-rtc", "base=utc,clock=vm");
            }
        }
    }

    /// The memory has the same name wherever it is: QEMU finds it by that when a state comes in.
    fn memory(&self, memory: Memory<'_>, arguments: &mut Arguments) {
        let (backend, place) = match memory {
            Memory::Own => ("memory-backend-ram", None),
            Memory::File(path) => ("memory-backend-file", Some((path, "on"))),
            Memory::CopyOf(path) => ("memory-backend-file", Some((path, "off"))),
        };
        let size = format!("{}M", self.memory_mib);
        let mut words = Words::new(backend).key("id", "ram").key("size", &size);
        if let Some((path, share)) = place {
            words = words.key("mem-path", path).key("share", share);
        }
        arguments.option("-m", size);
        arguments.option("-object", words.0);
    }

    /// What is booted. A state that comes in has all that in its memory.
    fn kernel(&self, arguments: &mut Arguments) {
        arguments.option("-kernel", &self.kernel);
        arguments.option("-initrd", &self.initramfs);
        arguments.option("-append", self.kernel_command_line());
    }

    /// The kernel's command line: the usual words, then the machine's own.
    #[must_use]
    pub fn kernel_command_line(&self) -> String {
        let own = self.command_line.iter().map(String::as_str);
        let emulated: &[&str] = match self.accel {
            Accel::Kvm => &[],
            Accel::Tcg => EMULATED_WORDS,
        };
        let words: Vec<&str> = KERNEL_WORDS.iter().chain(emulated).copied().chain(own).collect();
        words.join(" ")
    }
}

/// What every kernel is told. None of it changes what a task or a checkpoint can see.
const KERNEL_WORDS: &[&str] = &[
    "console=ttyS0",
    // Before there is a console: why a kernel cannot even be unpacked.
    "earlyprintk=ttyS0,115200",
    // Notices and worse: the version, warnings and traces, but not the hundreds of lines of a boot.
    "loglevel=6",
    // A kernel that is in trouble ends QEMU at once instead of limping on.
    "oops=panic",
    "panic=-1",
    "rdinit=/init",
    // A quarter of the instructions of a boot are spent on self-tests of ciphers, and on seeding
    // an entropy source from the jitter of a clock that TCG makes up.
    "cryptomgr.notests",
    "initcall_blacklist=jent_mod_init",
];

/// What a kernel is told in addition when its CPUs are emulated.
const EMULATED_WORDS: &[&str] = &[
    // The check counts ticks while it spins: on a busy host too few come, and the kernel panics
    // with `IO-APIC + timer doesn't work!` (arch/x86/kernel/apic/io_apic.c).
    "no_timer_check",
    // The emulated CPUs share a thread of a host that may be busy: one stands still for long while
    // the guest's clock goes on, and that is no lockup. What lasts for minutes is one (it ends a
    // cell, see `console/sign.rs`): soft lockups after twice this, the most that can be set ...
    "watchdog_thresh=60",
    // ... stalls of RCU, the most again; expedited ones follow it ...
    "rcupdate.rcu_cpu_stall_timeout=300",
    "rcupdate.rcu_exp_cpu_stall_timeout=0",
    // ... queues of work, and tasks that wait for a disk of that host.
    "workqueue.watchdog_thresh=120",
    "sysctl.kernel.hung_task_timeout_secs=300",
];

fn wires(console_log: &Path, sockets: &Sockets, arguments: &mut Arguments) {
    // QEMU itself writes the log, so that it is whole even when nobody listens any more.
    let console = Words::new("socket").key("id", "console").key("fd", sockets.console.to_string());
    arguments.option("-chardev", console.key("logfile", console_log).key("logappend", "on").0);
    arguments.option("-serial", "chardev:console");

    let monitor = Words::new("socket").key("id", "monitor").key("fd", sockets.monitor.to_string());
    arguments.option("-chardev", monitor.0);
    arguments.option("-mon", "chardev=monitor,mode=control");

    let agent = Words::new("socket").key("id", "agent").key("fd", sockets.agent.to_string());
    arguments.option("-chardev", agent.0);
    arguments.option("-device", "virtio-serial-pci");
    arguments.option("-device", Words::new("virtserialport,chardev=agent").key("name", PORT).0);
}

fn attach(number: usize, disk: &Disk, arguments: &mut Arguments) {
    let node = format!("disk{number}");
    let file = Words::new("driver=file").key("node-name", format!("file{number}"));
    arguments.option("-blockdev", file.key("filename", &disk.path).key("read-only", "on").0);
    let format = Words::new("driver=raw").key("node-name", &node);
    arguments
        .option("-blockdev", format.key("file", format!("file{number}")).key("read-only", "on").0);
    let device = Words::new("virtio-blk-pci").key("drive", &node).key("serial", &disk.serial);
    arguments.option("-device", device.0);
}

/// The disk that we serve ourselves: see [`crate::disk`].
fn attach_data(fd: RawFd, arguments: &mut Arguments) {
    let served = Words::new("driver=nbd,node-name=data,discard=unmap,server.type=fd");
    arguments.option("-blockdev", served.key("server.str", fd.to_string()).0);
    arguments.option("-device", "virtio-blk-pci,drive=data,serial=data");
}

/// A card on a wire of ours: see [`crate::wire`]. Nobody boots from it, so it needs no ROM.
fn plug(number: usize, fd: RawFd, card: Option<&Card>, arguments: &mut Arguments) {
    let net = format!("net{number}");
    let stream = Words::new("stream,server=off,addr.type=fd").key("id", &net);
    arguments.option("-netdev", stream.key("addr.str", fd.to_string()).0);
    let mut device = Words::new("virtio-net-pci,romfile=").key("netdev", &net);
    if let Some(card) = card {
        let mac = card.mac.map(|byte| format!("{byte:02x}")).join(":");
        device = device.key("mac", mac);
    }
    arguments.option("-device", device.0);
}

/// Arguments under construction.
#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.0.push(name.into());
        self.0.push(value.as_ref().to_owned());
    }
}

/// A value made of words with commas in between, as QEMU reads them.
struct Words(OsString);

impl Words {
    fn new(first: &str) -> Words {
        Words(first.into())
    }

    /// Adds `,key=value`. A comma within the value is doubled: that is how QEMU escapes it.
    fn key(mut self, key: &str, value: impl AsRef<OsStr>) -> Words {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let mut escaped = Vec::new();
        for &byte in value.as_ref().as_bytes() {
            escaped.push(byte);
            if byte == b',' {
                escaped.push(byte);
            }
        }
        self.0.push(format!(",{key}="));
        self.0.push(OsString::from_vec(escaped));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Qemu;

    fn machine(accel: Accel) -> Machine {
        let version = Version { major: 7, minor: 2, micro: 22 };
        let qemu = Qemu { program: "qemu-system-x86_64".into(), version };
        Machine::new(qemu, accel, "/images/bzImage", "/images/initramfs.cpio")
    }

    /// Options and their values, one a line.
    fn lines(machine: &Machine, memory: Memory<'_>, cards: &[Card]) -> String {
        let data = machine.data_bytes.map(|_| 13);
        let sockets = Sockets {
            monitor: 10,
            console: 11,
            agent: 12,
            data,
            cards: (0..machine.cards).map(|number| 20 + RawFd::from(number)).collect(),
        };
        let launch = Launch {
            name: "node",
            console_log: Path::new("/out/console,1.log"),
            seed: Some(3),
            memory,
            incoming: matches!(memory, Memory::CopyOf(_)),
            sockets: &sockets,
            cards,
        };
        let arguments = machine.arguments(&launch);
        let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ").replace(" -", "\n-")
    }

    #[test]
    fn a_fork_of_a_machine_with_everything() {
        let mut machine = machine(Accel::Tcg);
        machine.disks.push(Disk::read_only("root", "/images/root,with,commas.erofs"));
        machine.data_bytes = Some(1 << 30);
        machine.cards = 2;
        machine.command_line.push("loglevel=7".to_owned());
        machine.cpu_model = Some("Skylake-Server".to_owned());
        let card = Card { mac: [2, 0, 0, 0, 0, 10], addresses: Vec::new() };
        let memory = Memory::CopyOf(Path::new("/cache/ram"));
        insta::assert_snapshot!(lines(&machine, memory, &[card]));
    }

    #[test]
    fn a_plain_machine_under_kvm() {
        insta::assert_snapshot!(lines(&machine(Accel::Kvm), Memory::Own, &[]));
    }

    #[test]
    fn a_machine_whose_time_is_virtual() {
        let mut machine = machine(Accel::Tcg);
        machine.time = Time::Virtual;
        insta::assert_snapshot!(lines(&machine, Memory::File(Path::new("/cache/ram")), &[]));
    }

    #[test]
    fn a_state_goes_through_a_shell_where_qemu_knows_no_files() {
        let (old, path) = (Version { major: 7, minor: 2, micro: 22 }, Path::new("/it's/state"));
        assert_eq!(state_to(old, path), r"exec:cat > '/it'\''s/state'");
        assert_eq!(state_from(FILES, path), "file:/it's/state");
    }

    #[test]
    fn a_machine_is_recorded_as_json() {
        let mut machine = machine(Accel::Tcg);
        machine.disks.push(Disk::read_only("root", "/images/root.erofs"));
        insta::assert_json_snapshot!(machine);
    }
}
