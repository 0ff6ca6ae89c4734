//! A pod that runs already: a neighbour lives in it, and the containers of a checkpoint come into it.
//!
//! What is the pod's (its hostname, link, settings, System V objects, `/dev/shm`) must afterwards be what
//! it was in that pod just before, and not what it was in the one that was checkpointed. What is the
//! container's must be what it was, and so must what has come with it: objects and files that the pod did
//! not have.

use std::path::{Path, PathBuf};

use model::message::{Destination, Ready, Reply, Request};
use model::pod::{ContainerSpec, CriuOptions, Namespace, PodIdentity, PodSpec, Security, Stdio};
use model::{Capture, Value};

use super::copies::restore_to;
use super::{NodeName, REQUEST, Stage, Stop, unexpected};
use crate::sight;

/// Name of the pod that runs already, and of its container.
const NEIGHBOUR: &str = "neighbour";

/// Where a node has the root of the neighbour's container, and in it its program.
const IMAGE: &str = "/run/cryolab/images/neighbour";
const PROGRAM: &str = "/witness";

/// Facts about what is the pod's.
const OF_THE_POD: &str = "pod.";

/// Facts about its `/dev/shm`, and the one about when a file came into it or went.
const SHARED: &str = "pod.shm.";
const SHARED_TIME: &str = "pod.shm./.mtime";

/// The ends of facts that are pids.
const PIDS: [&str; 5] = ["cpid", "lpid", "lspid", "lrpid", "sempid"];

impl Stage {
    /// Starts a pod in which a neighbour lives, with a sandbox of the kind that the workload's has.
    ///
    /// # Errors
    /// When it does not start, or is not ready in time.
    pub async fn start_neighbour(&mut self, name: NodeName) -> Result<(), Stop> {
        let guest = self.guest(name)?;
        let program = self.setting.supply.neighbour();
        let place = Path::new(IMAGE).join(PROGRAM.trim_start_matches('/'));
        guest.put(&place, 0o755, &fs_err::read(program)?).await?;
        let identity = self.neighbour();
        let pod = PodSpec {
            name: identity.name.clone(),
            hostname: identity.hostname.clone(),
            link: identity.link.clone(),
            containers: vec![container()],
            ..self.workload().pod()
        };
        match guest.request(Request::Start { pod }, REQUEST).await? {
            Reply::Pod(_) => {}
            other => return Err(unexpected("start", &other)),
        }
        self.await_ready(&guest, &identity.name, NEIGHBOUR, Ready::Line("ready".to_owned())).await
    }

    /// Restores the workload's containers into the neighbour's pod, which was looked at before,
    /// captures them (B) before they run, and lets them run.
    ///
    /// # Errors
    /// As [`Stage::restore`].
    pub async fn restore_into_neighbour(&mut self, name: NodeName) -> Result<(), Stop> {
        let identity = self.neighbour();
        let pod = model::message::Part::whole(&identity.name);
        let seen = sight::come_home(sight::look(&self.guest(name)?, &pod).await?).await;
        let seen = seen.map_err(|lost| Stop::broken(format!("the pod on {name}: {lost}")))?;
        self.write_json("capture-pod.json", &seen)?;
        self.joined = Some(seen);
        let destination = Destination::Into(identity.name.clone());
        self.identity = Some(identity);
        self.restore_by(name, restore_to(destination)).await
    }

    /// Lets the neighbour say whether it has noticed anything.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn prove_neighbour(&mut self, name: NodeName) -> Result<(), Stop> {
        self.prove_by_end(name, NEIGHBOUR).await
    }

    /// Who the pod is in which the neighbour lives: at the workload's address, to which its connections
    /// are bound.
    fn neighbour(&self) -> PodIdentity {
        PodIdentity {
            name: NEIGHBOUR.to_owned(),
            hostname: "neighbour-pod".to_owned(),
            ..self.workload().identity()
        }
    }
}

fn container() -> ContainerSpec {
    ContainerSpec {
        name: NEIGHBOUR.to_owned(),
        image: PathBuf::from(IMAGE),
        command: [PROGRAM, "neighbour"].map(str::to_owned).to_vec(),
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
    }
}

/// What a capture of containers must be that have come into a pod: `before` as they were in their own,
/// with what the pod itself was just before they came.
///
/// What is called by a number that means nothing outside of a node (a namespace, an inode) stays among
/// the containers' own as it was, unless the pod itself has changed it.
pub(super) fn expected(before: Capture, pod: &Capture, after: &Capture) -> Capture {
    let mut facts = before.facts;
    let brings_files = facts.keys().any(|fact| is_new_file(fact, pod));
    let of_pod = pod.facts.iter().filter(|(fact, _)| fact.starts_with(OF_THE_POD));
    for (fact, value) in of_pod {
        let is_same = after.facts.get(fact) == Some(value);
        let value = match (value, facts.get(fact)) {
            (Value::Identity { .. }, Some(was)) if is_same => was.clone(),
            (Value::Identity { class, id }, None) if is_same => {
                Value::Identity { class: class.clone(), id: format!("of the pod {id}") }
            }
            (Value::Identity { id, .. }, _) => Value::Exact(id.clone()),
            (Value::Exact(text), was) => seen_from_within(fact, text, was),
            (value, _) => value.clone(),
        };
        facts.insert(fact.clone(), value);
    }
    // Whoever puts a file into a folder changes the time of the folder.
    if let (true, Some(time)) = (brings_files, after.facts.get(SHARED_TIME)) {
        facts.insert(SHARED_TIME.to_owned(), time.clone());
    }
    Capture { facts, ..before }
}

