//! Names that users type: globs over the known ones, and the nearest to an unknown one.

use wildmatch::WildMatch;

/// A name that nothing has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{name}`{}", hint(.nearest))]
pub struct Unknown {
    /// What was asked for: `workload`, `scenario`.
    pub what: &'static str,
    /// The name that was given.
    pub name: String,
    /// Known names, the nearest first.
    pub nearest: Vec<String>,
}

fn hint(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        [only] => format!("; there is only `{only}`"),
        more => format!("; the nearest known: `{}`", more.join("`, `")),
    }
}

impl Unknown {
    /// Looks for the three known names that are nearest by edits.
    #[must_use]
    pub fn among<'a>(
        what: &'static str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut nearest: Vec<&str> = known.into_iter().collect();
        nearest.sort_by_key(|other| (strsim::damerau_levenshtein(name, other), *other));
        nearest.truncate(3);
        let nearest = nearest.into_iter().map(str::to_owned).collect();
        Unknown { what, name: name.to_owned(), nearest }
    }
}

/// Whether a text is a pattern: has `*` or `?`.
#[must_use]
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a name fits a pattern, in which `*` stands for any text and `?` for one character.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    WildMatch::new(pattern).matches(name)
}

/// The known names that a name or a glob selects, in their own order.
///
/// # Errors
/// When it selects none.
pub fn select<'a>(
    what: &'static str,
    pattern: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Result<Vec<&'a str>, Unknown> {
    let chosen: Vec<&str> = known.clone().into_iter().filter(|name| fits(pattern, name)).collect();
    if chosen.is_empty() { Err(Unknown::among(what, pattern, known)) } else { Ok(chosen) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_told_with_the_nearest_names() {
        let known = ["reboot", "migration", "forensic", "quick-start"];
        let error = select("scenario", "rebot", known).expect_err("no such scenario");
        assert_eq!(error.nearest.first().map(String::as_str), Some("reboot"));
        assert!(
            error.to_string().starts_with("unknown scenario `rebot`; the nearest known: `reboot`")
        );
        let error = select("runtime", "runk", ["cryolab"]).expect_err("no such runtime");
        assert_eq!(error.to_string(), "unknown runtime `runk`; there is only `cryolab`");
    }

    #[test]
    fn a_glob_selects_in_the_order_of_the_known_names() {
        let chosen = select("workload", "*e*", ["redis", "counter", "pgsql"]);
        assert_eq!(chosen, Ok(vec!["redis", "counter"]));
    }
}
