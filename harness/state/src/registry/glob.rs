//! Patterns with stars.

/// Whether a pattern, in which a star stands for any text, matches the whole of a name.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    while let Some((part, after)) = rest.split_once('*') {
        let Some(at) = name.find(part) else {
            return false;
        };
        name = &name[at + part.len()..];
        rest = after;
    }
    name.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a.*.c", "a.b.c", true)]
    #[case("a.*.c", "a.b.b.c", true)]
    #[case("a.*.c", "a.c", false)]
    #[case("*.nice", "task.1.nice", true)]
    #[case("a*", "a", true)]
    #[case("a", "ab", false)]
    #[case("a*b*c", "abbbc", true)]
    #[case("a*b*c", "acb", false)]
    fn a_star_is_any_text(#[case] pattern: &str, #[case] name: &str, #[case] expected: bool) {
        assert_eq!(matches(pattern, name), expected);
    }
}
