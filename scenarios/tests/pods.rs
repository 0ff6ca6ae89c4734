//! What the engine says of a pod that runs already, and what becomes of a CRIU that hangs.
//!
//! These tests fork machines with the real agent, engine and CRIU: `cargo xtask test` says where their
//! images are. A pod's containers are witnesses, who say themselves whether all is as it was.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::message::{
    Afterwards, Cause, Destination, Event, Failure, Place, Ready, Reply, Request,
};
use model::pod::{ContainerSpec, CriuOptions, Namespace, PodSpec, Security, Stdio};
use model::{Mark, Side, Step};
use rstest::rstest;
use vm::{Accel, Disk, Guest, Machine, Node, Qemu, Seat, Templates};

const SOON: Duration = Duration::from_secs(180);

/// What an operation may take by the engine's own deadline, in milliseconds; and one that is to hang.
const DEADLINE_MS: u64 = 120_000;
const SHORT_MS: u64 = 4_000;

const ARCHIVE: &str = "/run/archives/checkpoint.tar.zst";
const IMAGE: &str = "/run/cryolab/images/witness";

/// Everything that a CRIU may have left, but for what it knows of the kernel.
const LEFT: &str = "nft list tables; ls -d /tmp/.criu* 2>/dev/null; \
    grep -l /criu/ /proc/[0-9]*/maps 2>/dev/null; \
    find /sys/fs/cgroup -name cgroup.freeze -exec grep -lx 1 {} +; true";

/// Stops every CRIU, and all tasks that one is making.
const STOP: &str = "for maps in $(grep -ls '/criu/.*criu' /proc/[0-9]*/maps); do \
    pid=${maps#/proc/}; kill -STOP ${pid%/maps} && echo stopped; done";

struct Bench {
    _folder: tempfile::TempDir,
    node: Node,
}

fn from_environment(name: &str) -> PathBuf {
    let value = std::env::var_os(name);
    value.map(PathBuf::from).unwrap_or_else(|| panic!("{name} is not set: run cargo xtask test"))
}

impl Bench {
    async fn new() -> Bench {
        let image = |name: &str| from_environment(&format!("CRYOLAB_TEST_{name}"));
        let qemu = Qemu::find().await.expect("QEMU");
        let mut machine = Machine::new(qemu, Accel::Tcg, image("KERNEL"), image("INITRAMFS"));
        machine.disks.extend([
            Disk::read_only("root", image("ROOTFS")),
            Disk::read_only("modules", image("MODULES")),
            Disk::read_only("criu", image("CRIU")),
        ]);
        let folder = tempfile::tempdir().expect("a folder");
        let templates = Templates::new(&image("CACHE"), |notice| eprintln!("{notice}"));
        let seat = Seat::new("node", folder.path().join("console.log"));
        let node = templates.fork(&machine, seat).await.expect("forks");
        let program = from_environment("CRYOLAB_GUEST_BIN").join("witness");
        let program = std::fs::read(program).expect("the witness");
        let place = Path::new(IMAGE).join("witness");
        node.guest().put(&place, 0o755, &program).await.expect("put");
        Bench { _folder: folder, node }
    }

    fn guest(&self) -> &Guest {
        self.node.guest()
    }

    /// Starts a pod of one container, which has the pod's name.
    async fn start(&self, pod: &str, concern: &str, share: &[Namespace]) {
        let container = ContainerSpec {
            name: pod.to_owned(),
            image: IMAGE.into(),
            command: ["/witness", concern].map(str::to_owned).to_vec(),
            env: Vec::new(),
            directory: "/".to_owned(),
            uid: 0,
            gid: 0,
            rlimits: Default::default(),
            tmpfs: Default::default(),
            masked: Vec::new(),
            stdio: Stdio::Pipe,
            memory_mib: None,
            criu: CriuOptions::default(),
            security: Security::default(),
        };
        let pod_spec = PodSpec {
            name: pod.to_owned(),
            hostname: format!("{pod}-host"),
            link: None,
            share: share.iter().copied().collect::<BTreeSet<_>>(),
            shm_mib: 16,
            containers: vec![container],
        };
        self.request(Request::Start { pod: pod_spec }).await.expect("starts");
        let ready = Ready::Line("ready".to_owned());
        let (name, deadline_ms) = (pod.to_owned(), DEADLINE_MS);
        let wait = Request::AwaitReady { pod: name.clone(), container: name, ready, deadline_ms };
        self.request(wait).await.expect("is ready");
    }

