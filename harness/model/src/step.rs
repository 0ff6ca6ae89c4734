//! Steps of the engine's operations: log, progress, timeline and crash points read this one list.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the engine does with a pod as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activity {
    /// Taking memory ahead of a checkpoint, while the pod runs on.
    PreDump,
    /// Taking a checkpoint.
    Checkpoint,
    /// Making the pod again.
    Restore,
    /// Moving an archive, the giver's side.
    Give,
    /// Moving an archive, the taker's side.
    Take,
}

/// A step. It does one durable thing, or something that is undone when the engine starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// CRIU is asked for memory alone; the pod runs on.
    PreDump,
    /// What it took gets its name: the next round, or the checkpoint, builds on it.
    Round,
    /// The network is kept out of the pod.
    Gate,
    /// The pod is frozen.
    Freeze,
    /// CRIU is asked to dump.
    Dump,
    /// CRIU has locked the pod's network (`network-lock`).
    Lock,
    /// Files are gathered, while CRIU waits in `post-dump`.
    Files,
    /// The archive is written and flushed, without its name.
    Archive,
    /// It gets its name: from here on it is the pod.
    Commit,
    /// What is left of the running pod is removed.
    Remove,
    /// In place of that, where the archive is a copy: the pod runs on.
    RunOn,
    /// The archive is opened and held against this node.
    Verify,
    /// Its members are unpacked.
    Unpack,
    /// Namespaces, link, cgroup and shared memory are made.
    Sandbox,
    /// The containers' roots are made.
    Root,
    /// CRIU is asked to restore.
    Restore,
    /// The first task is put into its cgroup (`setup-namespaces`).
    Place,
    /// Its mounts are there (`post-setup-namespaces`).
    Mounts,
    /// All its tasks are there (`post-restore`).
    Tasks,
    /// Its sockets are there (`network-unlock`).
    Sockets,
    /// The container is frozen in its cgroup (`pre-resume`).
    Hold,
    /// All is looked at once more.
    Settle,
    /// In a hand-over before its pages: the pod is asked for, and this node's when that is answered.
    Own,
    /// The pod is noted as one that runs: from here on it is this node's, whoever dies.
    Adopt,
    /// It runs.
    Resume,
    /// All of its pages are there, where some come later.
    Pages,
    /// A taker can come.
    Listen,
    /// The archive is sent.
    Send,
    /// It is renamed: from here on it is the taker's.
    Give,
    /// What was given is removed.
    Forget,
    /// The archive is received and flushed.
    Receive,
    /// It gets its name.
    Claim,
    /// In place of that, where it is a copy: it gets a name by which nobody owns the pod.
    Keep,
}

impl Step {
    /// All steps, in their order within each activity.
    pub const ALL: [Step; 33] = [
        Step::PreDump,
        Step::Round,
        Step::Gate,
        Step::Freeze,
        Step::Dump,
        Step::Lock,
        Step::Files,
        Step::Archive,
        Step::Commit,
        Step::Remove,
        Step::RunOn,
        Step::Verify,
        Step::Unpack,
        Step::Sandbox,
        Step::Root,
        Step::Restore,
        Step::Place,
        Step::Mounts,
        Step::Tasks,
        Step::Sockets,
        Step::Hold,
        Step::Settle,
        Step::Own,
        Step::Adopt,
        Step::Resume,
        Step::Pages,
        Step::Listen,
        Step::Send,
        Step::Give,
        Step::Forget,
        Step::Receive,
        Step::Claim,
        Step::Keep,
    ];

    /// The name that users write, such as `commit`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::PreDump => "pre-dump",
            Step::Round => "round",
            Step::Gate => "gate",
            Step::Freeze => "freeze",
            Step::Dump => "dump",
            Step::Lock => "lock",
            Step::Files => "files",
            Step::Archive => "archive",
            Step::Commit => "commit",
            Step::Remove => "remove",
            Step::RunOn => "run-on",
            Step::Verify => "verify",
            Step::Unpack => "unpack",
            Step::Sandbox => "sandbox",
            Step::Root => "root",
            Step::Restore => "restore",
            Step::Place => "place",
            Step::Mounts => "mounts",
            Step::Tasks => "tasks",
            Step::Sockets => "sockets",
            Step::Hold => "hold",
            Step::Settle => "settle",
            Step::Own => "own",
            Step::Adopt => "adopt",
            Step::Resume => "resume",
            Step::Pages => "pages",
            Step::Listen => "listen",
            Step::Send => "send",
            Step::Give => "give",
            Step::Forget => "forget",
            Step::Receive => "receive",
            Step::Claim => "claim",
            Step::Keep => "keep",
        }
    }

    /// What it is a step of.
    #[must_use]
    pub fn activity(self) -> Activity {
        match self {
            Step::PreDump | Step::Round => Activity::PreDump,
            Step::Gate
            | Step::Freeze
            | Step::Dump
            | Step::Lock
            | Step::Files
            | Step::Archive
            | Step::Commit
            | Step::Remove
            | Step::RunOn => Activity::Checkpoint,
            Step::Verify
            | Step::Unpack
            | Step::Sandbox
            | Step::Root
            | Step::Restore
            | Step::Place
            | Step::Mounts
            | Step::Tasks
            | Step::Sockets
            | Step::Hold
            | Step::Settle
            | Step::Own
            | Step::Adopt
            | Step::Resume
            | Step::Pages => Activity::Restore,
            Step::Listen | Step::Send | Step::Give | Step::Forget => Activity::Give,
            Step::Receive | Step::Claim | Step::Keep => Activity::Take,
        }
    }

    /// Whether CRIU waits meanwhile, in one of its notifications.
    #[must_use]
    pub fn is_in_criu(self) -> bool {
        matches!(
            self,
            Step::Lock
                | Step::Files
                | Step::Place
                | Step::Mounts
                | Step::Tasks
                | Step::Sockets
                | Step::Hold
                | Step::Pages
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A side of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// It is about to be done.
    Before,
    /// It is done.
    After,
}

impl Side {
    /// Both.
    pub const ALL: [Side; 2] = [Side::Before, Side::After];

    /// The name that users read.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Side::Before => "before",
            Side::After => "after",
        }
    }
}

/// A moment of an operation at which it can be told to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// The step.
    pub step: Step,
    /// Which side of it.
    pub side: Side,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.side.name(), self.step)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_tell_all_steps_apart_and_are_those_of_the_record() {
        let names: BTreeSet<&str> = Step::ALL.iter().map(|step| step.name()).collect();
        assert_eq!(names.len(), Step::ALL.len());
        let steps: BTreeSet<Step> = Step::ALL.into();
        assert_eq!(steps.len(), Step::ALL.len());
    }
}
