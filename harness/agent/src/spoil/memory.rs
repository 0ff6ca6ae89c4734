//! Memory, written through `/proc/PID/mem`: a bit, a page, two pages swapped, zeroed, one page too
//! much.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::Context;
use fs_err as fs;
use model::mutant::Family;
use serde::{Deserialize, Serialize};

use super::act::{Act, Offers};
use super::outcome::{changed, refused};
use super::pod::{Pod, Task};

const PAGE: u64 = 4096;

/// Mappings of one kind of a task that are offered; more would show nothing new.
const MOST: usize = 2;

/// Within a page, the place of the byte that is changed.
const PLACE: u64 = 0x9c8;

/// A change of pages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pages {
    pid: i32,
    change: Change,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Bit(u64),
    LastByte(u64),
    Fill(u64),
    Zero(u64),
    Swap(u64, u64),
    /// A byte is written to a page that nobody had touched.
    Touch(u64),
    /// A page is written as it is.
    Same(u64),
}

/// A mapping.
#[derive(Debug)]
struct Mapping {
    start: u64,
    end: u64,
    kind: &'static str,
    droppable: bool,
}

pub(super) fn offer(pod: &Pod, offers: &mut Offers) -> anyhow::Result<()> {
    for task in pod.living() {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for mapping in mappings(task)? {
            let count = seen.entry(mapping.kind).or_default();
            if *count < MOST && of_mapping(task, &mapping, offers)? {
                *count += 1;
            }
        }
    }
    Ok(())
}

fn mappings(task: &Task) -> anyhow::Result<Vec<Mapping>> {
    let text = fs::read_to_string(format!("/proc/{}/smaps", task.pid))?;
    let mut all: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let last = all.last_mut().context("flags of nothing")?;
            let has = |flag: &str| flags.split_whitespace().any(|word| word == flag);
            last.droppable = has("dp");
            if has("pf") || has("io") {
                last.kind = "device";
            }
        } else if let Some(mapping) = header(line) {
            all.push(mapping);
        }
    }
    all.retain(|mapping| {
        !["device", "[vvar]", "[vvar_vclock]", "[vsyscall]"].contains(&mapping.kind)
    });
    Ok(all)
}

fn header(line: &str) -> Option<Mapping> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let perms = words.next().filter(|perms| perms.len() == 4)?;
    let (inode, path) = (words.nth(2)?, words.next().unwrap_or_default());
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        kind: kind(perms, inode, path),
        droppable: false,
    })
}

fn kind(perms: &str, inode: &str, path: &str) -> &'static str {
    let shared = perms.ends_with('s');
    match path {
        "[heap]" => "heap",
        "[stack]" => "stack",
        "[vdso]" => "vdso",
        "[vvar]" => "[vvar]",
        "[vvar_vclock]" => "[vvar_vclock]",
        "[vsyscall]" => "[vsyscall]",
        path if path.starts_with("/SYSV") => "sysv",
        path if path.starts_with("/memfd:/dev/zero") || path.starts_with("/dev/zero") => "shared",
        path if path.starts_with("/memfd:") => "memfd",
        _ if shared && inode != "0" => "shared-file",
        _ if shared => "shared",
        _ if inode == "0" && perms.starts_with("---") => "guard",
        _ if inode == "0" && perms.starts_with("r-") => "anonymous-read-only",
        _ if inode == "0" => "anonymous",
        _ if perms.contains('w') => "file-writable",
        _ if perms.contains('x') => "file-code",
        _ => "file-read-only",
    }
}

/// Offers what can be done with a mapping, and whether there was anything.
fn of_mapping(task: &Task, mapping: &Mapping, offers: &mut Offers) -> anyhow::Result<bool> {
    let pages = Look::at(task, mapping)?;
    let mut changes = Vec::new();
    if let Some((page, _)) = pages.full.first() {
        changes.extend([("bit", Change::Bit(*page)), ("fill", Change::Fill(*page))]);
        changes.push(("last-byte", Change::LastByte(*page)));
        if !mapping.droppable {
            changes.push(("zero", Change::Zero(*page)));
        }
    }
    let first = pages.full.first();
    let other = pages.full.iter().find(|(_, bytes)| first.is_some_and(|(_, first)| first != bytes));
    if let (Some((one, _)), Some((other, _))) = (first, other) {
        changes.push(("swap", Change::Swap(*one, *other)));
    }
    if let Some(page) = pages.untouched {
        changes.push(("touch", Change::Touch(page)));
    }
    let place = format!("{}/{}-{:x}", task.name, mapping.kind, mapping.start);
    for (name, change) in &changes {
        let what = format!("memory of {place}: {name}, {change:x?}");
        let act = Act::Memory(Pages { pid: task.pid, change: *change });
        offers.memory(format!("memory-{}/{place}/{name}", mapping.kind), what, &act);
    }
    controls(task, mapping, first.map(|(page, _)| *page), offers);
    Ok(!changes.is_empty())
}