/// Whether a fact is about a file of `/dev/shm` that the pod did not have.
fn is_new_file(fact: &str, pod: &Capture) -> bool {
    fact.starts_with(SHARED) && !pod.facts.contains_key(fact)
}

/// What the pod says, as it reads when the containers that came are looked at: its own processes are
/// none of theirs, and tables without names count the rows of both.
fn seen_from_within(fact: &str, text: &str, was: Option<&Value>) -> Value {
    let last = fact.rsplit('.').next().unwrap_or_default();
    let rows = |value: &Value| match value {
        Value::Exact(rows) => rows.parse::<u64>().ok(),
        _ => None,
    };
    Value::Exact(match (last, text.parse::<u64>(), was.and_then(rows)) {
        (last, Ok(1..), _) if PIDS.contains(&last) => "outside".to_owned(),
        ("rows", Ok(theirs), Some(ours)) => (theirs + ours).to_string(),
        _ => text.to_owned(),
    })
}

/// Images of these containers, without the System V objects that the pod had before they came: CRIU
/// dumps all that are in the namespace.
pub(super) fn without_objects(mut images: Capture, pod: &Capture) -> Capture {
    images.facts.retain(|fact, _| match object_of(fact) {
        Some(object) => {
            let prefix = format!("{OF_THE_POD}sysv.{object}.");
            !pod.facts.range(prefix.clone()..).next().is_some_and(|it| it.0.starts_with(&prefix))
        }
        None => true,
    });
    images
}

/// The object that an image's fact is about: `msg.40` of `image.ipcns-msg.1.40.qnum`.
fn object_of(fact: &str) -> Option<String> {
    let mut parts = fact.strip_prefix("image.ipcns-")?.split('.');
    let (kind, _, id) = (parts.next()?, parts.next()?, parts.next()?);
    Some(format!("{kind}.{id}"))
}

/// Whether the pod of a workload can be one that runs already when its containers come: where it shares
/// its pids, those that they had are taken by whoever came first.
pub(crate) fn can_have_neighbours(share: &std::collections::BTreeSet<Namespace>) -> bool {
    !share.contains(&Namespace::Pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Value {
        Value::Exact(text.to_owned())
    }

    fn identity(id: &str) -> Value {
        Value::Identity { class: "inode".to_owned(), id: id.to_owned() }
    }

    fn capture(facts: &[(&str, Value)]) -> Capture {
        let facts = facts.iter().map(|(fact, value)| ((*fact).to_owned(), value.clone()));
        Capture { facts: facts.collect(), ..Capture::default() }
    }

    fn pod() -> Capture {
        capture(&[
            ("pod.net.unix.rows", exact("1")),
            ("pod.shm./.mtime", exact("100")),
            ("pod.shm./own.ino", identity("2")),
            ("pod.sysv.msg.40.lspid", exact("7")),
            ("pod.sysv.sem.40.0.sempid", exact("0")),
            ("pod.uts.hostname", exact("neighbour-pod")),
            ("task.1.comm", exact("witness")),
        ])
    }

    fn before() -> Capture {
        capture(&[
            ("pod.net.unix.rows", exact("6")),
            ("pod.shm./.mtime", exact("50")),
            ("pod.shm./came.ino", identity("2")),
            ("pod.sysv.msg.0.lspid", exact("1")),
            ("pod.uts.hostname", exact("counter-pod")),
            ("task.1.comm", exact("counter")),
        ])
    }

    #[test]
    fn the_hostname_and_the_objects_of_a_pod_that_runs_are_its_own() {
        let after = capture(&[
            ("pod.net.unix.rows", exact("7")),
            ("pod.shm./.mtime", exact("120")),
            ("pod.shm./came.ino", identity("3")),
            ("pod.shm./own.ino", identity("2")),
            ("pod.sysv.msg.0.lspid", exact("1")),
            ("pod.sysv.msg.40.lspid", exact("outside")),
            ("pod.sysv.sem.40.0.sempid", exact("0")),
            ("pod.uts.hostname", exact("neighbour-pod")),
            ("task.1.comm", exact("counter")),
        ]);
        let kernel = |after: &Capture| {
            let found = state::compare(&expected(before(), &pod(), after), after, 0).kernel;
            found.differences.iter().map(|it| it.fact.clone()).collect::<Vec<_>>()
        };
        assert_eq!(kernel(&after), [""; 0]);
        for (fact, value) in [
            ("pod.uts.hostname", exact("counter-pod")),
            ("pod.sysv.sem.40.0.sempid", exact("1")),
            ("pod.net.unix.rows", exact("6")),
            ("pod.shm./own.ino", identity("4")),
        ] {
            let mut spoiled = after.clone();
            spoiled.facts.insert(fact.to_owned(), value);
            assert_eq!(kernel(&spoiled), [fact]);
        }
    }

    #[test]
    fn only_objects_of_the_pod_are_left_out_of_images() {
        let images = ["image.ipcns-msg.1.0.qnum", "image.ipcns-msg.1.40.qnum", "image.core.1.tc"];
        let images = capture(&images.map(|fact| (fact, exact("1"))));
        let left: Vec<_> = without_objects(images, &pod()).facts.into_keys().collect();
        assert_eq!(left, ["image.core.1.tc", "image.ipcns-msg.1.0.qnum"]);
    }
}
