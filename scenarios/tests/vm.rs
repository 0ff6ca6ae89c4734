//! Stories in real machines. `cargo xtask test` builds what they need and runs them.

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Run, Script, Started, cryolab, recovered, unbroken, unknown_differences};

/// The quickest cell.
const QUICK: [&str; 4] = ["--scenario", "in-place", "--workload", "counter"];

fn quick(more: &[&str]) -> Run {
    Run::of(&[QUICK.as_slice(), more].concat())
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn counter_and_redis_come_back_from_a_reboot() {
    let run = Run::of(&["--scenario", "reboot", "--json"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let printed: Value = serde_json::from_str(&run.stdout).expect("nothing but JSON");
    assert_eq!(printed, run.results);
    assert_eq!(run.cells().len(), 2);
    for cell in run.cells() {
        assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
        let levels = &cell["levels"];
        assert!(levels["kernel"]["facts"].as_u64() >= Some(300), "{}", levels["kernel"]);
        assert!(levels["kernel"]["kinds"].as_u64() >= Some(60), "{}", levels["kernel"]);
        assert!(levels["memory"]["pages"].as_u64() >= Some(1000), "{}", levels["memory"]);
        let nodes = cell["evidence"]["nodes"].as_array().expect("boots");
        assert_eq!(nodes.len(), 2);
        assert_ne!(nodes[0]["boot_id"], nodes[1]["boot_id"]);
    }
    let before = std::fs::read(run.folder.path().join("results.json")).expect("results");
    let folder = run.folder.path().display().to_string();
    assert!(cryolab(&["report", &folder]).output().expect("a report").status.success());
    let after = std::fs::read(run.folder.path().join("results.json")).expect("results");
    assert_eq!(before, after, "drawn again from the record, it is the same");
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_pod_comes_back_on_another_kernel() {
    let kernels = ["--kernel", "bookworm", "--target-kernel", "trixie"];
    let run = Run::of(&[&["--scenario", "reboot", "--workload", "counter"], &kernels[..]].concat());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let cell = run.cell();
    assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
    let nodes = cell["evidence"]["nodes"].as_array().expect("boots");
    assert_ne!(nodes[0]["kernel_release"], nodes[1]["kernel_release"]);
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_container_comes_into_a_pod_that_runs_and_a_whole_node_comes_back() {
    let run = Run::of(&["--scenario", "reboot/into-pod,reboot/node", "--workload", "counter"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for cell in run.cells() {
        assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
        for level in ["self", "memory"] {
            assert_eq!(cell["levels"][level]["outcome"], "equivalent", "{}", cell["levels"][level]);
        }
    }
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn containers_of_a_pod_come_back_together() {
    let run = Run::of(&["--scenario", "reboot", "--workload", "pod-all,pod-net"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    for cell in run.cells() {
        assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
        assert_eq!(cell["levels"]["self"]["outcome"], "equivalent", "{}", cell["levels"]["self"]);
    }
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn redis_runs_on_unaware_while_copies_of_it_are_analysed() {
    let run = Run::of(&["--scenario", "forensic", "--workload", "redis"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let cell = run.cell();
    assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
    for level in ["self", "outside"] {
        assert_eq!(cell["levels"][level]["outcome"], "equivalent", "{}", cell["levels"][level]);
    }
    let times = &cell["times_ms"];
    assert!(times["stall"].as_u64() > Some(0) && times["downtime"].is_null(), "{times}");
    let mut cells = run.folder.path().join("cells").read_dir().expect("listed");
    let folder = cells.next().expect("a cell").expect("an entry").path();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("written");
    let analysis: Value = serde_json::from_str(&read("forensic.json")).expect("JSON");
    assert_eq!(analysis["processes"][0]["comm"], "redis-server");
    assert!(analysis["memory"]["found"].as_array().expect("a list").len() >= 3);
    assert_eq!(analysis["chain"].as_array().expect("a list").len(), 2);
    let changes = analysis["differences"]["changes"].as_array().expect("a list");
    assert!(changes.iter().any(|it| it["field"] == "xxh64"), "memory moved on: {changes:?}");
    assert!(read("forensic.html").contains("appendonly.aof"));
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn copies_of_a_checkpoint_are_pods_of_their_own() {
    let words = ["--scenario", "quick-start", "--workload", "redis", "--copies", "2"];
    let run = Run::of(&words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let cell = run.cell();
    assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
    for level in ["self", "outside"] {
        assert_eq!(cell["levels"][level]["outcome"], "equivalent", "{}", cell["levels"][level]);
    }
    let copies = cell["evidence"]["copies"].as_array().expect("copies");
    let told = |what: &str| copies.iter().map(|copy| copy[what].clone()).collect::<Vec<_>>();
    assert_eq!(told("address"), ["10.88.1.2", "10.88.2.2"]);
    assert_eq!(told("hostname"), ["redis-copy-1", "redis-copy-2"]);
    assert!(told("first_answer_ms").iter().all(Value::is_u64), "{copies:?}");
    let times = &cell["times_ms"];
    assert!(times["first_answer_cold"].is_u64() && times["downtime"].is_null(), "{times}");
    let findings = cell["evidence"]["findings"].as_array().expect("findings");
    let told = |finding: &Value, what| finding.as_str().is_some_and(|text| text.contains(what));
    assert!(findings.iter().any(|finding| told(finding, "AT_RANDOM")), "{findings:?}");
    // Both copies were captured: there is twice as much as in one pod.
    assert!(cell["levels"]["kernel"]["facts"].as_u64() >= Some(2 * 2000), "{}", cell["levels"]);
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_pod_outlives_the_death_of_criu_and_keeps_its_connections() {
    let words = [&QUICK[..], &["--crash", "*files:kill-criu"]].concat();
    assert_eq!(recovered(&words), ["the pod runs on"; 2]);
    let words = [&QUICK[..], &["--crash", "tasks:kill-criu"]].concat();
    assert_eq!(recovered(&words), ["restored from its archive"; 2]);
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_pod_outlives_the_death_of_the_engine_on_one_side_of_each_commit() {
    let words = [&QUICK[..], &["--crash", "commit:kill-engine"]].concat();
    assert_eq!(recovered(&words), ["the pod runs on", "restored from its archive"]);
    let words = [&QUICK[..], &["--crash", "adopt:kill-engine"]].concat();
    assert_eq!(recovered(&words), ["restored from its archive", "the restored pod runs"]);
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_full_disk_is_refused_and_the_pod_runs_on() {
    let words = [&QUICK[..], &["--crash", "before-archive:full-disk"]].concat();
    assert_eq!(recovered(&words), ["the pod runs on"]);
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn the_power_takes_a_pod_along_only_before_the_commit() {
    let words = ["--scenario", "reboot", "--workload", "counter", "--crash", "commit:power"];
    assert_eq!(recovered(&words), ["nothing to restore", "restored from its archive"]);
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_round_that_does_not_come_to_its_end_is_taken_anew_and_the_pod_runs_on() {
    let words = ["--scenario", "migration/pre-copy", "--workload", "counter"];
    let killed = [&words[..], &["--crash", "round:kill-engine"]].concat();
    assert_eq!(recovered(&killed), ["the pod runs on"; 2]);
    let full = [&words[..], &["--crash", "before-round:full-disk"]].concat();
    assert_eq!(recovered(&full), ["the pod runs on"]);
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_checkpoint_outlives_a_power_cut_and_is_whole() {
    let words = ["--scenario", "reboot/power-cut", "--workload", "counter", "--keep", "always"];
    let run = Run::of(&words);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let cell = run.cell();
    assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
    assert_eq!(cell["evidence"]["nodes"].as_array().map(Vec::len), Some(2));
    let name = cell["name"].as_str().expect("a name");
    let archive = run.folder.path().join("cells").join(name).join("checkpoint.tar.zst");
    let path = archive.display().to_string();
    let ask = |verb| cryolab(&["archive", verb, &path]).output().expect("an answer");
    assert_eq!(ask("verify").status.code(), Some(0));
    let shown = String::from_utf8(ask("show").stdout).expect("text");
    assert!(shown.contains("counter") && shown.contains("images/inventory.img"), "{shown}");
    let mut bytes = std::fs::read(&archive).expect("an archive");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).expect("spoiled");
    let refused = ask("verify");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("checkpoint.tar.zst: "));
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn what_is_left_on_a_node_fails_the_cell_by_name() {
    let leave = Script::new(
        "#!/bin/sh\nset -e\nmkdir /tmp/left\nmount -t tmpfs left /tmp/left\n\
         nft add table inet leftover\n",
    );
    let run = quick(&["--hook", &leave.at("post-resume")]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(run.cell()["outcome"], "failed");
    for thing in ["left on node", "mount /tmp/left (tmpfs)", "nft table inet leftover"] {
        assert!(run.reason().contains(thing), "{}", run.reason());
    }
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn one_spoiled_bit_in_an_image_is_one_differing_page() {
    let spoil = Script::new(
        r#"#!/bin/sh
        set -e
        pages=$(ls "$CRYOLAB_IMAGES"/pages-*.img | head -n 1)
        at=$(($(stat -c %s "$pages") / 2 + 17))
        byte=$(od -An -tu1 -j$at -N1 "$pages")
        printf "\\$(printf %03o $((byte ^ 1)))" | dd of="$pages" bs=1 seek=$at conv=notrunc
        "#,
    );
    let run = quick(&["--hook", &spoil.at("pre-restore")]);
    let memory = &run.cell()["levels"]["memory"];
    assert_eq!((run.code, memory["differing"].as_u64()), (Some(1), Some(1)), "{}", run.reason());
    assert_eq!(run.cell()["outcome"], "diverged");
    let source = memory["differences"][0]["bytes"]["source"].as_str().unwrap_or_default();
    assert!(source.ends_with("holds what came back, not what was captured"), "{memory}");
    let folder = run.folder.path().join("cells").join(run.cell()["name"].as_str().expect("a name"));
    assert!(folder.join("checkpoint.tar.zst").exists(), "artefacts of a regression are kept");
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn the_bytes_of_pages_that_came_back_different_are_shown() {
    let spoil = Script::new(
        r#"#!/bin/sh
        set -e
        pid=${CRYOLAB_PIDS%% *}
        for mapping in '[[]heap[]]' '/SYSV.*' '/memfd:/dev/zero.*' 'r-xp .*/counter'; do
            at=$((0x$(grep "$mapping\$" /proc/$pid/maps | head -n 1 | cut -d - -f 1) + 0x148))
            byte=$(dd if=/proc/$pid/mem bs=1 skip=$at count=1 | od -An -tu1)
            printf "\\$(printf %03o $((byte ^ 16)))" | dd of=/proc/$pid/mem bs=1 seek=$at conv=notrunc
        done
        "#,
    );
    let run = quick(&["--hook", &spoil.at("pre-resume")]);
    let memory = &run.cell()["levels"]["memory"];
    assert_eq!((run.code, memory["differing"].as_u64()), (Some(1), Some(4)), "{}", run.reason());
    for difference in memory["differences"].as_array().expect("a list") {
        let bytes = &difference["bytes"];
        assert_eq!(bytes["differing"], 1, "{difference}");
        assert!(bytes["first"].as_str().is_some_and(|at| at.ends_with("148")), "{difference}");
        let byte = |side: &str| u8::from_str_radix(bytes[side]["hex"].as_str()?, 16).ok();
        assert_eq!(byte("before").map(|byte| byte ^ 16), byte("after"), "{difference}");
    }
    assert!(memory["reason"].as_str().is_some_and(|it| it.contains(": 1 byte differs, at 0x")));
    let folder = run.folder.path().display().to_string();
    let report = cryolab(&["report", &folder, "--cell", "*"]).output().expect("a report");
    let drawn = String::from_utf8_lossy(&report.stdout);
    assert_eq!(drawn.matches(": 1 byte differs, the first at 0x").count(), 4, "{drawn}");
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_failing_hook_fails_the_cell_by_name_phase_and_code() {
    let hook = Script::new("echo no luck >&2; exit 3\n");
    let run = quick(&["--hook", &hook.at("post-dump")]);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.cell()["outcome"], "failed");
    for part in ["/hook", "post-dump", "code 3", "no luck"] {
        assert!(run.reason().contains(part), "{}", run.reason());
    }
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_full_disk_breaks_the_cell_with_the_console_at_hand() {
    let fill = Script::new("dd if=/dev/zero of=/data/fill bs=1M 2>/dev/null; sync; true\n");
    let run = quick(&["--hook", &fill.at("post-dump")]);
    assert_eq!(run.cell()["outcome"], "broken", "{}", run.reason());
    assert_eq!(run.code, Some(3));
    assert!(run.reason().contains("No space left"), "{}", run.reason());
    let console = run.cell()["trouble"]["console_tail"].as_array().expect("a list");
    assert!(!console.is_empty());
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_connection_lives_through_a_cut_wire_and_nothing_on_it_is_lost() {
    let run = Run::of(&["--scenario", "in-place/wire-cut", "--pcap"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let cell = run.cell();
    assert_eq!(cell["workload"], "redis", "the counter has no observer");
    assert_eq!(unknown_differences(cell), [""; 0], "{}", cell["reason"]);
    unbroken(cell);
    let outside = &cell["levels"]["outside"];
    let (gap, downtime) = (&outside["gap_ms"], &cell["times_ms"]["downtime"]);
    assert!(gap.as_u64() >= downtime.as_u64(), "the gap of {gap} ms has {downtime} ms in it");
    assert!(cell["evidence"]["wire_bytes"].as_u64() > Some(1_000), "{}", cell["evidence"]);
    let folder = run.folder.path().join("cells").join(cell["name"].as_str().expect("a name"));
    let capture = std::fs::read(folder.join("wire-node-client.pcapng")).expect("a capture");
    assert!(capture.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]), "a section header of pcapng");
    let rerun = std::fs::read_to_string(folder.join("rerun.sh")).expect("a script");
    assert!(rerun.contains("--pcap"), "{rerun}");
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_task_of_the_node_that_does_not_move_ends_the_cell_with_its_trace() {
    let freeze = Script::new(
        "echo 3 > /proc/sys/kernel/hung_task_timeout_secs\n\
         fsfreeze --freeze /data\n\
         touch /data/stuck > /dev/null 2>&1 < /dev/null &\n",
    );
    let run = quick(&["--hook", &freeze.at("frozen")]);
    assert_eq!((run.code, &run.cell()["outcome"]), (Some(3), &"broken".into()), "{}", run.stderr);
    assert!(run.reason().contains("blocked for more than"), "{}", run.reason());
    let console = run.cell()["trouble"]["console_tail"].to_string();
    assert!(console.contains("Call Trace"), "{console}");
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn an_interrupt_takes_everything_down_and_leaves_a_whole_record() {
    let run = Started::with(&QUICK);
    let pid = run.child.id();
    let machines = await_machine(pid);
    let began = Instant::now();
    let target = nix::unistd::Pid::from_raw(pid.cast_signed());
    nix::sys::signal::kill(target, nix::sys::signal::Signal::SIGINT).expect("a signal");
    let run = run.end();
    assert!(began.elapsed() < Duration::from_secs(10), "took {:?}", began.elapsed());
    assert_eq!(run.code, Some(130), "{}", run.stderr);
    assert_eq!(run.cell()["standing"], "interrupted");
    assert!(run.reason().contains("SIGINT"), "{}", run.reason());
    for machine in machines {
        assert!(!is_machine(machine), "QEMU {machine} was left");
    }
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn a_killed_run_leaves_no_machine_and_a_record_that_can_be_drawn() {
    let mut run = Started::with(&QUICK);
    let machines = await_machine(run.child.id());
    run.child.kill().expect("killed");
    let deadline = Instant::now() + Duration::from_secs(10);
    while machines.iter().any(|machine| is_machine(*machine)) {
        assert!(Instant::now() < deadline, "{machines:?} were left");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    let folder = run.path().display().to_string();
    let report = cryolab(&["report", &folder]).output().expect("a report");
    assert_eq!(report.status.code(), Some(130), "{}", String::from_utf8_lossy(&report.stderr));
    assert!(String::from_utf8_lossy(&report.stdout).contains("interrupted"));
}

#[test]
#[ignore = "boots a VM: cargo xtask test runs it"]
fn two_runs_at_once_do_not_disturb_each_other() {
    let runs = [Started::with(&QUICK), Started::with(&QUICK)].map(Started::end);
    for run in runs {
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
}

/// Waits until a process has started its first machine; the pids of its machines.
fn await_machine(parent: u32) -> Vec<u32> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let machines: Vec<u32> =
            descendants(parent).into_iter().filter(|pid| is_machine(*pid)).collect();
        if !machines.is_empty() {
            return machines;
        }
        assert!(Instant::now() < deadline, "no machine was started");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn descendants(parent: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.flat_map(|child: u32| [vec![child], descendants(child)].concat()).collect()
}

/// A QEMU that runs a machine, and not one that is asked for its version.
fn is_machine(pid: u32) -> bool {
    let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    words.starts_with("qemu-system") && words.contains("-machine") && !state.contains(") Z ")
}
