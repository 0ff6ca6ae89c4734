//! A fixed run for tests: one cell of each kind of ending.

use jiff::{SignedDuration, Timestamp};
use model::Phase;

use crate::cell::{Axes, Cell, Pick};
use crate::event::{Boot, End, Event, Host, Plan, Recorded, Start};
use crate::verdict::{Difference, Level, LevelVerdict, Outcome, Standing, Trouble};

/// The events of the run, three seconds apart.
pub(crate) fn events() -> Vec<Recorded> {
    let start: Timestamp = "2026-11-24T10:00:00Z".parse().expect("a time");
    let cells = cells();
    let mut events = vec![
        Event::RunStarted(Box::new(plan(cells.clone()))),
        Event::ImageFinished {
            name: "node root (trixie)".to_owned(),
            result: "built, 210 MiB".to_owned(),
            ms: 31_000,
        },
        Event::AccelChosen { accel: "tcg".to_owned(), reason: "no /dev/kvm".to_owned() },
    ];
    events.extend(equivalent(&cells[0]));
    events.extend(diverged(&cells[1]));
    events.extend(failed(&cells[2]));
    events.extend(broken(&cells[3]));
    events.push(Event::RunFinished { code: 1 });
    let at = |index: i64| start + SignedDuration::from_secs(3 * index);
    (0..).zip(events).map(|(index, event)| Recorded { at: at(index), event }).collect()
}

fn cells() -> Vec<Cell> {
    let pick = |selector: &str, version: &str| Pick {
        selector: selector.to_owned(),
        version: version.to_owned(),
        source: format!("package of {selector}"),
    };
    Axes {
        kernels: vec![pick("trixie/6.12.57", "6.12.57"), pick("trixie-backports/6.18.3", "6.18.3")],
        crius: vec![pick("trixie", "4.1.1")],
        runtimes: vec!["cryolab".to_owned()],
        scenarios: vec!["reboot".to_owned()],
        workloads: vec!["counter".to_owned(), "redis".to_owned()],
        repeat: 1,
        seed: 42,
        ..Axes::default()
    }
    .cells()
}

fn plan(cells: Vec<Cell>) -> Plan {
    let host = Host {
        os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
        kernel: "6.1.0-50-amd64".to_owned(),
        cpus: 2,
        cryolab: "0.1.0".to_owned(),
    };
    let (run, folder) = ("20261124T100000".to_owned(), "target/cryolab/runs/1".to_owned());
    Plan { schema: 1, run, folder, host, jobs: 2, cells }
}

fn started(cell: &Cell) -> Vec<Event> {
    let name = || cell.name.clone();
    let boot = Boot {
        node: "node".to_owned(),
        boot: 1,
        start: Start::Fork,
        boot_id: format!("00000000-0000-4000-8000-00000000000{}", cell.index),
        kernel_release: format!("{}+deb13-cloud-amd64", cell.kernel.version),
        criu_version: "4.1.1".to_owned(),
    };
    vec![
        Event::CellStarted { cell: name() },
        Event::NodeStarting {
            cell: name(),
            node: "node".to_owned(),
            number: 1,
            start: Start::Fork,
        },
        Event::NodeStarted { cell: name(), boot, ms: 7_240 },
        Event::Ready { cell: name(), ms: 812 },
        Event::PhaseReached { cell: name(), phase: Phase::Frozen },
    ]
}

fn judged(cell: &Cell, differences: Vec<Difference>) -> Vec<Event> {
    let judged = |level, verdict| Event::LevelJudged { cell: cell.name.clone(), level, verdict };
    let sha256 = "9f".repeat(32);
    vec![
        Event::Checkpointed {
            cell: cell.name.clone(),
            sha256,
            images_bytes: 70_000_000,
            archive_bytes: 9_000_000,
            tasks: vec![1, 7],
        },
        Event::Step { cell: cell.name.clone(), name: "restore.criu".to_owned(), at_ns: 1 },
        Event::Restored { cell: cell.name.clone(), tasks: vec![1, 7] },
        judged(Level::Itself, LevelVerdict::judged(Level::Itself, vec![])),
        judged(
            Level::Kernel,
            LevelVerdict::judged(Level::Kernel, differences)
                .count("facts", 1234)
                .count("kinds", 140)
                .count("tolerated", 17),
        ),
        judged(
            Level::Memory,
            LevelVerdict::judged(Level::Memory, vec![])
                .count("pages", 20_480)
                .count("bytes", 83_886_080),
        ),
        judged(Level::Images, LevelVerdict::not_run(Level::Images, "no second checkpoint yet")),
        judged(Level::Outside, LevelVerdict::not_run(Level::Outside, "no observer")),
    ]
}

fn finished(cell: &Cell, end: End) -> Event {
    Event::CellFinished { cell: cell.name.clone(), end: Box::new(end) }
}

fn end(outcome: Outcome, standing: Standing, reason: &str) -> End {
    let times = [("boot", 7_240), ("ready", 812), ("freeze", 23), ("dump", 410), ("total", 41_000)];
    End {
        outcome,
        expected: Outcome::Equivalent,
        standing,
        reason: reason.to_owned(),
        trouble: None,
        times_ms: times.into_iter().map(|(name, ms)| (name.to_owned(), ms)).collect(),
        artifacts: vec!["console-node-1.log".to_owned(), "rerun.sh".to_owned()],
    }
}

fn equivalent(cell: &Cell) -> Vec<Event> {
    let mut end = end(Outcome::Equivalent, Standing::Expected, "");
    end.times_ms.extend([("restore".to_owned(), 380), ("downtime".to_owned(), 9_870)]);
    [started(cell), judged(cell, vec![]), vec![finished(cell, end)]].concat()
}

fn diverged(cell: &Cell) -> Vec<Event> {
    let nice = Difference {
        fact: "task.1.sched.nice".to_owned(),
        before: Some("0".to_owned()),
        after: Some("7".to_owned()),
        kept: Some("core-TID.img thread_core.sched_nice".to_owned()),
        ..Difference::default()
    };
    let end = end(Outcome::Diverged, Standing::Regression, &nice.in_words());
    [started(cell), judged(cell, vec![nice]), vec![finished(cell, end)]].concat()
}

fn failed(cell: &Cell) -> Vec<Event> {
    let reason =
        "dump failed: Error (criu/sockets.c:515): Can't get 1:16 opt: Operation not supported";
    let trouble = Trouble {
        phase: Some(Phase::Frozen),
        step: Some("dump.criu".to_owned()),
        errno: Some(95),
        log_tail: vec!["Error (criu/cr-dump.c:2128): Dumping FAILED.".to_owned()],
        console_tail: vec![],
        incomplete: None,
    };
    let expected = Outcome::Failed;
    let end = End {
        expected,
        trouble: Some(trouble),
        ..end(Outcome::Failed, Standing::Expected, reason)
    };
    [started(cell), vec![finished(cell, end)]].concat()
}

fn broken(cell: &Cell) -> Vec<Event> {
    let console_tail = vec!["Kernel panic - not syncing: Attempted to kill init!".to_owned()];
    let trouble = Trouble { console_tail, ..Trouble::default() };
    let mut end =
        end(Outcome::Broken, Standing::Broken, "node: the machine left before its agent answered");
    end.trouble = Some(trouble);
    end.times_ms.clear();
    let cell_started = Event::CellStarted { cell: cell.name.clone() };
    vec![cell_started, finished(cell, end)]
}
