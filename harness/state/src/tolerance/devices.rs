//! The node's devtmpfs, of which a container sees single devices.

use super::{Question, images::exact};

/// The number of devtmpfs in CRIU's images (`fstype` of mnt.proto).
const IN_IMAGES: &str = "3";

/// It holds at most what the kernel made of the node's memory when it booted.
pub(super) fn limits_of_another_boot(question: &Question<'_>) -> bool {
    let is_it = |capture| {
        let kind = exact(question.beside(capture, "fstype"));
        kind.is_some_and(|kind| matches!(kind, "devtmpfs" | IN_IMAGES))
    };
    let others = |options: &str| -> Vec<String> {
        let words = options.split(',').map(str::to_owned);
        words.filter(|it| !it.starts_with("size=") && !it.starts_with("nr_inodes=")).collect()
    };
    question.exact().is_some_and(|(before, after)| others(before) == others(after))
        && is_it(question.capture_before)
        && is_it(question.capture_after)
}

#[cfg(test)]
mod tests {
    use model::{Capture, Value};
    use rstest::rstest;

    use crate::compare;

    fn mount(kind: &str, options: &str) -> Capture {
        let fact = |word: &str, value: &str| {
            (format!("task.1.mount./dev/null.{word}"), Value::Exact(value.to_owned()))
        };
        let facts = [fact("fstype", kind), fact("super_options", options)];
        Capture { facts: facts.into_iter().collect(), ..Capture::default() }
    }

    #[rstest]
    #[case::limits("devtmpfs", "rw,size=8k,nr_inodes=3,mode=755", true)]
    #[case::another("devtmpfs", "rw,size=8k,nr_inodes=3,mode=777", false)]
    #[case::read_only("devtmpfs", "ro,size=8k,nr_inodes=3,mode=755", false)]
    #[case::of_a_tmpfs("tmpfs", "rw,size=8k,nr_inodes=3,mode=755", false)]
    fn a_devtmpfs_may_hold_more_or_less(
        #[case] kind: &str,
        #[case] after: &str,
        #[case] permitted: bool,
    ) {
        let before = mount(kind, "rw,size=9k,nr_inodes=4,mode=755");
        let level = compare(&before, &mount(kind, after), 0).kernel;
        let found = (level.tolerated.len(), level.differences.len());
        assert_eq!(found, if permitted { (1, 0) } else { (0, 1) });
    }
}
