//! What a kernel shows, entry by entry, and whether the table knows it: for the test `complete`.
//!
//! A list of entries is taken from a kernel by itself, without the sources of a capture.

use std::fmt;
use std::str::FromStr;

use prost_reflect::DescriptorPool;

use super::{NOT_CAPTURED, RULES, Rule, VM_FLAGS, images, matches};

/// The source of entries of CRIU's images.
const IMAGES: &str = "CRIU's images";

/// Something that a kernel shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Where, in the words of the table: `/proc/PID/status`.
    pub source: String,
    /// What, in the last words of a fact's name: `uid`, `inotify.mask`. Empty where the source is
    /// a file of one value.
    pub word: String,
    /// What it looks like, for people.
    pub sample: String,
}

/// What the table says of an entry.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    /// These lines are about it.
    Captured(&'static Rule),
    /// A field of an image, compared since it was first seen in this CRIU.
    Image(&'static str),
    /// It is left out, for this reason.
    NotCaptured(&'static str),
}

/// What the table says of an entry; nothing if nobody has looked at it yet.
#[must_use]
pub fn known(entry: &Entry) -> Option<Known> {
    if entry.source == IMAGES {
        let (message, field) = entry.word.split_once('.')?;
        return images::known_field(message, field).map(Known::Image);
    }
    let text = format!("{} {}", entry.source, entry.word);
    let text = text.trim_end();
    let left_out =
        NOT_CAPTURED.iter().find(|line| line.entries.iter().any(|pattern| matches(pattern, text)));
    let captured = RULES.iter().find(|rule| entry.is_of(rule)).map(Known::Captured);
    captured.or_else(|| left_out.map(|line| Known::NotCaptured(line.reason)))
}

impl Entry {
    /// Every field of every message of a CRIU, by its serialized `FileDescriptorSet`.
    ///
    /// # Errors
    /// When it is none.
    pub fn of_images(descriptors: &[u8]) -> Result<Vec<Self>, prost_reflect::DescriptorError> {
        let pool = DescriptorPool::decode(descriptors)?;
        let messages = pool.all_messages().filter(|it| !it.package_name().starts_with("google"));
        let fields = messages.flat_map(|message| message.fields().collect::<Vec<_>>());
        let entry = |field: prost_reflect::FieldDescriptor| Entry {
            source: IMAGES.to_owned(),
            word: format!("{}.{}", field.parent_message().name(), field.name()),
            sample: format!("{:?}", field.kind()),
        };
        Ok(fields.map(entry).collect())
    }

    /// Whether a line is about this entry.
    fn is_of(&self, rule: &Rule) -> bool {
        if let Some(flag) = self.word.strip_prefix("vmflags.") {
            return rule.pattern.ends_with(".vmflags")
                && VM_FLAGS.iter().any(|(it, _)| *it == flag);
        }
        let below = rule.source.strip_prefix(self.source.as_str());
        match self.word.as_str() {
            // A folder's file: the whole of it, or something in it.
            "" => below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ' '])),
            word => below == Some("") && (self.is_in_folder(rule) || ends_with(rule.pattern, word)),
        }
    }

    /// Whether a line is about everything in the folder of this entry.
    fn is_in_folder(&self, rule: &Rule) -> bool {
        let folder = rule.pattern.strip_suffix(".*").and_then(|head| head.rsplit('.').next());
        folder.is_some_and(|folder| self.source.rsplit('/').next() == Some(folder))
    }
}

/// Whether a pattern ends with these words, stars for numbers and names left out.
fn ends_with(pattern: &str, word: &str) -> bool {
    let parts = pattern.split('.').map(|part| part.trim_matches('*'));
    let plain: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let plain = plain.join(".");
    match plain.strip_suffix(word) {
        Some(rest) => rest.is_empty() || rest.ends_with('.'),
        None => is_family(pattern) && of_family(pattern, word),
    }
}

/// A line for a family of which every member is captured: `pod.sysctl.net.ipv4.tcp_*`.
fn is_family(pattern: &str) -> bool {
    pattern.ends_with('*')
}

fn of_family(pattern: &str, word: &str) -> bool {
    match pattern.rsplit_once('.') {
        // Of the whole folder that the source names, or of one below it.
        Some((folder, "*")) => {
            folder.rsplit('.').next() == word.split('.').next() && word.contains('.')
        }
        Some((_, family)) => matches(family, word),
        None => false,
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}\t{}", self.source, self.word, self.sample)
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut parts = line.splitn(3, '\t').map(str::to_owned);
        let mut part = || parts.next().ok_or_else(|| format!("no entry: {line}"));
        Ok(Entry { source: part()?, word: part()?, sample: part()? })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/proc/PID/status", "uid", true)]
    #[case("/proc/PID/status", "a_line_of_next_year", false)]
    #[case("/proc/PID/comm", "", true)]
    #[case("/proc/PID/status", "", true)]
    #[case("/proc/PID/stat", "", true)]
    #[case("/proc/PID/stats_of_next_year", "", false)]
    #[case("/proc/PID/io", "", true)]
    #[case("/proc/PID/smaps", "vmflags.rd", true)]
    #[case("/proc/PID/smaps", "vmflags.zz", false)]
    #[case("/proc/PID/fdinfo", "inotify.mask", true)]
    #[case("/proc/PID/fdinfo", "mask_of_next_year", false)]
    #[case("/proc/sys/net/ipv4", "tcp_of_next_year", true)]
    #[case("/proc/sys/net/ipv4", "conf.forwarding", true)]
    #[case("/proc/sys/net/ipv4", "nothing_like_it", false)]
    #[case("/proc/sys/net/core", "somaxconn", true)]
    #[case("/proc/sys/net/nothing_like_it", "somaxconn", false)]
    fn an_entry_is_known_by_its_source_and_its_last_words(
        #[case] source: &str,
        #[case] word: &str,
        #[case] expected: bool,
    ) {
        let entry = format!("{source}\t{word}\tsample").parse().expect("an entry");
        assert_eq!(known(&entry).is_some(), expected);
    }
}
