//! Versions: of kernels, with patterns that match whole numbers of them, and how near they are.

use std::cmp::Ordering;
use std::fmt;

use wildmatch::WildMatch;

/// A kernel's version as upstream counts, such as `6.12.117` or `7.3-rc7`, and Debian's revision
/// of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    numbers: Vec<u64>,
    candidate: Option<u64>,
    revision: String,
}

impl Version {
    /// Reads a package version such as `6.12.95-1~bpo12+1` or `7.3~rc7-1~exp1`.
    pub(crate) fn from_package(text: &str) -> Option<Self> {
        let (upstream, revision) = text.split_once('-').unwrap_or((text, ""));
        let (numbers, candidate) = match upstream.split_once("~rc") {
            Some((numbers, candidate)) => (numbers, Some(candidate.parse().ok()?)),
            None => (upstream, None),
        };
        let numbers =
            numbers.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        Some(Version { numbers, candidate, revision: revision.to_owned() })
    }

    /// The text of the first `count` numbers, or of all of them where there are fewer.
    fn prefix(&self, count: usize) -> String {
        let numbers: Vec<_> = self.numbers.iter().take(count).map(u64::to_string).collect();
        numbers.join(".")
    }

    /// The part of this version that the pattern matches, if it does.
    ///
    /// A pattern has whole numbers: `6.1` matches `6.1.170` and not `6.18`. With wildcards, as many
    /// numbers are looked at as the pattern has, at least two: `6.*` matches `6.18` of `6.18.15`.
    pub(crate) fn matched(&self, pattern: &str) -> Option<String> {
        if pattern == self.to_string() {
            return Some(pattern.to_owned());
        }
        let count = pattern.split('.').count();
        let is_glob = pattern.contains(['*', '?']);
        let prefix = self.prefix(if is_glob { count.max(2) } else { count });
        WildMatch::new(pattern).matches(&prefix).then_some(prefix)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix(usize::MAX))?;
        self.candidate.map_or(Ok(()), |candidate| write!(f, "-rc{candidate}"))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let released = |version: &Version| version.candidate.unwrap_or(u64::MAX);
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| released(self).cmp(&released(other)))
            .then_with(|| numbers_in(&self.revision).cmp(&numbers_in(&other.revision)))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How far two versions are from each other: a major version weighs more than any minor ones.
pub(crate) fn distance(one: &str, other: &str) -> u64 {
    let weigh = |version: &str| {
        let numbers = version.split(|c: char| !c.is_ascii_digit());
        let numbers = numbers.filter_map(|number| number.parse::<u64>().ok()).take(3);
        let weights = [1_000_000, 1_000, 1];
        numbers.zip(weights).map(|(number, weight)| number.min(999) * weight).sum::<u64>()
    };
    weigh(one).abs_diff(weigh(other))
}

fn numbers_in(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn version(text: &str) -> Version {
        Version::from_package(text).unwrap()
    }

    #[rstest]
    #[case("6.12.95-1~bpo12+1", "6.12.95")]
    #[case("7.3~rc7-1~exp1", "7.3-rc7")]
    #[case("6.1.176-1", "6.1.176")]
    fn a_package_version_is_told_as_upstream_writes_it(#[case] package: &str, #[case] told: &str) {
        assert_eq!(version(package).to_string(), told);
    }

    #[rstest]
    #[case("6.1", "6.1.176-1", true)]
    #[case("6.1", "6.18.15-1~bpo13+1", false)]
    #[case("6.18", "6.18.15-1~bpo13+1", true)]
    #[case("6.18.1", "6.18.15-1~bpo13+1", false)]
    #[case("6.18.15", "6.18.15-1~bpo13+1", true)]
    #[case("6.18.15.1", "6.18.15-1~bpo13+1", false)]
    #[case("6", "6.18.15-1", true)]
    #[case("6.1?", "6.18.15-1", true)]
    #[case("6.1?", "6.1.176-1", false)]
    #[case("6.*", "6.1.176-1", true)]
    #[case("*", "7.2.13-1", true)]
    #[case("7.3-rc7", "7.3~rc7-1~exp1", true)]
    #[case("7.3", "7.3~rc7-1~exp1", true)]
    fn a_pattern_matches_whole_numbers(
        #[case] pattern: &str,
        #[case] package: &str,
        #[case] matches: bool,
    ) {
        assert_eq!(version(package).matched(pattern).is_some(), matches);
    }

    #[rstest]
    #[case("6.9.1-1", "6.12.1-1")]
    #[case("7.3~rc7-1", "7.3-1")]
    #[case("7.3~rc7-1", "7.3.1-1")]
    #[case("6.12.90-1~bpo12+1", "6.12.90-2~bpo12+1")]
    fn versions_are_ordered_as_releases_follow(#[case] older: &str, #[case] newer: &str) {
        assert!(version(older) < version(newer));
    }

    #[test]
    fn the_nearest_version_is_found_by_numbers() {
        let known = ["3.17.1-2+deb12u2", "4.1.1-1", "4.2.1-1", "4.3-1~exp2"];
        let nearest = |told| known.into_iter().min_by_key(|version| distance(told, version));
        assert_eq!(nearest("4.2"), Some("4.2.1-1"));
        assert_eq!(nearest("3.19"), Some("3.17.1-2+deb12u2"));
        assert_eq!(nearest("4.9"), Some("4.3-1~exp2"));
    }
}
