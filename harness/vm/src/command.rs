//! The command lines of QEMU and of the kernel that it boots.
//!
//! Every option here means the same from QEMU 7.2 to 10.x. A difference between versions belongs
//! into this file and nowhere else: [`Machine::qemu`] knows the version.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::path::Path;

use model::message::PORT;

use crate::{Accel, Disk, Machine};

/// Sockets that QEMU inherits, connected to us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sockets {
    pub(crate) monitor: RawFd,
    pub(crate) console: RawFd,
    pub(crate) agent: RawFd,
}

impl Machine {
    /// Arguments for QEMU.
    pub(crate) fn arguments(
        &self,
        name: &str,
        console_log: &Path,
        sockets: Sockets,
    ) -> Vec<OsString> {
        let mut arguments = Arguments::default();
        self.hardware(name, &mut arguments);
        self.kernel(&mut arguments);
        wires(console_log, sockets, &mut arguments);
        for (number, disk) in self.disks.iter().enumerate() {
            attach(number, disk, &mut arguments);
        }
        if self.user_network {
            arguments.option("-netdev", "user,id=net");
            arguments.option("-device", "virtio-net-pci,netdev=net");
        }
        arguments.0
    }

    fn hardware(&self, name: &str, arguments: &mut Arguments) {
        arguments.option("-name", Words::new("debug-threads=on").key("guest", name).0);
        for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
            arguments.0.push(flag.into());
        }
        arguments.option("-display", "none");
        arguments.option("-machine", "q35");
        let (accel, cpu) = match self.accel {
            Accel::Kvm => ("kvm", "host"),
            // With a thread for each CPU, QEMU loses races against a kernel that patches its own
            // code while another CPU runs it: the guest dies of `Oops: int3`.
            Accel::Tcg => ("tcg,thread=single", "max"),
        };
        arguments.option("-accel", accel);
        arguments.option("-cpu", cpu);
        arguments.option("-smp", self.cpus.to_string());
        arguments.option("-m", format!("{}M", self.memory_mib));
        arguments.option("-device", "virtio-rng-pci");
        if let Some(seed) = self.seed {
            arguments.option("-seed", seed.to_string());
        }
    }

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
];

fn wires(console_log: &Path, sockets: Sockets, arguments: &mut Arguments) {
    // QEMU itself writes the log, so that it is whole even when nobody listens any more.
    let console = Words::new("socket").key("id", "console").key("fd", sockets.console.to_string());
    arguments.option("-chardev", console.key("logfile", console_log).key("logappend", "off").0);
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
    let read_only = if disk.read_only { "on" } else { "off" };
    let file = Words::new("driver=file").key("node-name", format!("file{number}"));
    let file = file.key("filename", &disk.path).key("read-only", read_only);
    arguments.option("-blockdev", file.0);
    let format = Words::new("driver=").then(disk.format.driver()).key("node-name", &node);
    let format = format.key("file", format!("file{number}")).key("read-only", read_only);
    arguments.option("-blockdev", format.0);
    let device = Words::new("virtio-blk-pci").key("drive", &node).key("serial", &disk.serial);
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

    fn then(mut self, text: &str) -> Words {
        self.0.push(text);
        self
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
    use crate::{DiskFormat, Qemu, Version};

    fn machine(accel: Accel) -> Machine {
        let version = Version { major: 7, minor: 2, micro: 0 };
        let qemu = Qemu { program: "qemu-system-x86_64".into(), version };
        Machine::new(qemu, accel, "/kernels/vmlinuz", "/initramfs")
    }

    /// Options and their values, one a line.
    fn lines(machine: &Machine) -> String {
        let sockets = Sockets { monitor: 10, console: 11, agent: 12 };
        let arguments = machine.arguments("node", Path::new("/out/console,1.log"), sockets);
        let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ").replace(" -", "\n-")
    }

    #[test]
    fn a_machine_with_everything() {
        let mut machine = machine(Accel::Tcg);
        machine.disks.push(Disk::read_only("root", "/images/root,with,commas.erofs"));
        machine
            .disks
            .push(Disk { format: DiskFormat::Qcow2, ..Disk::writable("data", "/d.qcow2") });
        machine.command_line.push("loglevel=7".to_owned());
        machine.user_network = true;
        machine.seed = Some(3);
        insta::assert_snapshot!(lines(&machine));
    }

    #[test]
    fn a_plain_machine_under_kvm() {
        insta::assert_snapshot!(lines(&machine(Accel::Kvm)));
    }

    #[test]
    fn a_machine_is_recorded_as_json() {
        let mut machine = machine(Accel::Tcg);
        machine.disks.push(Disk::read_only("root", "/images/root.erofs"));
        insta::assert_json_snapshot!(machine);
    }
}
