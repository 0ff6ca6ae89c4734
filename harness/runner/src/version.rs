//! Versions of kernels and of CRIU, compared by whole numbers.
//!
//! `6.1.0-50-cloud-amd64` is a pre-release for semver, and `6.1` a prefix of `6.18` for a glob.
//! Here a version is the numbers up to the first thing that is none.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// The leading dotted numbers of a version: `6.12.57+deb13-cloud-amd64` is 6, 12, 57.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u64>);

impl Version {
    /// Reads the numbers that a text begins with; `None` when there is none.
    #[must_use]
    pub fn leading(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let numbers: Vec<u64> =
            text[..end].split('.').map_while(|number| number.parse().ok()).collect();
        if numbers.is_empty() { None } else { Some(Version(numbers)) }
    }

    /// Whether the version begins with these whole numbers: 6.1.9 with 6.1, but 6.18 not.
    #[must_use]
    pub fn starts_with(&self, prefix: &Version) -> bool {
        self.0.starts_with(&prefix.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

/// Which versions an expectation or a need is about.
///
/// `6.16..7.0` from 6.16 up to every 7.0.x, `6.13..` from 6.13 on, `..5.12` up to every 5.12.x,
/// `4.1.1` that version and whatever it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    text: String,
    from: Option<Version>,
    to: Option<Version>,
}

impl Versions {
    /// Whether a version, as its program reports it, is among them. A text without numbers is not.
    #[must_use]
    pub fn contain(&self, version: &str) -> bool {
        let Some(version) = Version::leading(version) else { return false };
        self.from.as_ref().is_none_or(|from| version >= *from || version.starts_with(from))
            && self.to.as_ref().is_none_or(|to| version <= *to || version.starts_with(to))
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The text is no range of versions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no range of versions: write `6.16..7.0`, `6.13..`, `..5.12` or `4.1.1`")]
pub struct NotVersions(String);

impl FromStr for Versions {
    type Err = NotVersions;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let whole = |part: &str| match Version::leading(part) {
            Some(version) if version.to_string() == part => Ok(version),
            _ => Err(NotVersions(text.to_owned())),
        };
        let bound = |part: &str| if part.is_empty() { Ok(None) } else { whole(part).map(Some) };
        let (from, to) = match text.split_once("..") {
            Some((from, to)) => (bound(from)?, bound(to)?),
            None => (Some(whole(text)?), Some(whole(text)?)),
        };
        Ok(Versions { text: text.to_owned(), from, to })
    }
}

impl<'de> Deserialize<'de> for Versions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("6.16..7.0", "6.16.1-1-cloud-amd64", true)]
    #[case("6.16..7.0", "7.0.12+deb14-amd64", true)]
    #[case("6.16..7.0", "7.1.0", false)]
    #[case("6.16..7.0", "6.12.57+deb13-cloud-amd64", false)]
    #[case("6.1", "6.1.0-50-cloud-amd64", true)]
    #[case("6.1", "6.18.3", false)]
    #[case("6.13..", "7.3-rc2", true)]
    #[case("..5.12", "5.12.19", true)]
    #[case("..5.12", "5.13", false)]
    #[case("4.1.1", "4.1", false)]
    #[case("6.16..7.0", "unknown", false)]
    fn a_range_compares_whole_numbers(
        #[case] range: Versions,
        #[case] version: &str,
        #[case] within: bool,
    ) {
        assert_eq!(range.contain(version), within);
    }

    #[rstest]
    #[case("6.x")]
    #[case("")]
    #[case(">=6.1")]
    #[case("6.1..beta")]
    fn anything_else_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Versions>(), Err(NotVersions(text.to_owned())));
    }
}
