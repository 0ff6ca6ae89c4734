//! The agent's powers that concern the node itself: programs with streams, and who it is.
//!
//! These tests fork machines with the real agent: `cargo xtask test` says where their images are.

mod bench;

use std::collections::BTreeSet;
use std::time::Duration;

use model::message::{
    Afterwards, Card, Decision, Event, Identity, KnownHost, Reply, Request, WindowSize,
};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use vm::exec::{Exec, Output, Ran, Running};
use vm::lab::Lab;
use vm::{Accel, Disk, Error, Guest, Machine, Node, Qemu, Seat, Templates};

use bench::from_environment;

const SOON: Duration = Duration::from_secs(60);

/// A machine with the real agent, to be forked.
struct Forks {
    folder: TempDir,
    machine: Machine,
    templates: Templates,
}

impl Forks {
    async fn new(cards: u8) -> Forks {
        let image = |name: &str| from_environment(&format!("CRYOLAB_TEST_{name}"));
        let qemu = Qemu::find().await.expect("QEMU");
        let mut machine = Machine::new(qemu, Accel::Tcg, image("KERNEL"), image("INITRAMFS"));
        machine.disks.push(Disk::read_only("root", image("ROOTFS")));
        machine.command_line.push("cryolab.disks=root".to_owned());
        machine.cards = cards;
        Forks { folder: tempfile::tempdir().expect("a folder"), machine, templates: templates() }
    }

    fn seat(&self, name: &str) -> Seat {
        Seat::new(name, self.folder.path().join(format!("{name}.log")))
    }

    async fn node(&self, seat: Seat) -> Node {
        self.templates.fork(&self.machine, seat).await.expect("forks")
    }
}

fn templates() -> Templates {
    Templates::new(&from_environment("CRYOLAB_TEST_CACHE"), |notice| eprintln!("{notice}"))
}

async fn shell(guest: &Guest, script: &str) -> Ran {
    guest.run(["sh", "-c", script], SOON).await.expect(script)
}

