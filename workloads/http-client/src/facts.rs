//! What a server says about itself: words that stay, and numbers that grow.

use std::collections::BTreeMap;

use observer::Lost;

/// Facts by name; each name begins with `same.` or `grows.`.
pub(crate) type Facts = BTreeMap<String, String>;

/// Lines `NAME=VALUE`.
pub(crate) fn parse(text: &[u8]) -> Facts {
    let text = String::from_utf8_lossy(text);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Nothing that stays has changed, and no number is less.
pub(crate) fn compare(lost: &mut Lost, before: &Facts, now: &Facts) {
    for (name, value) in before {
        let found = now.get(name).map(String::as_str);
        if name.starts_with("grows.") {
            let is_more = number(found) >= number(Some(value));
            lost.holds(&named(name), is_more, &format!("at least {value}"), found);
        } else {
            lost.equal(&named(name), &Some(value.as_str()), &found);
        }
    }
}

/// Names of numbers that have not grown.
pub(crate) fn stand_still<'a>(before: &'a Facts, now: &Facts) -> Vec<&'a str> {
    let grows = before.iter().filter(|(name, _)| name.starts_with("grows."));
    let still = grows.filter(|(name, value)| {
        number(now.get(*name).map(String::as_str)) <= number(Some(value.as_str()))
    });
    still.map(|(name, _)| name.as_str()).collect()
}

/// Under which name a fact is lost.
pub(crate) fn named(name: &str) -> String {
    format!("server.{name}")
}

fn number(text: Option<&str>) -> Option<u64> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_shrank_or_is_gone_is_lost() {
        let before = parse(b"same.pid=1\nsame.boot=x\ngrows.ticks=10\ngrows.turns=9\n");
        let mut lost = Lost::default();
        compare(&mut lost, &before, &before);
        assert_eq!(lost.count(), 0);
        compare(&mut lost, &before, &parse(b"same.pid=1\nsame.boot=y\ngrows.ticks=9\n"));
        let told = [
            "lost: server.grows.ticks: expected at least 10, found Some(\"9\")",
            "lost: server.grows.turns: expected at least 9, found None",
            "lost: server.same.boot: expected Some(\"x\"), found Some(\"y\")",
            "verdict: 3 lost",
        ];
        assert_eq!(lost.lines(), told);
    }

    #[test]
    fn a_number_that_has_not_grown_stands_still() {
        let before = parse(b"same.pid=1\ngrows.a=1\ngrows.b=1\n");
        assert_eq!(stand_still(&before, &parse(b"grows.a=2\ngrows.b=1\n")), ["grows.b"]);
    }
}
