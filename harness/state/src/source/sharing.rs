//! What tasks share with each other, by kcmp(2).

use std::cmp::Ordering;

use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::pod::{Pod, Task, Thread};
use crate::sys::{self, Shared};

const KINDS: &[(Shared, &str)] = &[
    (Shared::Vm, "mm"),
    (Shared::Files, "files"),
    (Shared::Fs, "fs"),
    (Shared::Sighand, "sighand"),
    (Shared::Sysvsem, "sysvsem"),
];

/// A task of the kernel, which shares nothing with a pod's tasks and has no list of semaphore
/// adjustments.
const KTHREADD: i32 = 2;

/// For every thread the first thread of the pod that has the same address space, descriptors
/// and so on. Threads of one task share nearly all of it, and are asked all the same.
pub(crate) fn pod(pod: &Pod<'_>, facts: &mut Facts) -> Result<()> {
    for &(kind, word) in KINDS {
        let mut firsts: Vec<&Thread> = Vec::new();
        for thread in pod.tasks().filter(|task| !task.zombie).flat_map(|task| &task.threads) {
            let mut owner = None;
            for first in firsts.iter().filter(|_| kind != Shared::Sysvsem || has_list(thread)) {
                if same(first.tid, thread.tid, kind)? {
                    owner = Some(*first);
                    break;
                }
            }
            if owner.is_none() {
                firsts.push(thread);
            }
            let owner = owner.unwrap_or(thread);
            facts.put(format!("{}.shares.{word}", thread.name), &owner.name);
        }
    }
    Ok(())
}

/// The first task of the pod with the same address space or table of descriptors, itself included.
pub(crate) fn first<'t>(pod: &'t Pod<'_>, task: &'t Task, kind: Shared) -> Result<&'t Task> {
    for other in pod.tasks().filter(|other| !other.zombie) {
        if other.pid == task.pid || same(other.pid, task.pid, kind)? {
            return Ok(other);
        }
    }
    Ok(task)
}

/// Whether a thread has a list of semaphore adjustments (`SEM_UNDO`). It has none before it needs
/// one, and all that have none are alike to kcmp(2), although they share nothing: they are alike
/// to a task of the kernel, too. Where that cannot be asked, nobody is without a list.
fn has_list(thread: &Thread) -> bool {
    !same(KTHREADD, thread.tid, Shared::Sysvsem).unwrap_or(false)
}

fn same(a: i32, b: i32, kind: Shared) -> Result<bool> {
    sys::kcmp(a, b, kind)
        .map(|order| order == Ordering::Equal)
        .map_err(|error| Error::call("kcmp", format!("{a} and {b}"), error))
}
