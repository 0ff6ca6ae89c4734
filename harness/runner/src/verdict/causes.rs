//! The smallest set of differences first: causes, and what follows each.

use super::Difference;

/// A cause, and the differences that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause<'a> {
    /// The one to look at.
    pub cause: &'a Difference,
    /// Those that are there because of it.
    pub follow: Vec<&'a Difference>,
}

/// The causes among some differences, those that are news before those that are known. What is
/// news and follows something known speaks for itself: the cause explains it, the expectation
/// does not.
#[must_use]
pub fn causes<'a>(differences: impl IntoIterator<Item = &'a Difference>) -> Vec<Cause<'a>> {
    let (known, news): (Vec<&Difference>, Vec<_>) =
        differences.into_iter().partition(|difference| difference.known.is_some());
    [grouped(news), grouped(known)].concat()
}

fn grouped(differences: Vec<&Difference>) -> Vec<Cause<'_>> {
    let mut causes: Vec<Cause<'_>> = Vec::new();
    let mut late = Vec::new();
    for difference in differences {
        match &difference.follows {
            Some(_) => late.push(difference),
            None => causes.push(Cause { cause: difference, follow: Vec::new() }),
        }
    }
    for difference in late {
        let of = |it: &&mut Cause<'_>| Some(&it.cause.fact) == difference.follows.as_ref();
        match causes.iter_mut().find(of) {
            Some(cause) => cause.follow.push(difference),
            None => causes.push(Cause { cause: difference, follow: Vec::new() }),
        }
    }
    causes
}

/// One line for a list of differences: the first cause that is news, in words, and how many more
/// there are; known losses are counted apart.
#[must_use]
pub fn in_words<'a>(differences: impl IntoIterator<Item = &'a Difference>) -> String {
    let causes = causes(differences);
    let (known, news): (Vec<&Cause<'_>>, Vec<_>) =
        causes.iter().partition(|it| it.cause.known.is_some());
    let known_count: usize = known.iter().map(|it| 1 + it.follow.len()).sum();
    let losses = match known_count {
        0 => None,
        1 => Some("1 known loss".to_owned()),
        count => Some(format!("{count} known losses")),
    };
    let Some((first, rest)) = news.split_first() else {
        let first = known.first().map(|it| it.cause.in_words());
        let told = losses.zip(first).map(|(losses, first)| format!("{losses}, such as: {first}"));
        return told.unwrap_or_default();
    };
    let follow = (!first.follow.is_empty()).then(|| format!("{} that follow", first.follow.len()));
    let more: usize = rest.iter().map(|it| 1 + it.follow.len()).sum();
    let more = (more > 0).then(|| format!("{more} more"));
    let all: Vec<String> = [follow, more, losses].into_iter().flatten().collect();
    match all.as_slice() {
        [] => first.cause.in_words(),
        all => format!("{} (and {})", first.cause.in_words(), all.join(", and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differs(fact: &str, known: Option<&str>, follows: Option<&str>) -> Difference {
        Difference {
            fact: fact.to_owned(),
            before: Some("0".to_owned()),
            after: Some("7".to_owned()),
            known: known.map(str::to_owned),
            follows: follows.map(str::to_owned),
            ..Difference::default()
        }
    }

    #[test]
    fn the_first_unknown_difference_speaks_for_all() {
        let all =
            [differs("task.1.a", Some("lost by CRIU"), None), differs("task.1.nice", None, None)];
        assert_eq!(in_words(&all), "task.1.nice was `0`, is `7` (and 1 known loss)");
        assert_eq!(in_words(&all[..1]), "1 known loss, such as: task.1.a was `0`, is `7`");
        let news = [all[1].clone(), all[1].clone()];
        assert_eq!(in_words(&news), "task.1.nice was `0`, is `7` (and 1 more)");
    }

    #[test]
    fn what_follows_is_counted_with_its_cause() {
        let all = [
            differs("pod.addr", None, None),
            differs("pod.route", None, Some("pod.addr")),
            differs("task.1.fd.3.socket.sockname", None, Some("pod.addr")),
            differs("task.1.nice", None, None),
        ];
        assert_eq!(in_words(&all), "pod.addr was `0`, is `7` (and 2 that follow, and 1 more)");
    }

    #[test]
    fn news_that_follow_something_known_are_news() {
        let all =
            [differs("pod.addr", Some("lost"), None), differs("pod.route", None, Some("pod.addr"))];
        assert_eq!(in_words(&all), "pod.route was `0`, is `7` (and 1 known loss)");
    }

    #[test]
    fn a_thing_that_is_gone_is_told_as_one() {
        let mut gone = differs("task.7.comm", None, None);
        (gone.after, gone.whole) = (None, Some("task.7".to_owned()));
        assert_eq!(in_words([&gone]), "task.7 is gone, with task.7.comm `0`");
    }
}