async fn text(guest: &Guest, script: &str) -> String {
    let ran = shell(guest, script).await;
    assert_eq!(ran.code, 0, "{script}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

async fn next(running: &mut Running) -> Output {
    timeout(SOON, running.next()).await.expect("within a minute").expect("goes on")
}

/// Takes output until it contains a text; what else came before the program's end is a failure.
async fn until(running: &mut Running, wanted: &str) -> String {
    let mut seen = Vec::new();
    loop {
        match next(running).await {
            Output::Stdout(bytes) => seen.extend(bytes),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&seen)),
        }
        let seen = String::from_utf8_lossy(&seen);
        if seen.contains(wanted) {
            return seen.into_owned();
        }
    }
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn programs_run_on_pipes() {
    let forks = Forks::new(0).await;
    let node = forks.node(forks.seat("node")).await;
    let guest = node.guest();

    let ran = shell(guest, "echo out; echo err >&2; exit 7").await;
    assert_eq!(ran, Ran { code: 7, stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec() });
    assert_eq!(shell(guest, "kill -9 $$").await.code, 137);
    assert_eq!(text(guest, "yes | head -n 3").await, "y\ny\ny\n");
    let error = guest.run(["/no/such/program"], SOON).await.expect_err("cannot start");
    assert!(error.failure().is_some_and(|it| it.message.contains("/no/such/program")), "{error}");

    // Who is left behind with the pipes is not waited for, flood or not.
    let ran = shell(guest, "sleep 1000 & yes & echo done").await;
    assert!(ran.code == 0 && ran.stdout.windows(5).any(|it| it == b"done\n"));
    for _ in 0..30 {
        let ran = shell(guest, "sleep 1000 & echo said; echo more >&2").await;
        assert_eq!((&ran.stdout[..], &ran.stderr[..]), (&b"said\n"[..], &b"more\n"[..]));
    }
    shell(guest, "kill -9 $(pidof sleep yes)").await;

    // Ten megabytes there and back.
    let sent: Vec<u8> = (0..10_000_000u32).map(|number| (number / 3) as u8).collect();
    let mut cat = guest.exec(Exec::new(["cat"])).await.expect("begins");
    let (input, mut received) = (cat.input(), Vec::new());
    let began = Instant::now();
    let write = async {
        input.write(&sent).await?;
        input.end().await
    };
    let read = async {
        loop {
            match next(&mut cat).await {
                Output::Stdout(bytes) => received.extend(bytes),
                other => return other,
            }
        }
    };
    let (written, end) = tokio::join!(write, read);
    written.expect("written");
    assert!(end == Output::Exited(0) && received == sent);
    eprintln!("10 MB there and back in {:?}", began.elapsed());
    node.kill().await;
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn nobody_waits_for_a_program_that_does_not_read_or_is_not_read() {
    let forks = Forks::new(0).await;
    let node = forks.node(forks.seat("node")).await;
    let guest = node.guest();

    // It does not read: what is written waits, and all else goes on.
    let mut deaf = guest.exec(Exec::new(["sleep", "1000"])).await.expect("begins");
    let input = deaf.input();
    let write = tokio::spawn(async move { input.write(&vec![7; 10_000_000]).await });
    for _ in 0..20 {
        guest.request(Request::Ping, SOON).await.expect("answers");
    }
    assert!(!write.is_finished());
    deaf.input().signal(15).await.expect("sent");
    assert_eq!(next(&mut deaf).await, Output::Exited(143));
    timeout(SOON, write).await.expect("it gives up").expect("no panic").expect("goes nowhere");

    // It is not read: its output waits in its pipe.
    let flood = guest.exec(Exec::new(["yes"])).await.expect("begins");
    let count = "awk '/^wchar/ {print $2}' /proc/$(pidof yes)/io";
    let before = text(guest, count).await;
    for _ in 0..20 {
        guest.request(Request::Ping, SOON).await.expect("answers");
    }
    assert_eq!(text(guest, count).await, before, "it writes no more");
    drop(flood);
    let gone = "while pidof yes; do sleep 0.1; done; echo gone";
    assert!(text(guest, gone).await.ends_with("gone\n"));

    // What it wrote last is not lost when nobody takes it for a while.
    let mut late = guest.exec(Exec::new(["sh", "-c", "seq 50000; exit 3"])).await.expect("begins");
    text(guest, "sleep 1").await;
    let mut bytes = 0;
    let code = loop {
        match next(&mut late).await {
            Output::Stdout(piece) => bytes += piece.len(),
            Output::Stderr(piece) => panic!("{piece:?}"),
            Output::Exited(code) => break code,
        }
    };
    assert_eq!((code, bytes), (3, 288_894));
    node.kill().await;
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_shell_on_a_terminal_is_as_one_expects() {
    let forks = Forks::new(0).await;
    let node = forks.node(forks.seat("node")).await;
    let guest = node.guest();
    let mut exec = Exec::new(["sh", "-i"]);
    exec.terminal = Some(WindowSize { rows: 33, columns: 99 });
    exec.env.insert("TERM".to_owned(), "xterm".to_owned());
    exec.env.insert("PS1".to_owned(), "=> ".to_owned());
    let mut shell = guest.exec(exec).await.expect("begins");
    let input = shell.input();
    until(&mut shell, "=> ").await;
    let say = async |text: &str| input.write(text.as_bytes()).await.expect("written");

    say("tty; stty size; echo $TERM >&2\n").await;
    let said = until(&mut shell, "xterm\r\n=> ").await;
    assert!(said.contains("/dev/pts/") && said.contains("33 99\r\n"), "{said}");
    input.resize(WindowSize { rows: 44, columns: 111 }).await.expect("sent");
    say("trap 'echo WINCH' WINCH; stty size\n").await;
    until(&mut shell, "44 111\r\n=> ").await;

    // Job control: what runs in the foreground is interrupted, and the shell is not.
    say("sleep 1000; echo code $?\n").await;
    until(&mut shell, "\r\n").await;
    text(guest, "while ! pidof sleep; do sleep 0.1; done").await;
    say("\u{3}").await;
    until(&mut shell, "=> ").await;
    say("sleep 1000\n").await;
    until(&mut shell, "\r\n").await;
    text(guest, "while ! pidof sleep; do sleep 0.1; done").await;
    say("\u{1a}").await;
    until(&mut shell, "=> ").await;
    say("jobs; kill %1; fg; echo over\n").await;
    let said = until(&mut shell, "over\r\n=> ").await;
    assert!(said.contains("Stopped"), "{said}");

    // A flood can be interrupted.
    say("yes flood\n").await;
    for _ in 0..1000 {
        until(&mut shell, "flood").await;
    }
    say("\u{3}").await;
    until(&mut shell, "^C\r\n=> ").await;

    // A window whose size changes tells the program in the foreground.
    say("sh -c 'trap \"stty size; exit\" WINCH; echo waits; while :; do sleep 0.1; done'\n").await;
    until(&mut shell, "\r\nwaits\r\n").await;
    input.resize(WindowSize { rows: 55, columns: 122 }).await.expect("sent");
    until(&mut shell, "55 122\r\n=> ").await;

    say("exit 5\n").await;
    let end = loop {
        if let Output::Exited(code) = next(&mut shell).await {
            break code;
        }
    };
    assert_eq!(end, 5);

    // The end of input, also within a line.
    let mut exec = Exec::new(["cat"]);
    exec.terminal = Some(WindowSize { rows: 24, columns: 80 });
    let mut cat = guest.exec(exec).await.expect("begins");
    cat.input().write(b"no newline").await.expect("written");
    cat.input().end().await.expect("sent");
    until(&mut cat, "no newlineno newline").await;
    assert_eq!(next(&mut cat).await, Output::Exited(0));
    node.kill().await;
}

fn identity(name: &str, number: u8) -> Identity {
    let card = |place: u8| Card {
        mac: [0x52, 0x54, 0, 0xcc, place, number],
        addresses: vec![
            format!("10.77.{place}.{number}/24"),
            format!("fd77:a{place}::{number}/64"),
        ],
    };
    let host = |number: u8, name: &str| KnownHost {
        address: format!("10.77.0.{number}"),
        name: name.to_owned(),
    };
    Identity {
        hostname: name.to_owned(),
        machine_id: format!("{number:032x}"),
        entropy: vec![number; 32],
        clock_ns: Some(1_900_000_000_000_000_000),
        cards: vec![card(0), card(1)],
        hosts: vec![host(1, "a"), host(2, "b")],
    }
}

const WHO: &str = "cat /etc/hostname /etc/machine-id /sys/class/net/e*/address \
    /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid; hostname; \
    head -c 16 /dev/urandom | od -An -tx1; ip -o addr | grep -o 'fe80[^ ]*'";

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn forks_of_one_template_are_two_nodes() {
    let forks = Forks::new(2).await;
    let mut said: Vec<BTreeSet<String>> = Vec::new();
    for (name, number) in [("a", 1), ("b", 2)] {
        let mut seat = forks.seat(name);
        seat.identity = identity(name, number);
        let (near, _far): (Vec<_>, Vec<_>) = (0..2).map(|_| pair()).unzip();
        seat.cards = near;
        let node = forks.node(seat).await;
        eprintln!("{name} after {:?}", node.start_time());
        let guest = node.guest();
        is_who_it_is_to_be(guest, name, number).await;
        said.push(text(guest, WHO).await.lines().map(str::to_owned).collect());

        // Once more, as somebody else, and back: nothing of the other is left.
        for who in [identity("other", 7), identity(name, number)] {
            let became = guest.request(Request::Become { identity: who }, SOON).await;
            let Ok(Reply::Became { boot_id }) = became else { panic!("{became:?}") };
            assert_eq!(boot_id, node.boot_id());
        }
        is_who_it_is_to_be(guest, name, number).await;
        node.kill().await;
    }
    assert!(said[0].len() >= 9 && said[1].len() >= 9, "{said:?}");
    assert!(said[0].is_disjoint(&said[1]), "{said:?}");
}

async fn is_who_it_is_to_be(guest: &Guest, name: &str, number: u8) {
    let told = text(guest, "hostname; cat /etc/hosts /etc/hostname; date +%s; ip addr").await;
    assert!(told.starts_with(&format!("{name}\n127.0.0.1 localhost\n")), "{told}");
    assert!(told.contains(&format!("10.77.0.2 b\n{name}\n19000000")), "{told}");
    for place in 0..2u8 {
        let card = text(guest, &format!("ip addr show eth{place}")).await;
        let link_local = 256 * u16::from(place) + u16::from(number);
        for wanted in [
            "UP,LOWER_UP".to_owned(),
            format!("52:54:00:cc:{place:02x}:{number:02x} brd"),
            format!("inet 10.77.{place}.{number}/24 brd 10.77.{place}.255"),
            format!("inet6 fd77:a{place}::{number}/64"),
            format!("inet6 fe80::5054:ff:fecc:{link_local:x}/64"),
        ] {
            assert!(card.contains(&wanted), "{wanted} in {card}");
        }
        assert_eq!(card.matches("inet").count(), 3, "{card}");
    }
    text(guest, &format!("ping -c 1 {name}")).await;
}

fn pair() -> (std::os::fd::OwnedFd, std::os::unix::net::UnixStream) {
    let (near, far) = std::os::unix::net::UnixStream::pair().expect("a pair");
    (near.into(), far)
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_panic_that_was_asked_for_is_one() {
    let forks = Forks::new(0).await;
    let node = forks.node(forks.seat("node")).await;
    let mut running = node.guest().exec(Exec::new(["sleep", "1000"])).await.expect("begins");
    let error = timeout(SOON, node.guest().request(Request::Panic, SOON)).await.expect("soon");
    assert!(matches!(error, Err(Error::Panicked { .. })), "{error:?}");
    let error = timeout(SOON, running.next()).await.expect("soon");
    assert!(matches!(error, Err(Error::Panicked { .. })), "{error:?}");
}

#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn an_operation_that_waits_goes_both_ways_in_two_branches() {
    let bench = bench::Bench::new().await;
    let mut lab = Lab::new(&bench.folder.path().join("one"), templates(), 1).expect("a lab");
    lab.node("a", bench.machine.clone()).expect("described");
    let guest = lab.start("a").await.expect("starts").guest().clone();
    let (pod, archive) = ("pod".to_owned(), "/archive".into());
    let request =
        Request::Checkpoint { pod, archive, afterwards: Afterwards::Remove, deadline_ms: 1000 };
    let mut operation = guest.begin(request, SOON).await.expect("begins");
    while !matches!(operation.next().await, Ok(Some(Event::Phase { .. }))) {}

    let branch = lab.branch(&["a"]).await.expect("branches");
    let other = branch.fork(&bench.folder.path().join("two")).await.expect("forks");
    let fork = other.running("a").expect("runs").guest();
    let mut forked = operation.in_fork(fork);
    fork.request(Request::Ping, SOON).await.expect("answers");
    forked.decide(Decision::Abort).await.expect("delivered");
    assert!(forked.next().await.is_err_and(|error| error.failure().is_some()));
    assert_eq!(operation.next().await.expect("goes on"), None);
    assert!(matches!(operation.finish(), Ok(Reply::Checkpoint(_))));
    other.end().await;
    lab.end().await;
}
