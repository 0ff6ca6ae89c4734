//! Files of `/proc/PID` and of its threads, and what is in those that have lines.

use std::path::{Path, PathBuf};

use fs_err as fs;
use state::registry::STAT_FIELDS;

use super::{Shown, descriptors};

/// All that a task and its threads show.
pub(super) fn task(pid: i32, shown: &mut Shown) -> anyhow::Result<()> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    files(&proc, shown)?;
    lines(&proc.join("timers"), |line| {
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        shown.add("/proc/PID/timers", &key.to_lowercase(), value);
    });
    limits(&proc, shown)?;
    mappings(&proc, shown)?;
    auxiliary(&proc, shown)?;
    mounts(&proc, shown);
    for name in names(&proc.join("fdinfo"))? {
        descriptors::info(&fs::read_to_string(proc.join("fdinfo").join(name))?, shown);
    }
    for thread in names(&proc.join("task"))? {
        files(&proc.join("task").join(thread), shown)?;
    }
    Ok(())
}

/// What is in the folder of a task or thread, and in the files that each thread has.
fn files(proc: &Path, shown: &mut Shown) -> anyhow::Result<()> {
    for name in names(proc)? {
        shown.add(&format!("/proc/PID/{name}"), "", &proc.join(&name).display().to_string());
    }
    for line in fs::read_to_string(proc.join("status"))?.lines() {
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        shown.add("/proc/PID/status", &key.to_lowercase(), value);
    }
    let stat = fs::read_to_string(proc.join("stat"))?;
    let values = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    for (index, value) in values.split_whitespace().enumerate() {
        let name = STAT_FIELDS.get(index).map(|name| (*name).to_owned());
        let name = name.unwrap_or_else(|| format!("field_{}", index + 3));
        shown.add("/proc/PID/stat", &name, value);
    }
    for name in names(&proc.join("ns"))? {
        shown.add("/proc/PID/ns", &name, "");
    }
    labels(&proc.join("attr"), "", shown)
}

/// Security labels, those of each module in a folder of its own.
fn labels(folder: &Path, head: &str, shown: &mut Shown) -> anyhow::Result<()> {
    for name in names(folder)? {
        let path = folder.join(&name);
        if path.is_dir() {
            labels(&path, &format!("{head}{name}."), shown)?;
        } else {
            shown.add("/proc/PID/attr", &format!("{head}{name}"), "");
        }
    }
    Ok(())
}

/// Rows of `limits` by the words that stand in the first column.
fn limits(proc: &Path, shown: &mut Shown) -> anyhow::Result<()> {
    const COLUMN: usize = 26;
    for line in fs::read_to_string(proc.join("limits"))?.lines().skip(1) {
        let (words, values) = line.split_at_checked(COLUMN).unwrap_or((line, ""));
        let words = words.trim();
        let name = state::registry::limit(words).map(str::to_owned);
        let name = name.unwrap_or_else(|| words.to_lowercase().replace(' ', "_"));
        shown.add("/proc/PID/limits", &name, values);
    }
    Ok(())
}

/// Keys and flags of all mappings. The first line of each is the one of `maps`.
fn mappings(proc: &Path, shown: &mut Shown) -> anyhow::Result<()> {
    for line in fs::read_to_string(proc.join("smaps"))?.lines() {
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        if key.contains([' ', '-']) {
            continue;
        }
        match key {
            "VmFlags" => value.split_whitespace().for_each(|flag| {
                shown.add("/proc/PID/smaps", &format!("vmflags.{flag}"), flag);
            }),
            key => shown.add("/proc/PID/smaps", &key.to_lowercase(), value),
        }
    }
    Ok(())
}

/// Numbers of the auxiliary vector, by the names of getauxval(3).
fn auxiliary(proc: &Path, shown: &mut Shown) -> anyhow::Result<()> {
    let bytes = fs::read(proc.join("auxv"))?;
    let words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_ne_bytes));
    let words: Vec<u64> = words.collect();
    for entry in words.chunks_exact(2).take_while(|entry| entry[0] != 0) {
        let name = state::registry::auxiliary(entry[0]).map(str::to_owned);
        let name = name.unwrap_or_else(|| format!("at_{}", entry[0]));
        shown.add("/proc/PID/auxv", &name, &format!("{:#x}", entry[1]));
    }
    Ok(())
}

/// The optional words of `mountinfo`: with how many plain words each line begins is fixed.
fn mounts(proc: &Path, shown: &mut Shown) {
    lines(&proc.join("mountinfo"), |line| {
        for word in line.split(' ').skip(6).take_while(|word| *word != "-") {
            let kind = word.split(':').next().unwrap_or(word);
            shown.add("/proc/PID/mountinfo", &format!("propagation.{kind}"), word);
        }
    });
}

/// Calls for every line of a file; for none where it cannot be read.
fn lines(path: &Path, each: impl FnMut(&str)) {
    fs::read_to_string(path).unwrap_or_default().lines().for_each(each);
}

/// Names in a folder; none where there is no such folder.
pub(super) fn names(folder: &Path) -> anyhow::Result<Vec<String>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
