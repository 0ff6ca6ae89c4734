//! Labs: nodes on wires, what befalls them, and branches of them while they run.
//!
//! These tests boot machines with the real agent: `cargo xtask test` says where everything is.

mod bench;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bench::from_environment;
use model::message::Shutdown;
use tempfile::TempDir;
use tokio::time::Instant;
use vm::disk::DataDisk;
use vm::lab::Lab;
use vm::wire::Shape;
use vm::{Accel, Disk, Machine, Qemu, Templates};

const MIB: u64 = 1 << 20;

/// How long anything may take that takes seconds.
const SOON: Duration = Duration::from_secs(60);

/// A folder, and a lab of two wired nodes in it, which have never run.
async fn two_nodes(folder: &TempDir) -> Lab {
    let qemu = Qemu::find().await.expect("QEMU");
    let [kernel, initramfs] =
        ["CRYOLAB_TEST_KERNEL", "CRYOLAB_TEST_INITRAMFS"].map(from_environment);
    let mut machine = Machine::new(qemu, Accel::Tcg, kernel, initramfs);
    machine.disks.push(Disk::read_only("root", from_environment("CRYOLAB_TEST_ROOTFS")));
    machine.disks.push(Disk::read_only("modules", from_environment("CRYOLAB_TEST_MODULES")));
    machine.memory_mib = 512;
    let cache = from_environment("CRYOLAB_TEST_CACHE");
    let templates = Templates::new(&cache, |notice| eprintln!("{notice}"));
    let mut lab = Lab::new(folder.path(), templates, 7).expect("a lab");
    for name in ["a", "b"] {
        lab.node(name, machine.clone()).expect("described");
        lab.data_disk(name, ext4(&folder.path().join(format!("{name}.img")))).expect("a disk");
    }
    lab.wire("a", "b").expect("wired");
    lab
}

fn ext4(path: &Path) -> DataDisk {
    std::fs::File::create(path).and_then(|file| file.set_len(64 * MIB)).expect("a file");
    let made = Command::new("mkfs.ext4").arg("-q").arg(path).status().expect("mkfs.ext4 runs");
    assert!(made.success(), "{made}: {:?}", made.signal());
    DataDisk::open(path).expect("a disk")
}