    async fn request(&self, request: Request) -> Result<Reply, Failure> {
        self.guest().request(request, SOON).await.map_err(|error| failure(&error))
    }

    /// Carries an operation of the engine through.
    async fn operate(&self, request: Request) -> Result<Reply, Failure> {
        let mut operation = self.guest().begin(request, SOON).await.expect("begins");
        while operation.next().await.map_err(|error| failure(&error))?.is_some() {}
        operation.finish().map_err(|error| failure(&error))
    }

    async fn checkpoint(&self, pod: &str) {
        self.shell(&format!("mkdir -p {}", parent())).await;
        self.operate(checkpoint(pod, DEADLINE_MS)).await.expect("is checkpointed");
    }

    /// Has an operation hang at a mark, where every CRIU is stopped: how it fails.
    async fn hang(&self, request: Request, mark: Mark) -> Failure {
        self.request(Request::WaitAt { mark: Some(mark) }).await.expect("will wait");
        let mut operation = self.guest().begin(request, SOON).await.expect("begins");
        let mut stopped = String::new();
        loop {
            match operation.next().await {
                Ok(Some(Event::Waits { .. })) => stopped = self.shell(STOP).await,
                Ok(Some(_)) => {}
                Ok(None) => panic!("it has succeeded, with these CRIUs stopped: {stopped}"),
                Err(error) => {
                    assert!(stopped.contains("stopped"), "no CRIU was there: {error}");
                    return failure(&error);
                }
            }
        }
    }

    async fn shell(&self, script: &str) -> String {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let (place, env, deadline_ms) = (Place::Node, Default::default(), 60_000);
        match self.request(Request::Run { place, command, env, deadline_ms }).await {
            Ok(Reply::Exited { code: 0, stdout, .. }) => {
                String::from_utf8_lossy(&stdout).into_owned()
            }
            other => panic!("{script}: {other:?}"),
        }
    }

    /// Lets a container end, and say by that what it has lost.
    async fn lost(&self, pod: &str, container: &str) -> Vec<String> {
        let (pod, container) = (pod.to_owned(), container.to_owned());
        let stop = Request::Stop { pod, container, signal: 15, deadline_ms: 60_000 };
        let Ok(Reply::Exited { stdout, .. }) = self.request(stop).await else {
            panic!("it cannot be asked")
        };
        let said = String::from_utf8_lossy(&stdout).into_owned();
        assert!(said.contains("verdict: "), "{said}");
        let lost = said.lines().filter_map(|line| line.strip_prefix("lost: "));
        lost.map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(": ")).collect()
    }

    /// Lets a container say that all of it is as it was.
    async fn is_intact(&self, pod: &str, container: &str) {
        assert_eq!(self.lost(pod, container).await, [""; 0]);
    }
}

fn parent() -> String {
    Path::new(ARCHIVE).parent().expect("a folder").display().to_string()
}

fn checkpoint(pod: &str, deadline_ms: u64) -> Request {
    let (archive, afterwards) = (ARCHIVE.into(), Afterwards::Remove);
    Request::Checkpoint { pod: pod.to_owned(), archive, afterwards, deadline_ms }
}

fn restore(destination: Destination, deadline_ms: u64) -> Request {
    Request::Restore { archive: ARCHIVE.into(), destination, deadline_ms }
}

fn failure(error: &vm::Error) -> Failure {
    error.failure().unwrap_or_else(|| panic!("{error}")).clone()
}

/// What is taken in a pod that runs is told by name before CRIU is asked, and the pod does not notice.
/// The first container of a pod and the one that comes are the same program, so that whatever they share
/// is taken.
#[rstest]
#[case::a_port(&[Namespace::Net, Namespace::Ipc, Namespace::Uts], "tcp 0.0.0.0:4007")]
#[case::an_object(&[Namespace::Ipc, Namespace::Uts], "System V segment 40")]
#[case::a_pid(&[Namespace::Pid], "pid 2")]
#[case::a_lock(&[Namespace::Uts], "a lock on /dev/shm/neighbour-1-kept")]
#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn what_is_taken_is_told_before_criu_is_asked(
    #[case] share: &[Namespace],
    #[case] taken: &str,
) {
    let bench = Bench::new().await;
    bench.start("first", "neighbour", share).await;
    bench.checkpoint("first").await;
    bench.start("second", "neighbour", share).await;
    let into = restore(Destination::Into("second".to_owned()), DEADLINE_MS);
    let failure = bench.operate(into).await.expect_err("refused");
    let told = &failure.message;
    assert!(told.contains(taken) && told.ends_with("taken in pod second"), "{told}");
    assert_eq!((failure.cause, failure.step.as_deref()), (Cause::Failed, Some("verify")));
    assert_eq!(bench.shell("find /run/cryolab/work/second -name 'restore*' || true").await, "");
    assert_eq!(bench.shell(LEFT).await, "");
    bench.is_intact("second", "second").await;
}

