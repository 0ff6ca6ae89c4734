//! What kind of fact a name stands for: the name without numbers, addresses and paths.

use crate::registry;

/// Numbers, addresses and paths in a name become a star.
pub(super) fn kind(name: &str) -> String {
    let mut kind = String::new();
    for part in without_path(registry::within_container(name)) {
        let part = if is_number(part) { "*" } else { part };
        if part == "*" && (kind == "*" || kind.ends_with(".*")) {
            continue;
        }
        if !kind.is_empty() {
            kind.push('.');
        }
        kind.push_str(part);
    }
    kind
}

/// The parts of a name, with what begins with a slash as one star up to the last word.
fn without_path(name: &str) -> Vec<&str> {
    match (name.split_once("./"), name.rsplit_once('.')) {
        (Some((head, _)), Some((_, last))) if !last.starts_with('/') => {
            head.split('.').chain(["*", last]).collect()
        }
        _ => name.split('.').collect(),
    }
}

/// A part of digits and separators: a number, an address, a range. A plain word of hexadecimal
/// letters (`fd`) is none: it needs a digit.
fn is_number(part: &str) -> bool {
    part.contains(|c: char| c.is_ascii_digit())
        && part.chars().all(|c| c.is_ascii_hexdigit() || ":-/# ".contains(c))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::kind;

    #[rstest]
    #[case("task.1.fd.3.flags", "task.*.fd.*.flags")]
    #[case("sidecar.task.12.map.7f12-7f34.perms", "task.*.map.*.perms")]
    #[case("task.1.mount./a.b/c.options", "task.*.mount.*.options")]
    #[case("pod.net.tcp.0100007F:18EB-00000000:0000.st", "pod.net.tcp.*.st")]
    #[case("pod.sysctl.net.ipv4.tcp_rmem", "pod.sysctl.net.ipv4.tcp_rmem")]
    fn numbers_and_paths_do_not_count(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(kind(name), expected);
    }
}