/// What a shell on a node prints, or how it failed.
async fn shell(lab: &Lab, node: &str, script: &str) -> String {
    let guest = lab.running(node).expect("runs").guest().clone();
    let ran = guest.run(["sh", "-c", script], SOON).await.expect("runs");
    assert_eq!(ran.code, 0, "{script}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn nodes_are_forks_that_differ_and_reboot_for_real() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = two_nodes(&folder).await;
    lab.start_all().await.expect("start");
    for node in lab.nodes() {
        eprintln!("{}: answers after {} ms", node.name(), node.start_time().as_millis());
        assert!(node.is_fork());
    }
    let who = "hostname; cat /etc/machine-id /sys/class/net/eth0/address; \
               cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/boot_id; \
               ip -details link show eth0 | grep -o 'permaddr [^ ]*' || true; \
               findmnt -no UUID /data";
    let (a, b) = (shell(&lab, "a", who).await, shell(&lab, "b", who).await);
    let same: Vec<_> = a.lines().filter(|line| b.lines().any(|other| other == *line)).collect();
    assert!(same.is_empty(), "{same:?}");
    shell(&lab, "a", "ping -c 1 -W 5 b").await;

    let before = lab.running("a").expect("runs").boot_id().to_owned();
    shell(&lab, "a", "echo kept > /data/file").await;
    lab.shut_down("a", Shutdown::Reboot).await.expect("goes down");
    let again = lab.start("a").await.expect("boots");
    assert!(!again.is_fork() && again.boot_id() != before);
    assert_eq!(shell(&lab, "a", "ping -c 1 -W 5 b > /dev/null; cat /data/file").await, "kept");
    lab.end().await;
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_power_cut_loses_what_was_not_flushed_and_a_reset_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = two_nodes(&folder).await;
    lab.start("a").await.expect("starts");
    let write = "dd if=/dev/zero of=/data/x bs=4096 count=2 2>/dev/null; sync; \
                 printf flushed | dd of=/data/x conv=notrunc,fsync 2>/dev/null; \
                 printf '%-512s' submitted > /tmp/p; \
                 dd if=/tmp/p of=/data/x conv=notrunc oflag=direct bs=512 seek=8 2>/dev/null";
    let read = "head -c 7 /data/x; tail -c +4097 /data/x | head -c 9 | tr -d '\\0'";
    shell(&lab, "a", write).await;
    lab.reset("a").await.expect("is gone");
    lab.start("a").await.expect("boots");
    assert_eq!(shell(&lab, "a", read).await, "flushedsubmitted");
    shell(&lab, "a", write).await;
    lab.power_cut("a").await.expect("is gone");
    lab.start("a").await.expect("boots");
    assert_eq!(shell(&lab, "a", read).await, "flushed");
    lab.end().await;
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_branch_goes_on_with_its_memory_disks_and_frames_and_leaves_the_lab_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = two_nodes(&folder).await;
    lab.start_all().await.expect("start");
    // Pings are on their way when the branch is made, and none of them may be lost.
    let slow = Shape { delay: Duration::from_secs(5), ..Shape::default() };
    shell(&lab, "a", "ping -c 1 -W 5 b; echo 1 > /run/state; echo 1 > /data/state; sync").await;
    lab.switch().shape("a", "b", slow).expect("a wire");
    shell(&lab, "a", "ping -c 20 -i 0.5 -W 60 b > /run/ping 2>&1 & true").await;
    let sent = async {
        while lab.switch().traffic("a", "b").expect("a wire").on_the_way == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let sent = tokio::time::timeout(SOON, sent).await;
    assert!(sent.is_ok(), "no ping is on its way: {:?}", lab.switch().directions());
    let branch = lab.branch(&["a", "b"]).await.expect("a branch");
    assert!(branch.frames() > 0 && branch.unread().is_empty(), "{:?}", branch.unread());
    shell(&lab, "a", "echo 2 > /run/state; echo 2 > /data/state; sync").await;

    let received = "while ! grep -q packets /run/ping; do sleep 0.1; done; grep -o '[0-9]* received' /run/ping";
    for number in 0..2 {
        let place = folder.path().join(format!("fork-{number}"));
        let fork = branch.fork(&place).await.expect("forks");
        assert_eq!(shell(&fork, "a", "cat /run/state /data/state").await, "1\n1");
        assert_eq!(shell(&fork, "a", received).await, "20 received");
        fork.switch().shape("a", "b", Shape::default()).expect("a wire");
        shell(&fork, "a", "echo 3 > /data/state; sync; ping -c 1 -W 30 b").await;
        fork.end().await;
    }
    assert_eq!(shell(&lab, "a", "cat /run/state /data/state").await, "2\n2");
    assert_eq!(shell(&lab, "a", received).await, "20 received");
    lab.end().await;
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_reboot_in_a_fork_of_a_branch_is_no_leap_of_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lab = two_nodes(&folder).await;
    lab.start("a").await.expect("starts");
    let branch = lab.branch(&["a"]).await.expect("a branch");
    // It becomes old while something else takes its time.
    let began = Instant::now();
    lab.shut_down("a", Shutdown::Reboot).await.expect("goes down");
    lab.start("a").await.expect("boots");
    lab.end().await;
    let age = began.elapsed();

    let mut fork = branch.fork(&folder.path().join("fork")).await.expect("forks");
    let began = Instant::now();
    let before = now(&fork).await;
    fork.shut_down("a", Shutdown::Reboot).await.expect("goes down");
    fork.start("a").await.expect("boots");
    let passed = now(&fork).await - before;
    let most = began.elapsed();
    assert!(passed > Duration::ZERO && passed < most + age / 2, "{passed:?} in {most:?}, {age:?}");
    fork.end().await;
}

/// The time of day on node a.
async fn now(lab: &Lab) -> Duration {
    let ns = shell(lab, "a", "date +%s%N").await;
    Duration::from_nanos(ns.parse().expect("nanoseconds"))
}
