//! Things that an image knows by a number only, named after the first who refers to them.

use std::collections::HashMap;

/// By class and number: the name.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<(&'static str, String), String>);

/// Things that no other of their class is within: the entry that refers to one names it.
const ONE_AN_ENTRY: [&str; 8] =
    ["bpf map", "files", "ghost", "memfd", "ns", "pipe", "socket", "terminal"];

/// Files whose entries are named after somebody else already.
const NAMED_AFTER: [&str; 2] = ["files.", "remap-fpath."];

impl Names {
    /// A field at this path within this entry (`fdinfo.1.3.id` in `fdinfo.1.3`) refers to a thing.
    pub(super) fn refer(&mut self, class: &'static str, id: &str, path: &str, entry: &str) {
        let key = (class, id.to_owned());
        self.0
            .entry(key)
            .or_insert_with(|| referrer(if ONE_AN_ENTRY.contains(&class) { entry } else { path }));
    }

    /// What a thing is called.
    pub(super) fn get(&self, class: &'static str, id: &str) -> Option<&String> {
        self.0.get(&(class, id.to_owned()))
    }
}

/// Who refers, in the words of the other levels where they have some: a descriptor is
/// `task.1.fd.3`, what a task has by itself is named by its pid.
fn referrer(path: &str) -> String {
    if let Some((task, fd)) = path.strip_prefix("fdinfo.").and_then(|rest| rest.split_once('.')) {
        return format!("task.{task}.fd.{}", fd.trim_end_matches(".id"));
    }
    if let Some(task) = path.strip_prefix("ids.") {
        return task.to_owned();
    }
    NAMED_AFTER.iter().find_map(|head| path.strip_prefix(head)).unwrap_or(path).to_owned()
}

/// A name by which names are put in order, numbers by their value.
pub(super) fn in_order(name: &str) -> String {
    let (mut ordered, mut digits) = (String::new(), String::new());
    for char in name.chars().chain(['.']) {
        if char.is_ascii_digit() {
            digits.push(char);
            continue;
        }
        if !digits.is_empty() {
            ordered.push_str(&format!("{digits:0>20}"));
            digits.clear();
        }
        ordered.push(char);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_who_refers_gives_the_name() {
        let mut names = Names::default();
        names.refer("file", "7", "fdinfo.1.3.id", "fdinfo.1.3");
        names.refer("file", "7", "fdinfo.2.9.id", "fdinfo.2.9");
        names.refer("file", "8", "mm.1.exe_file_id", "mm.1");
        names.refer("file", "9", "files.task.1.fd.3.fifo.regf_id", "files.task.1.fd.3");
        names.refer("pipe", "146", "files.task.1.fd.3.pipe.pipe_id", "files.task.1.fd.3");
        names.refer("files", "2", "ids.1.files_id", "ids.1");
        let name = |class, id| names.get(class, id).map(String::as_str);
        assert_eq!(name("file", "7"), Some("task.1.fd.3"));
        assert_eq!(name("file", "8"), Some("mm.1.exe_file_id"));
        assert_eq!(name("file", "9"), Some("task.1.fd.3.fifo.regf_id"));
        assert_eq!(name("pipe", "146"), Some("task.1.fd.3"));
        assert_eq!(name("files", "2"), Some("1"));
        assert_eq!(name("pipe", "2"), None);
    }

    #[test]
    fn numbers_are_in_the_order_of_their_values() {
        let mut names = ["task.10.fd.1", "task.2.fd.10", "task.2.fd.9", "fs.1"];
        names.sort_by_cached_key(|name| in_order(name));
        assert_eq!(names, ["fs.1", "task.2.fd.9", "task.2.fd.10", "task.10.fd.1"]);
    }
}