/// A container that fails on its way into a pod is taken back with all that has come with it, also the
/// names that a CRIU which was killed has given to deleted files, and can come again; the pod's hostname, objects and files stay as they are all the time.
#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn what_has_come_in_is_taken_back_when_criu_hangs() {
    let bench = Bench::new().await;
    let share = [Namespace::Net, Namespace::Ipc, Namespace::Uts];
    bench.start("comes", "ipc", &share).await;
    bench.checkpoint("comes").await;
    bench.start("runs", "neighbour", &share).await;
    let of_pod = "cd /run/cryolab/pods/runs; find shm ns roots -xdev | sort; \
        nsenter --ipc=ns/ipc --uts=ns/uts -- sh -c 'hostname; cut -c 1-50 /proc/sysvipc/*; \
        head /proc/sys/kernel/sem /proc/sys/kernel/msgmax'";
    let before = bench.shell(of_pod).await;
    let into = |deadline| restore(Destination::Into("runs".to_owned()), deadline);
    let mark = Mark { step: Step::Tasks, side: Side::After };
    let failure = bench.hang(into(SHORT_MS), mark).await;
    assert!(failure.message.contains("no answer within the deadline"), "{}", failure.message);
    assert_eq!(bench.shell(of_pod).await, before);
    assert_eq!(bench.shell(LEFT).await, "");
    bench.operate(into(DEADLINE_MS)).await.expect("comes in");
    let after = bench.shell(of_pod).await;
    assert!(after.contains("runs-host") && after != before, "{after}");
    // CRIU carries no limit of a queue (docs/losses.md).
    assert_eq!(bench.lost("runs", "comes").await, ["queues.narrow.full: expected refused"]);
    bench.is_intact("runs", "runs").await;
}

/// A CRIU that hangs over a dump is ended by the engine's deadline, and the pod runs on.
#[rstest]
#[case::when_the_network_is_locked(Step::Lock)]
#[case::when_all_is_dumped(Step::Files)]
#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_dump_that_hangs_ends_by_the_deadline_and_the_pod_runs_on(#[case] step: Step) {
    let bench = Bench::new().await;
    bench.start("pod", "tcp", &[Namespace::Net, Namespace::Ipc, Namespace::Uts]).await;
    bench.shell(&format!("mkdir -p {}", parent())).await;
    let mark = Mark { step, side: Side::After };
    let failure = bench.hang(checkpoint("pod", SHORT_MS), mark).await;
    assert!(failure.message.contains("no answer within the deadline"), "{}", failure.message);
    assert_eq!(bench.shell(LEFT).await, "");
    assert_eq!(bench.shell(&format!("ls {}", parent())).await, "", "no archive is there");
    // It can be checkpointed again, and comes back.
    bench.checkpoint("pod").await;
    bench.operate(restore(Destination::Same, DEADLINE_MS)).await.expect("comes back");
    bench.is_intact("pod", "pod").await;
}

/// A CRIU that hangs over a restore is ended by the engine's deadline; nothing stays of the pod, and its
/// archive is whole.
#[tokio::test]
#[ignore = "boots a VM: cargo xtask test runs it"]
async fn a_restore_that_hangs_ends_by_the_deadline_and_can_be_tried_again() {
    let bench = Bench::new().await;
    bench.start("pod", "tcp", &[Namespace::Net, Namespace::Ipc, Namespace::Uts]).await;
    bench.checkpoint("pod").await;
    let mark = Mark { step: Step::Mounts, side: Side::After };
    let failure = bench.hang(restore(Destination::Same, SHORT_MS), mark).await;
    assert!(failure.message.contains("no answer within the deadline"), "{}", failure.message);
    assert_eq!(bench.shell(LEFT).await, "");
    assert_eq!(bench.shell("ls /run/cryolab/pods").await, "");
    bench.operate(restore(Destination::Same, DEADLINE_MS)).await.expect("comes back");
    bench.is_intact("pod", "pod").await;
}
