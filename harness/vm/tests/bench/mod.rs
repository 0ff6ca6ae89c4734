//! What tests that boot machines stand on.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "part of several tests"
)]

use std::io::Write;
use std::path::PathBuf;

use tempfile::TempDir;
use vm::{Accel, Error, Machine, Node, Qemu, Seat};

/// A machine with the mishap guest, and a folder for its files.
pub struct Bench {
    pub folder: TempDir,
    pub machine: Machine,
}

impl Bench {
    pub async fn new() -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let initramfs = folder.path().join("initramfs");
        let guest = std::fs::read(from_environment("CRYOLAB_TEST_GUEST")).expect("the guest");
        std::fs::write(&initramfs, newc(&guest)).expect("an initramfs");
        let qemu = Qemu::find().await.expect("QEMU");
        let kernel = from_environment("CRYOLAB_TEST_KERNEL");
        let mut machine = Machine::new(qemu, Accel::Tcg, kernel, initramfs);
        machine.memory_mib = 256;
        Bench { folder, machine }
    }

    pub async fn misbehaving(mishap: &str) -> Bench {
        let mut bench = Bench::new().await;
        bench.machine.command_line.push(format!("mishap={mishap}"));
        bench
    }

    /// The kernel has an oops as soon as somebody makes a pipe.
    pub async fn without_pipes() -> Bench {
        let mut bench = Bench::new().await;
        bench.machine.command_line.push("initcall_blacklist=init_pipe_fs".to_owned());
        bench
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("console.log")
    }

    pub async fn boot(&self) -> Result<Node, Error> {
        self.machine.boot(Seat::new("node", self.log())).await
    }

    pub async fn node(&self) -> Node {
        self.boot().await.expect("boots")
    }
}

pub fn from_environment(name: &str) -> PathBuf {
    match std::env::var_os(name) {
        Some(path) => path.into(),
        None => panic!("{name} is not set: run these tests by `cargo xtask test`"),
    }
}

/// A cpio archive (newc) with `/init` and nothing else.
pub fn newc(init: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, mode, content) in [("init", 0o100_755, init), ("TRAILER!!!", 0, &[])] {
        let (inode, links, name_bytes) = (1, 1, name.len() + 1);
        write!(
            archive,
            "070701{inode:08x}{mode:08x}{:08x}{:08x}{links:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{name_bytes:08x}{:08x}{name}\0",
            0, 0, 0, content.len(), 0, 0, 0, 0, 0
        )
        .expect("memory");
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}
