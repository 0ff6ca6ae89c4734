//! What processes have mapped, and which pages of the images belong to which mapping.

use std::collections::{BTreeMap, BTreeSet};

use criu::image::field::{each_message, number};
use prost_reflect::DynamicMessage;

use super::analysis::Mapping;
use super::container::Images;
use super::processes::Task;
use super::table::Table;

// Kinds of mappings (`criu/include/image.h`).
const VSYSCALL: u64 = 1 << 2;
const VDSO: u64 = 1 << 3;
const HEAP: u64 = 1 << 5;
const FILE_PRIVATE: u64 = 1 << 6;
const FILE_SHARED: u64 = 1 << 7;
const ANON_SHARED: u64 = 1 << 8;
const SYSV: u64 = 1 << 10;
const VVAR: u64 = 1 << 12;
const AIO: u64 = 1 << 13;
const MEMFD: u64 = 1 << 14;

/// Most mappings of one shared object that are told apart.
const MOST_VIEWS: usize = 1000;

/// Memory whose pages stand under one pagemap.
#[derive(Debug)]
pub(super) struct Object {
    /// Name of the pagemap.
    pub(super) pagemap: String,
    /// Where it is mapped: by place, and no two at the same one, when it is `private`.
    pub(super) views: Vec<View>,
    /// Whether it is one process' own.
    pub(super) private: bool,
}

/// A part of an object, and where a process has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Index in the list of mappings.
    pub(super) row: usize,
    /// The process.
    pub(super) pid: u64,
    /// First place in the object.
    pub(super) place: u64,
    /// Where the process has that.
    pub(super) address: u64,
    /// How many bytes.
    pub(super) length: u64,
}

impl View {
    /// Whether a place of the object is in it.
    pub(super) fn covers(&self, place: u64) -> bool {
        place.checked_sub(self.place).is_some_and(|within| within < self.length)
    }
}

impl Object {
    fn new(pagemap: String, private: bool) -> Object {
        Object { pagemap, views: Vec::new(), private }
    }

    /// The views that hold a place.
    pub(super) fn views_of(&self, place: u64) -> impl Iterator<Item = &View> {
        // Mappings of one process do not overlap: the last that begins before is the only one.
        let some = match self.private {
            true => {
                let behind = self.views.partition_point(|view| view.place <= place);
                &self.views[behind.saturating_sub(1)..behind]
            }
            false => self.views.as_slice(),
        };
        some.iter().filter(move |view| view.covers(place))
    }
}

/// Lists the mappings of a container, and says to which objects they lead.
pub(super) fn read(images: &mut Images<'_, '_>, table: &Table, tasks: &[Task]) -> Vec<Object> {
    let mut shared: BTreeMap<String, Object> = BTreeMap::new();
    for name in images.names("pagemap-shmem-") {
        shared.insert(name.clone(), Object::new(name, false));
    }
    let mut objects = Vec::new();
    let mut full = BTreeSet::new();
    for task in tasks {
        let Some(memory) = &task.memory else { continue };
        let stack = number(memory, "mm_start_stack");
        let mut own = Object::new(format!("pagemap-{}.img", task.pid), true);
        each_message(memory, "vmas", |vma| {
            if !images.row() {
                return;
            }
            let row = images.looker.mappings.len();
            let mapping = mapping(&images.name, table, task.pid, vma, stack);
            images.looker.mappings.push(mapping);
            match object_of(table, vma) {
                None => own.views.push(view(row, task.pid, vma, true)),
                Some(name) => match shared.get_mut(&name) {
                    Some(object) if object.views.len() < MOST_VIEWS => {
                        object.views.push(view(row, task.pid, vma, false));
                    }
                    Some(_) => drop(full.insert(name)),
                    None => {}
                },
            }
        });
        own.views.sort_by_key(|view| view.place);
        objects.push(own);
    }
    for name in full {
        images.told(&name, format!("mapped more than {MOST_VIEWS} times: the rest is left out"));
    }
    objects.extend(shared.into_values());
    objects
}

fn view(row: usize, pid: u64, vma: &DynamicMessage, private: bool) -> View {
    let address = number(vma, "start");
    let length = number(vma, "end").saturating_sub(address);
    let place = if private { address } else { number(vma, "pgoff") };
    View { row, pid, place, address, length }
}

/// Name of the pagemap of the shared object that is mapped; nothing for private memory.
fn object_of(table: &Table, vma: &DynamicMessage) -> Option<String> {
    let (status, id) = (number(vma, "status"), number(vma, "shmid"));
    let object = match status {
        _ if status & FILE_PRIVATE != 0 => return None,
        _ if status & MEMFD != 0 => table.get(id).and_then(|known| known.object)?,
        _ if status & (ANON_SHARED | SYSV) != 0 => id,
        // The pages of a file that is mapped shared are in the file.
        _ if status & FILE_SHARED != 0 => return Some(String::new()),
        _ => return None,
    };
    Some(format!("pagemap-shmem-{object}.img"))
}

fn mapping(container: &str, table: &Table, pid: u64, vma: &DynamicMessage, stack: u64) -> Mapping {
    let (start, end) = (number(vma, "start"), number(vma, "end"));
    Mapping {
        container: container.to_owned(),
        pid,
        start: format!("{start:#x}"),
        end: format!("{end:#x}"),
        permissions: permissions(number(vma, "prot"), number(vma, "flags")),
        name: name(table, vma, (start..end).contains(&stack)),
        offset: number(vma, "pgoff"),
        pages: 0,
        xxh64: None,
        page_digests: Vec::new(),
    }
}

fn permissions(protection: u64, flags: u64) -> String {
    let bit = |bit, letter| if protection & bit != 0 { letter } else { '-' };
    let shared = if flags & 1 != 0 { 's' } else { 'p' };
    [bit(1, 'r'), bit(2, 'w'), bit(4, 'x'), shared].iter().collect()
}

fn name(table: &Table, vma: &DynamicMessage, holds_stack: bool) -> String {
    let (status, id) = (number(vma, "status"), number(vma, "shmid"));
    let named = match status {
        _ if status & (FILE_PRIVATE | FILE_SHARED | MEMFD) != 0 => {
            return table.path(id).unwrap_or_else(|| format!("file {id}, which is missing"));
        }
        _ if status & SYSV != 0 => return format!("[System V segment {id}]"),
        _ if status & ANON_SHARED != 0 => "[shared]",
        _ if status & HEAP != 0 => "[heap]",
        _ if status & VDSO != 0 => "[vdso]",
        _ if status & VVAR != 0 => "[vvar]",
        _ if status & VSYSCALL != 0 => "[vsyscall]",
        _ if status & AIO != 0 => "[aio]",
        _ if holds_stack => "[stack]",
        _ => "",
    };
    named.to_owned()
}
