//! Whatever befalls a machine ends in an error that says so, with the console's last words.
//!
//! These tests boot machines. `cargo xtask test` says where a kernel and the guest
//! (`examples/mishap_guest.rs`, built as a static program) are to be found.

mod bench;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use model::Phase;
use model::message::{Afterwards, Decision, Event, Place, Reply, Request, Shutdown};
use vm::accel::{Setting, Trial, choose};
use vm::{Disk, Error, Machine, Seat};

use bench::{Bench, newc};

const SOON: Duration = Duration::from_secs(30);

fn run(word: &str) -> Request {
    let (command, env) = (vec![word.to_owned()], BTreeMap::new());
    Request::Run { place: Place::Node, command, env, deadline_ms: 0 }
}

fn gone(pid: u32) -> bool {
    // A killed process is a zombie until its parent (or init) has reaped it.
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("within half a minute")
}

async fn until_gone(pid: u32) {
    soon(async {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        while !gone(pid) {
            tick.tick().await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_healthy_guest_boots_answers_and_goes_down() {
    let mut bench = Bench::new().await;
    let image = bench.folder.path().join("a,b.img");
    std::fs::write(&image, vec![0; 1 << 20]).expect("an image");
    bench.machine.disks.push(Disk::read_only("root", image));
    let node = bench.node().await;
    eprintln!("hello after {} ms", node.start_time().as_millis());
    assert!(node.hello().kernel_release.contains('.'), "{:?}", node.hello());
    let pid = node.pid();
    let reply = node.guest().request(Request::Ping, SOON).await.expect("answers");
    assert_eq!(reply, Reply::Done);

    node.shut_down(Shutdown::Reboot).await.expect("goes down");
    assert!(gone(pid));
    let console = std::fs::read_to_string(bench.log()).expect("a console log");
    assert!(console.contains("Linux version"), "{console}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn files_cross_the_wall_whole_and_within_their_caps() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let guest = node.guest();
    let content: Vec<u8> = (0..3_000_001u32).map(|number| (number / 7) as u8).collect();
    guest.put(Path::new("/file"), 0o644, &content).await.expect("put");
    let (one, two) = tokio::join!(guest.get("/file", content.len()), guest.get("/file", 4 << 20));
    assert!(one.expect("get") == content && two.expect("get") == content);

    let error = guest.get("/file", content.len() - 1).await.expect_err("too large");
    assert_eq!(error.to_string(), "node: wrong answer to get /file: too many bytes");
    guest.put(Path::new("/empty"), 0o644, &[]).await.expect("put");
    assert!(guest.get("/empty", 0).await.expect("get").is_empty());
    let error = guest.get("/nowhere", 9).await.expect_err("not there");
    assert!(error.failure().is_some(), "{error}");
    node.shut_down(Shutdown::PowerOff).await.expect("goes down");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn an_operation_waits_at_its_phase_while_other_requests_are_answered() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let guest = node.guest();
    let request = || Request::Checkpoint {
        pod: "pod".to_owned(),
        archive: "/archive".into(),
        afterwards: Afterwards::Remove,
        deadline_ms: 1000,
    };
    let mut seen = Vec::new();
    let mut operation = guest.begin(request(), SOON).await.expect("begins");
    while let Some(event) = operation.next().await.expect("goes on") {
        match event {
            Event::Step { name, .. } => seen.push(name),
            Event::Phase { phase, .. } => {
                seen.push(phase.to_string());
                guest.request(Request::Ping, SOON).await.expect("answers meanwhile");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, ["freeze.pod", "frozen"]);
    assert!(matches!(operation.finish(), Ok(Reply::Checkpoint(_))));

    let mut operation = guest.begin(request(), SOON).await.expect("begins");
    let error = loop {
        match operation.next().await {
            Ok(Some(Event::Phase { phase: Phase::Frozen, .. })) => {
                operation.decide(Decision::Abort).await.expect("delivered");
            }
            Ok(Some(_)) => {}
            Ok(None) => panic!("an aborted operation succeeded"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.to_string(), "node: checkpoint of pod pod failed: aborted");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_guest_that_breaks_the_rules_harms_nobody() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let guest = node.guest();
    guest.request(run("noise"), SOON).await.expect("the answer within the noise");
    assert_eq!((guest.noise().damaged_frames, guest.noise().unknown_ids), (1, 1));
    let error = guest.request(run("event"), SOON).await.expect_err("out of place");
    assert!(error.to_string().contains("out of place"), "{error}");
    let error = guest.fetch(run("flood"), 1 << 20, SOON).await.expect_err("too much");
    assert_eq!(error.to_string(), "node: wrong answer to `flood`: too many bytes");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_panic_during_a_request_is_told_with_its_trace() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let error = soon(node.guest().request(run("panic"), SOON * 2)).await.expect_err("panics");
    let Error::Panicked { headline, console, during, .. } = &error else { panic!("{error}") };
    assert!(headline.starts_with("Kernel panic - not syncing"), "{error}");
    assert!(console.iter().any(|line| line.contains("sysrq_handle_crash")), "{error}");
    assert_eq!(during, "`panic`");
    eprintln!("{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn an_oops_is_told_by_its_own_words() {
    let bench = Bench::without_pipes().await;
    let node = bench.node().await;
    let error = soon(node.guest().request(run("oops"), SOON * 2)).await.expect_err("panics");
    let Error::Panicked { headline, console, .. } = &error else { panic!("{error}") };
    assert!(headline.starts_with("BUG: kernel NULL pointer dereference"), "{error}");
    let has = |words| console.iter().any(|line| line.contains(words));
    for words in ["RIP: ", "Kernel panic - not syncing: Fatal exception"] {
        assert!(has(words), "no `{words}` in {console:#?}");
    }
    eprintln!("{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn an_oops_is_told_when_the_kernel_limps_on() {
    let bench = Bench::without_pipes().await;
    let node = bench.node().await;
    let error = soon(node.guest().request(run("limp"), SOON * 2)).await.expect_err("an oops");
    let Error::Trouble { headline, console, .. } = &error else { panic!("{error}") };
    assert!(headline.starts_with("BUG: kernel NULL pointer dereference"), "{error}");
    assert!(console.iter().any(|line| line.contains("RIP: ")), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_node_that_is_out_of_memory_is_told_once() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let error = soon(node.guest().request(run("out of memory"), SOON * 2)).await;
    let error = error.expect_err("somebody is killed");
    let Error::Trouble { headline, console, .. } = &error else { panic!("{error}") };
    assert!(headline.starts_with("Out of memory: Killed process"), "{error}");
    assert!(console.iter().any(|line| line.contains("invoked oom-killer")), "{error}");
    node.guest().request(Request::Ping, SOON).await.expect("answers again");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_workload_that_is_out_of_its_own_memory_is_no_trouble_of_the_node() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let answer = node.guest().request(run("out of its memory"), SOON * 2).await;
    assert_eq!(answer.expect("answers"), Reply::Done);
    let killed = |line: &String| line.contains("Memory cgroup out of memory: Killed process");
    assert!(node.console_tail().iter().any(killed), "{:?}", node.console_tail());
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_lockup_ends_the_wait_with_its_trace() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let threshold = node.guest().get("/proc/sys/kernel/watchdog_thresh", 64).await;
    assert_eq!(threshold.expect("read"), b"60\n", "on a busy host less is a false alarm");
    let error = soon(node.guest().request(run("lockup"), SOON * 2)).await.expect_err("hangs");
    let Error::Trouble { headline, console, .. } = &error else { panic!("{error}") };
    assert!(headline.contains("BUG: soft lockup - CPU#0 stuck for 126s!"), "{error}");
    assert!(console.iter().any(|line| line.contains("RIP: 0010:delay_tsc")), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn an_agent_that_dies_during_a_request_is_told() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let error = soon(node.guest().request(run("exit"), SOON * 2)).await.expect_err("dies");
    let Error::Panicked { headline, .. } = &error else { panic!("{error}") };
    assert!(headline.contains("Attempted to kill init! exitcode=0x00000300"), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_guest_that_resets_during_a_request_is_told() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let error = soon(node.guest().request(run("reset"), SOON * 2)).await.expect_err("resets");
    let Error::Exited { reason, console, .. } = &error else { panic!("{error}") };
    assert_eq!(reason.as_deref(), Some("guest-reset"));
    assert!(!console.is_empty());
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_guest_that_hangs_during_a_request_is_told_and_killed() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let pid = node.pid();
    let patience = Duration::from_secs(3);
    let error = node.guest().request(run("hang"), patience).await.expect_err("hangs");
    assert!(error.to_string().contains("no end of `hang` within 3 s, the machine is running"));
    assert!(error.console().iter().any(|line| line.contains("mishap guest")), "{error}");
    node.kill().await;
    assert!(gone(pid));
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_guest_that_hangs_at_boot_is_told_at_the_deadline() {
    let mut bench = Bench::misbehaving("hang").await;
    bench.machine.boot_deadline_s = 20;
    let error = bench.boot().await.expect_err("hangs");
    assert!(matches!(error, Error::Silent { seconds: 20, .. }), "{error}");
    assert!(error.console().iter().any(|line| line.contains("mishap guest: hang")), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn an_agent_that_dies_at_boot_is_told_at_once() {
    let bench = Bench::misbehaving("exit").await;
    let error = soon(bench.boot()).await.expect_err("dies");
    let Error::Panicked { headline, .. } = &error else { panic!("{error}") };
    assert!(headline.contains("Attempted to kill init!"), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_guest_that_talks_rubbish_is_told_with_a_sample() {
    let bench = Bench::misbehaving("rubbish").await;
    let error = tokio::time::timeout(SOON * 2, bench.boot()).await.expect("soon");
    let error = error.expect_err("talks rubbish");
    let Error::Rubbish { sample, console, .. } = &error else { panic!("{error}") };
    assert!(sample.starts_with("login: "), "{error}");
    assert!(console.iter().any(|line| line.contains("mishap guest: rubbish")), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn an_agent_of_another_protocol_is_refused() {
    let bench = Bench::misbehaving("stranger").await;
    let error = bench.boot().await.expect_err("a stranger");
    assert!(matches!(&error, Error::Protocol { build, .. } if build == "mishap"), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_kernel_without_init_is_told_by_its_panic() {
    let mut bench = Bench::new().await;
    std::fs::write(&bench.machine.initramfs, newc(b"not a program")).expect("an initramfs");
    bench.machine.command_line.push("rdinit=/nowhere".to_owned());
    let error = soon(bench.boot()).await.expect_err("has no init");
    assert!(matches!(error, Error::Panicked { .. }), "{error}");
    assert!(!error.console().is_empty());
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_spoiled_kernel_is_told_in_its_own_words() {
    let mut bench = Bench::new().await;
    let mut kernel = std::fs::read(&bench.machine.kernel).expect("a kernel");
    let middle = kernel.len() / 2;
    kernel[middle..middle + 4096].fill(0);
    bench.machine.kernel = bench.folder.path().join("spoiled");
    std::fs::write(&bench.machine.kernel, kernel).expect("a spoiled kernel");
    let error = soon(bench.boot()).await.expect_err("does not boot");
    let Error::Panicked { headline, .. } = &error else { panic!("{error}") };
    assert!(headline.ends_with("-- System halted"), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_file_that_is_no_kernel_is_told_in_the_words_of_qemu() {
    let mut bench = Bench::new().await;
    bench.machine.kernel = bench.folder.path().join("text");
    std::fs::write(&bench.machine.kernel, "not a kernel\n".repeat(1000)).expect("a text");
    let error = soon(bench.boot()).await.expect_err("does not start");
    let Error::Exited { stderr, .. } = &error else { panic!("{error}") };
    assert!(stderr.iter().any(|line| line.contains("kernel")), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_disk_that_is_not_there_is_told_by_its_name() {
    let mut bench = Bench::new().await;
    bench.machine.disks.push(Disk::read_only("root", "/nowhere/root.erofs"));
    let error = soon(bench.boot()).await.expect_err("does not start");
    assert!(error.to_string().contains("/nowhere/root.erofs"), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_dropped_node_is_gone() {
    let bench = Bench::new().await;
    let node = bench.node().await;
    let (pid, guest) = (node.pid(), node.guest().clone());
    drop(node);
    until_gone(pid).await;
    let error = soon(guest.request(Request::Ping, SOON * 2)).await.expect_err("nobody is there");
    assert!(matches!(error, Error::Exited { .. }), "{error}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn the_choice_of_an_accelerator_can_be_believed() {
    let bench = Bench::new().await;
    let Machine { qemu, kernel, initramfs, .. } = bench.machine.clone();
    let trial = Trial { qemu, kernel, initramfs };
    let cache = bench.folder.path().join("cache");
    let choice = soon(choose(Setting::Auto, &trial, &cache)).await.expect("chosen");
    eprintln!("{}: {}", choice.accel, choice.reason);
    let again = choose(Setting::Auto, &trial, &cache).await.expect("remembered");
    assert_eq!(again, choice);
    let mut machine = bench.machine.clone();
    machine.accel = choice.accel;
    let node =
        machine.boot(Seat::new("node", bench.log())).await.expect("boots by what was chosen");
    node.shut_down(Shutdown::PowerOff).await.expect("goes down");
}

/// Boots a node for `no_machine_outlives_a_killed_harness`, and waits to be killed.
#[tokio::test]
#[ignore = "a part of another test: does nothing by itself"]
async fn harness_that_will_be_killed() {
    if std::env::var_os("CRYOLAB_TEST_VICTIM").is_none() {
        return;
    }
    let bench = Bench::new().await;
    let node = bench.node().await;
    eprintln!("\npid of the machine: {}", node.pid());
    node.exited().await;
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn no_machine_outlives_a_killed_harness() {
    let mut victim = Command::new(std::env::current_exe().expect("this test"));
    victim.args(["--ignored", "--exact", "--nocapture", "harness_that_will_be_killed"]);
    victim.env("CRYOLAB_TEST_VICTIM", "1").stderr(Stdio::piped());
    let mut victim = victim.spawn().expect("starts");
    let output = BufReader::new(victim.stderr.take().expect("piped"));
    let mut lines = output.lines().map_while(Result::ok);
    let pid = lines.find_map(|line| line.strip_prefix("pid of the machine: ")?.parse().ok());
    let pid: u32 = pid.expect("the victim boots a machine");
    assert!(!gone(pid));
    victim.kill().expect("killed");
    victim.wait().expect("reaped");
    until_gone(pid).await;
}
