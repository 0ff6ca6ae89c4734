//! Processes: the tree, and what each says about itself in its own memory.

use std::collections::BTreeMap;

use criu::image::field::{bytes, message, number, numbers};
use prost_reflect::DynamicMessage;

use super::analysis::{Process, Thread};
use super::container::Images;
use super::pages::Layers;
use super::table::{Table, lossy};

/// Most bytes of arguments, and of the environment, of a process.
const LONGEST_TEXT: u64 = 128 << 10;

/// Most threads of a process that are listed.
const MOST_THREADS: usize = 1000;

/// What other lists need to know about a process.
#[derive(Debug)]
pub(super) struct Task {
    /// Its pid in the container.
    pub(super) pid: u64,
    /// Number of its table of descriptors.
    pub(super) descriptors: Option<u64>,
    /// Its memory; nothing for a zombie.
    pub(super) memory: Option<DynamicMessage>,
}

/// Lists the processes of a container.
pub(super) fn read(images: &mut Images<'_, '_>, table: &Table) -> Vec<Task> {
    let mut found = BTreeMap::new();
    for entry in images.needed("pstree.img") {
        let pid = number(&entry.message, "pid");
        if found.contains_key(&pid) {
            images.told("pstree.img", format!("pid {pid} comes twice"));
            continue;
        }
        if !images.row() {
            break;
        }
        found.insert(pid, process(images, table, &entry.message, pid));
    }
    let (processes, tasks): (Vec<_>, _) = found.into_values().unzip();
    images.looker.processes.extend(processes);
    tasks
}

/// A message that stands alone in an image of a process.
fn only(images: &mut Images<'_, '_>, image: &str) -> Option<DynamicMessage> {
    images.entries(image).into_iter().next().map(|entry| entry.message)
}

fn process(
    images: &mut Images<'_, '_>,
    table: &Table,
    tree: &DynamicMessage,
    pid: u64,
) -> (Process, Task) {
    let core = images.needed(&format!("core-{pid}.img")).into_iter().next();
    let part = |name| core.as_ref().and_then(|entry| message(&entry.message, name));
    let (task, thread) = (part("tc"), part("thread_core"));
    let credentials = thread.as_ref().and_then(|thread| message(thread, "creds"));
    let id = |name| credentials.as_ref().map_or(0, |it| number(it, name));
    let memory = only(images, &format!("mm-{pid}.img"));
    let folder = only(images, &format!("fs-{pid}.img"));
    let [command_line, environment] = texts(images, pid, memory.as_ref());
    let process = Process {
        container: images.name.clone(),
        pid,
        ppid: number(tree, "ppid"),
        pgid: number(tree, "pgid"),
        sid: number(tree, "sid"),
        comm: task.as_ref().map_or_else(String::new, |task| lossy(&bytes(task, "comm"))),
        state: state(task.as_ref().map_or(0, |task| number(task, "task_state"))),
        executable: memory.as_ref().and_then(|it| table.path(number(it, "exe_file_id"))),
        directory: folder.and_then(|it| table.path(number(&it, "cwd_id"))),
        command_line,
        environment,
        uid: id("uid"),
        gid: id("gid"),
        euid: id("euid"),
        egid: id("egid"),
        threads: threads(images, tree, pid),
    };
    let descriptors = only(images, &format!("ids-{pid}.img")).map(|ids| number(&ids, "files_id"));
    (process, Task { pid, descriptors, memory })
}

/// `TASK_ALIVE` and so on (`criu/include/crtools.h`).
fn state(number: u64) -> String {
    match number {
        1 => "alive".to_owned(),
        2 | 6 => "zombie".to_owned(),
        3 => "stopped".to_owned(),
        other => other.to_string(),
    }
}

fn threads(images: &mut Images<'_, '_>, tree: &DynamicMessage, pid: u64) -> Vec<Thread> {
    let all = numbers(tree, "threads");
    if all.len() > MOST_THREADS {
        images.told(
            "pstree.img",
            format!("pid {pid} has {} threads: the rest is left out", all.len()),
        );
    }
    let mut threads = Vec::new();
    for thread in all.into_iter().take(MOST_THREADS) {
        let core = only(images, &format!("core-{thread}.img"));
        let part = |name| core.as_ref().and_then(|core| message(core, name));
        // Before CRIU 3.15, a thread's name stood in `tc` only, which the main one has.
        let named =
            part("thread_core").map(|it| bytes(&it, "comm")).filter(|name| !name.is_empty());
        let comm = named.or_else(|| part("tc").map(|it| bytes(&it, "comm"))).unwrap_or_default();
        threads.push(Thread { pid: thread, comm: lossy(&comm) });
    }
    threads
}

/// Arguments and environment.
fn texts(
    images: &mut Images<'_, '_>,
    pid: u64,
    memory: Option<&DynamicMessage>,
) -> [Vec<String>; 2] {
    let Some(memory) = memory else { return Default::default() };
    let image = format!("pagemap-{pid}.img");
    let Some(layers) = Layers::read(images, &image) else { return Default::default() };
    [("mm_arg_start", "mm_arg_end"), ("mm_env_start", "mm_env_end")].map(|(start, end)| {
        let (start, end) = (number(memory, start), number(memory, end));
        let length = end.saturating_sub(start).min(LONGEST_TEXT);
        let length = images.looker.text(usize::try_from(length).unwrap_or(0)) as u64;
        match layers.bytes(images, start, length) {
            Ok(bytes) => words(&bytes),
            Err(why) => {
                images.told(&image, why);
                Vec::new()
            }
        }
    })
}

/// Texts that end with a zero each. What a program has written there may end with many.
fn words(bytes: &[u8]) -> Vec<String> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end == 0 {
        return Vec::new();
    }
    bytes[..end].split(|byte| *byte == 0).map(lossy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_with_a_zero() {
        assert_eq!(words(b"/bin/sh\0-c\0\0x\0\0\0"), ["/bin/sh", "-c", "", "x"]);
        assert_eq!(words(b"\0\0"), [""; 0]);
        assert_eq!(words(b"cut off"), ["cut off"]);
    }
}
