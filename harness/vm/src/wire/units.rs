//! The quantities of a wire, as people write them: `100ms`, `20%`, `10mbit`. Each is kept as a whole
//! number of its smallest unit, so that what is printed reads back as exactly the same.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A text is no quantity of the kind that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {wanted}")]
pub struct UnitError {
    text: String,
    wanted: &'static str,
}

/// Longest time that a frame may be told to take.
const LONGEST: Duration = Duration::from_secs(3600);

const TIMES: &[(&str, u64)] = &[("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
const RATES: &[(&str, u64)] =
    &[("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000), ("bit", 1)];
const SHARES: &[(&str, u64)] = &[("%", 10_000)];

/// Reads a time such as `100ms`, `1.5s`, `250us`: at most an hour.
///
/// # Errors
///
/// The text is something else.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let found = quantity(text, TIMES).map(Duration::from_nanos).filter(|time| *time <= LONGEST);
    found.ok_or_else(|| UnitError {
        text: text.to_owned(),
        wanted: "time up to an hour, such as 100ms, 1.5s or 250us",
    })
}

/// Writes a time as [`duration`] reads it, in the largest unit that divides it.
pub(super) fn say_duration(time: Duration) -> String {
    say(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), TIMES)
}

/// A share of frames, in parts of a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

impl Share {
    const ALL: u32 = 1_000_000;

    /// So many in a million; all, when it is more.
    #[must_use]
    pub fn per_million(parts: u32) -> Share {
        Share(parts.min(Share::ALL))
    }

    /// Whether a draw, equally spread over all numbers, falls into this share.
    #[must_use]
    pub fn takes(self, draw: u64) -> bool {
        let place = (u128::from(draw) * u128::from(Share::ALL)) >> 64;
        place < u128::from(self.0)
    }
}

impl FromStr for Share {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Share, UnitError> {
        let parts = quantity(text, SHARES).and_then(|parts| u32::try_from(parts).ok());
        parts.filter(|parts| *parts <= Share::ALL).map(Share).ok_or_else(|| UnitError {
            text: text.to_owned(),
            wanted: "share from 0% to 100%, such as 20% or 0.5%",
        })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        match format!("{rest:04}").trim_end_matches('0') {
            "" => write!(f, "{whole}%"),
            decimals => write!(f, "{whole}.{decimals}%"),
        }
    }
}

/// Bits of frames in a second, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    const MOST: u64 = 1_000_000_000_000;

    /// So many bits in a second, from 1 to 10^12; what is outside is taken as the nearest.
    #[must_use]
    pub fn bits_per_second(bits: u64) -> Rate {
        Rate(bits.clamp(1, Rate::MOST))
    }

    /// How long so many bytes take.
    #[must_use]
    pub fn time_of(self, bytes: usize) -> Duration {
        let nanoseconds = bytes as u128 * 8 * 1_000_000_000 / u128::from(self.0);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Rate, UnitError> {
        let bits = quantity(text, RATES).filter(|bits| (1..=Rate::MOST).contains(bits));
        bits.map(Rate).ok_or_else(|| UnitError {
            text: text.to_owned(),
            wanted: "rate from 1bit to 1000gbit (a second), such as 10mbit or 64kbit",
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&say(self.0, RATES))
    }
}

/// The value of `12.5unit` in the smallest unit, when it is a whole number of it.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, unit) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let ten_to = 10_u64.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let digits: u64 = [whole, decimals].concat().parse().ok()?;
    let scaled = u128::from(digits) * u128::from(*unit);
    let exact = scaled % u128::from(ten_to) == 0 && !whole.is_empty();
    exact.then(|| u64::try_from(scaled / u128::from(ten_to)).ok()).flatten()
}

/// Writes a value in the largest unit that divides it.
fn say(value: u64, units: &[(&str, u64)]) -> String {
    let fitting = units.iter().filter(|(_, size)| value.is_multiple_of(*size));
    match fitting.max_by_key(|(_, size)| *size) {
        Some((name, size)) => format!("{}{name}", value / size),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("100ms", Some(Duration::from_millis(100)))]
    #[case("1.5s", Some(Duration::from_millis(1500)))]
    #[case("0.25US", Some(Duration::from_nanos(250)))]
    #[case("3600s", Some(LONGEST))]
    #[case("3601s", None)]
    #[case("100", None)]
    #[case("0.1ns", None)]
    #[case(".5s", None)]
    #[case("-1s", None)]
    #[case("1.2.3s", None)]
    #[case("99999999999999999999s", None)]
    #[case("1.00000000000000000000s", None)]
    #[case("", None)]
    fn times_are_read_exactly_or_not_at_all(#[case] text: &str, #[case] time: Option<Duration>) {
        assert_eq!(duration(text).ok(), time);
    }

    #[test]
    fn an_error_says_what_would_be_right() {
        let error = "20".parse::<Share>().expect_err("no unit");
        assert_eq!(error.to_string(), "`20` is no share from 0% to 100%, such as 20% or 0.5%");
        let error = "0mbit".parse::<Rate>().expect_err("nothing would ever arrive");
        assert!(error.to_string().starts_with("`0mbit` is no rate from 1bit"), "{error}");
    }

    #[test]
    fn a_share_takes_its_share() {
        assert!(!Share::default().takes(0) && Share::per_million(1).takes(0));
        assert!(Share::per_million(1_000_000).takes(u64::MAX));
        let half = Share::per_million(500_000);
        assert!(half.takes(u64::MAX / 2) && !half.takes(u64::MAX / 2 + 1));
    }
}
