//! Mappings of an address space, out of `/proc/PID/smaps`.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::pod::Task;
use crate::read;

/// One mapping as the kernel lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vma {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) perms: String,
    /// Offset in the mapped file, in bytes.
    pub(crate) offset: u64,
    /// Device and inode of what is mapped; `00:00:0` for private anonymous memory.
    pub(crate) object: String,
    /// `[heap]`, a path, or nothing.
    pub(crate) name: String,
    /// Two letters each, as in `VmFlags`.
    pub(crate) flags: Vec<String>,
    /// Protection key.
    pub(crate) key: String,
    /// Kilobytes that are in memory or swapped out.
    resident_kb: u64,
}

impl Vma {
    /// What is mapped, as a path below the task's folder in `/proc`.
    pub(crate) fn file(&self, proc: &Path) -> PathBuf {
        proc.join(format!("map_files/{:x}-{:x}", self.start, self.end))
    }

    pub(crate) fn shared(&self) -> bool {
        self.perms.ends_with('s')
    }

    /// Anonymous memory, of which an untouched page reads as zero. The kernel's own `[vdso]` has
    /// no object either, but has pages before it is touched.
    pub(crate) fn anonymous(&self) -> bool {
        let of_the_kernel = self.name.starts_with('[')
            && !["[heap]", "[stack", "[anon"].iter().any(|head| self.name.starts_with(head));
        self.object == "00:00:0" && !of_the_kernel
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|have| have == flag)
    }

    /// Private anonymous memory of which no page was ever touched.
    pub(crate) fn untouched(&self) -> bool {
        self.anonymous() && !self.shared() && self.resident_kb == 0 && !self.has("ht")
    }

    /// Memory that no process owns: device registers, and the kernel's own clock pages.
    pub(crate) fn holds_no_state(&self) -> bool {
        self.has("io")
            || self.has("pf")
            || self.name.starts_with("[vvar")
            || self.name == "[vsyscall]"
    }

    /// Backed by memory alone: shared anonymous, memfd, or System V, in pages of any size.
    pub(crate) fn shmem(&self) -> bool {
        ["/dev/zero (deleted)", "/anon_hugepage", "/memfd:", "/SYSV"]
            .iter()
            .any(|head| self.name.starts_with(head))
    }

    /// Private memory in huge pages and of no file: the kernel makes up an object for it, but an
    /// untouched page reads as zero, and would be taken from the node's few by the reading.
    pub(crate) fn huge_anonymous(&self) -> bool {
        !self.shared() && self.name.starts_with("/anon_hugepage")
    }

    /// What a person calls it.
    pub(crate) fn label(&self) -> &str {
        match self.name.as_str() {
            "" => "anonymous memory",
            name if self.shared() && name.contains("/dev/zero (deleted)") => {
                "shared anonymous memory"
            }
            name => name,
        }
    }

    /// Whether `next` goes on where this one ends and is alike: the kernel may cut a range into
    /// pieces, or join them, without a task noticing.
    pub(crate) fn joins(&self, next: &Vma) -> bool {
        let goes_on = self.anonymous() || self.offset + (self.end - self.start) == next.offset;
        self.end == next.start
            && goes_on
            && self.perms == next.perms
            && self.object == next.object
            && self.name == next.name
            && self.key == next.key
            && self.lasting_flags().eq(next.lasting_flags())
    }

    /// Flags without `sd`, which says that a page was written to since somebody asked, and `ac`,
    /// which is a fact of its own since it parts neighbours that are alike otherwise.
    pub(crate) fn lasting_flags(&self) -> impl Iterator<Item = &String> {
        self.flags.iter().filter(|flag| !["sd", "ac"].contains(&flag.as_str()))
    }
}

/// All mappings of a task, in the order of their addresses.
pub(crate) fn read(task: &Task) -> Result<Vec<Vma>> {
    let path = task.proc().join("smaps");
    parse(&read::text(&path)?, &path)
}

/// The same without flags, keys and what is resident, for which the kernel walks over all pages.
pub(crate) fn ranges(task: &Task) -> Result<Vec<Vma>> {
    let path = task.proc().join("maps");
    parse(&read::text(&path)?, &path)
}

fn parse(text: &str, path: &Path) -> Result<Vec<Vma>> {
    let mut all: Vec<Vma> = Vec::new();
    for line in text.lines() {
        if let Some(vma) = header(line) {
            all.push(vma);
            continue;
        }
        let vma = all.last_mut().ok_or_else(|| Error::form(path, "no range before details"))?;
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        match key {
            "VmFlags" => vma.flags = value.split_whitespace().map(str::to_owned).collect(),
            "ProtectionKey" => vma.key = value.trim().to_owned(),
            "Rss" | "Swap" => vma.resident_kb += kilobytes(value),
            _ => {}
        }
    }
    Ok(all)
}

fn kilobytes(value: &str) -> u64 {
    value.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

/// `55d0-55d2 r--p 00001000 fe:00 1234    /usr/bin/x`
fn header(line: &str) -> Option<Vma> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let mut words = rest.splitn(5, ' ');
    let perms = words.next()?.to_owned();
    let offset = u64::from_str_radix(words.next()?, 16).ok()?;
    let device = words.next()?;
    let inode = words.next()?;
    let name = words.next().unwrap_or_default().trim_start();
    Some(Vma {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        perms,
        offset,
        object: format!("{device}:{inode}"),
        name: name.to_owned(),
        ..Vma::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0c000-55d0e000 rw-p 00000000 00:00 0                                  [heap]
Size:                  8 kB
Rss:                   4 kB
ProtectionKey:         0
VmFlags: rd wr mr mw me ac sd
55d0e000-55d0f000 rw-p 00000000 00:00 0                                  [heap]
Rss:                   0 kB
ProtectionKey:         0
VmFlags: rd wr mr mw me ac
7f0000000000-7f0000001000 rw-s 00002000 00:01 77                         /dev/zero (deleted)
Rss:                   0 kB
VmFlags: rd wr sh mr mw me ms
";

    #[test]
    fn ranges_are_read_with_flags_and_names() {
        let all = parse(SMAPS, Path::new("smaps")).expect("three ranges");
        assert_eq!(all.len(), 3);
        assert!(all[0].joins(&all[1]), "soft dirty does not part neighbours");
        assert!(!all[0].untouched() && all[1].untouched());
        assert_eq!(all[2].label(), "shared anonymous memory");
        assert_eq!((all[2].offset, all[2].object.as_str()), (0x2000, "00:01:77"));
    }
}
