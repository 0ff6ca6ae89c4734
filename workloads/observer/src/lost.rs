//! What was lost, as all witnesses tell it.

use std::fmt::Debug;

/// Most losses that are told one by one; more are counted.
const TOLD: usize = 100;

/// A list of losses.
#[derive(Debug, Default)]
pub struct Lost {
    told: Vec<String>,
    count: usize,
}

impl Lost {
    /// Two values must be equal.
    pub fn equal<T: PartialEq + Debug + ?Sized>(&mut self, name: &str, expected: &T, found: &T) {
        if expected != found {
            self.add(name, &short(expected), &short(found));
        }
    }

    /// Lists of words must be equal; of longer ones the first word that differs is told.
    pub fn words(&mut self, name: &str, expected: &[Vec<u8>], found: &[Vec<u8>]) {
        let pairs = expected.iter().zip(found);
        let at = pairs.take_while(|(expected, found)| expected == found).count();
        if expected != found {
            self.add(name, &word(expected, at), &word(found, at));
        }
    }

    /// Something must hold of a value.
    pub fn holds(&mut self, name: &str, holds: bool, expected: &str, found: impl Debug) {
        if !holds {
            self.add(name, expected, &short(&found));
        }
    }

    fn add(&mut self, name: &str, expected: &str, found: &str) {
        self.count += 1;
        if self.count <= TOLD {
            self.told.push(format!("lost: {name}: expected {expected}, found {found}"));
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The lines to print, the verdict last.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let verdict = match self.count {
            0 => "verdict: intact".to_owned(),
            count => format!("verdict: {count} lost"),
        };
        self.told.iter().cloned().chain([verdict]).collect()
    }
}

/// One of some words, where it stands.
fn word(words: &[Vec<u8>], at: usize) -> String {
    let count = words.len();
    match words.get(at) {
        Some(word) => cut(format!("word {at} of {count} \"{}\"", word.escape_ascii())),
        None => format!("{count} words"),
    }
}

/// A value in a few words: long ones are cut.
fn short(value: &(impl Debug + ?Sized)) -> String {
    cut(format!("{value:?}"))
}

fn cut(text: String) -> String {
    const LONGEST: usize = 160;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lost_is_intact() {
        let mut lost = Lost::default();
        lost.equal("a", "x", "x");
        lost.holds("b", true, "more", 5);
        assert_eq!((lost.count(), lost.lines()), (0, vec!["verdict: intact".to_owned()]));
    }

    #[test]
    fn every_loss_is_named_with_what_was_expected_and_found() {
        let mut lost = Lost::default();
        lost.equal("key.list:4", &1, &2);
        lost.holds("server.commands", false, "at least 9", 3);
        let told = [
            "lost: key.list:4: expected 1, found 2",
            "lost: server.commands: expected at least 9, found 3",
            "verdict: 2 lost",
        ];
        assert_eq!(lost.lines(), told);
    }

    #[test]
    fn the_first_word_that_differs_is_told() {
        let mut lost = Lost::default();
        let words =
            |words: &[&str]| words.iter().map(|it| it.as_bytes().to_vec()).collect::<Vec<_>>();
        lost.words("key", &words(&["a", "b"]), &words(&["a", "x\n"]));
        assert_eq!(
            lost.lines()[0],
            "lost: key: expected word 1 of 2 \"b\", found word 1 of 2 \"x\\n\""
        );
    }

    #[test]
    fn many_losses_are_counted_and_long_values_cut() {
        let mut lost = Lost::default();
        for _ in 0..5000 {
            lost.equal("key", &"x".repeat(10_000), &String::new());
        }
        let lines = lost.lines();
        assert_eq!(lines.len(), TOLD + 1);
        assert_eq!(lines[TOLD], "verdict: 5000 lost");
        assert!(lines.iter().all(|line| line.len() < 300));
    }
}
