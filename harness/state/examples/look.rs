//! Captures one container by hand, or compares two captures:
//!
//! ```text
//! look capture FILE PID CGROUP UPPER SHM      # of a frozen container, as root
//! look compare BEFORE AFTER SECONDS
//! ```
//!
//! The namespaces of the pod are those of PID. Every difference is a sentence; what a rule permits
//! is told with its reason.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use model::Capture;
use model::pod::{ContainerStatus, Namespace, PodStatus};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["capture", file, pid, cgroup, upper, shm] => {
            let capture = state::capture(&pod(pid.parse()?, cgroup, upper, shm))?;
            fs::write(file, serde_json::to_vec_pretty(&capture)?)?;
            let ms = (capture.ended_ns - capture.began_ns) / 1_000_000;
            let facts = capture.facts.len();
            Ok(writeln!(std::io::stdout(), "{facts} facts in {ms} ms")?)
        }
        ["compare", before, after, seconds] => compare(before, after, seconds.parse()?),
        _ => {
            Err("usage: look capture FILE PID CGROUP UPPER SHM | compare BEFORE AFTER SECONDS"
                .into())
        }
    }
}

fn pod(pid: i32, cgroup: &str, upper: &str, shm: &str) -> PodStatus {
    let namespaces = [Namespace::Net, Namespace::Ipc, Namespace::Uts];
    let file = |kind: Namespace| PathBuf::from(format!("/proc/{pid}/ns/{}", kind.name()));
    PodStatus {
        name: "looked-at".to_owned(),
        namespaces: namespaces.map(|kind| (kind, file(kind))).into(),
        cgroup: cgroup.into(),
        shm: shm.into(),
        containers: vec![ContainerStatus {
            name: "main".to_owned(),
            pid,
            cgroup: cgroup.into(),
            root: format!("/proc/{pid}/root").into(),
            upper: upper.into(),
        }],
    }
}

fn compare(before: &str, after: &str, seconds: f64) -> Result<(), Box<dyn Error>> {
    let read = |file: &str| -> Result<Capture, Box<dyn Error>> {
        Ok(serde_json::from_slice(&fs::read(file)?)?)
    };
    let passed_ns = (seconds * 1e9) as u64;
    let found = state::compare(&read(before)?, &read(after)?, passed_ns);
    let (kernel, memory) = (&found.kernel, &found.memory);
    let mut out = std::io::stdout();
    for difference in kernel.differences.iter().chain(&memory.differences) {
        writeln!(out, "{}", difference.sentence())?;
    }
    for difference in kernel.tolerated.iter().chain(&memory.tolerated) {
        writeln!(out, "tolerated: {}", difference.sentence())?;
    }
    writeln!(
        out,
        "{} facts of {} kinds, {} differ, {} tolerated, {} not offered",
        kernel.facts,
        kernel.kinds,
        kernel.differences.len(),
        kernel.tolerated.len(),
        kernel.not_offered.len(),
    )?;
    writeln!(out, "{} pages, {} differ", memory.pages, memory.differing)?;
    Ok(())
}