/// Writing what is there copies a page of a file, and changes nothing that anybody reads.
fn controls(task: &Task, mapping: &Mapping, page: Option<u64>, offers: &mut Offers) {
    if let (Some(page), "heap" | "stack" | "file-code" | "file-read-only") = (page, mapping.kind) {
        let act = Act::Memory(Pages { pid: task.pid, change: Change::Same(page) });
        let name = format!("memory-{}", mapping.kind);
        offers.control(Family::Memory, &name, "a page is written as it is", &act);
    }
}

/// Some pages of a mapping.
#[derive(Debug, Default)]
struct Look {
    /// Pages that are there and not all zero.
    full: Vec<(u64, Vec<u8>)>,
    /// One that nobody has touched.
    untouched: Option<u64>,
}

impl Look {
    fn at(task: &Task, mapping: &Mapping) -> anyhow::Result<Look> {
        /// So many pages are looked at.
        const ENOUGH: u64 = 64;
        let pagemap = fs::File::open(format!("/proc/{}/pagemap", task.pid))?;
        let memory = fs::File::open(format!("/proc/{}/mem", task.pid))?;
        let mut look = Look::default();
        let pages = (mapping.start..mapping.end).step_by(PAGE as usize);
        for page in pages.take(ENOUGH as usize) {
            let mut entry = [0u8; 8];
            pagemap.file().read_exact_at(&mut entry, page / PAGE * 8)?;
            if entry[7] & 0xc0 == 0 {
                if mapping.kind == "anonymous" || mapping.kind == "heap" || mapping.kind == "shared"
                {
                    look.untouched.get_or_insert(page);
                }
                continue;
            }
            let mut bytes = vec![0u8; PAGE as usize];
            if memory.file().read_exact_at(&mut bytes, page).is_ok()
                && bytes.iter().any(|byte| *byte != 0)
            {
                look.full.push((page, bytes));
            }
        }
        Ok(look)
    }
}

impl Pages {
    pub(super) fn carry_out(&self) -> anyhow::Result<()> {
        let path = format!("/proc/{}/mem", self.pid);
        let memory = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let memory = memory.file();
        let page = |at: u64| -> anyhow::Result<Vec<u8>> {
            let mut bytes = vec![0u8; PAGE as usize];
            memory.read_exact_at(&mut bytes, at).map_err(|error| refused("the page", error))?;
            Ok(bytes)
        };
        match self.change {
            Change::Bit(at) => flip(memory, at + PLACE, page(at)?[PLACE as usize]),
            Change::LastByte(at) => flip(memory, at + PAGE - 1, page(at)?[PAGE as usize - 1]),
            Change::Touch(at) => flip(memory, at + PLACE, page(at)?[PLACE as usize]),
            Change::Fill(at) => put(memory, at, &[0xa5; PAGE as usize], &page(at)?),
            Change::Zero(at) => put(memory, at, &[0; PAGE as usize], &page(at)?),
            Change::Swap(one, other) => {
                let (of_one, of_other) = (page(one)?, page(other)?);
                put(memory, one, &of_other, &of_one)?;
                put(memory, other, &of_one, &of_other)
            }
            Change::Same(at) => {
                let bytes = page(at)?;
                Ok(memory.write_all_at(&bytes, at)?)
            }
        }
    }
}

fn flip(memory: &File, at: u64, byte: u8) -> anyhow::Result<()> {
    put(memory, at, &[byte ^ 0x10], &[byte])
}

fn put(memory: &File, at: u64, bytes: &[u8], before: &[u8]) -> anyhow::Result<()> {
    memory.write_all_at(bytes, at).map_err(|error| refused("the memory", error))?;
    let mut after = vec![0u8; bytes.len()];
    memory.read_exact_at(&mut after, at)?;
    changed("the memory", &before, &after.as_slice())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("7f00-7f01 rw-p 00000000 00:00 0", "anonymous")]
    #[case("7f00-7f01 ---p 00000000 00:00 0", "guard")]
    #[case("7f00-7f01 rw-s 00000000 00:01 77 /memfd:x (deleted)", "memfd")]
    #[case("7f00-7f01 rw-s 00000000 00:01 7 /SYSV00000000 (deleted)", "sysv")]
    #[case("7f00-7f01 r-xp 00001000 fe:00 9 /usr/bin/x", "file-code")]
    #[case("7f00-7f01 rw-s 00001000 fe:00 9 /data/x", "shared-file")]
    fn a_mapping_is_of_a_kind(#[case] line: &str, #[case] kind: &str) {
        let mapping = header(line).expect("a header");
        assert_eq!((mapping.kind, mapping.start), (kind, 0x7f00));
    }
}
