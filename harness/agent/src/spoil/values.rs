//! Other values than the one that is there, from its look alone.

/// Texts that a setting may take instead of this one, the nearest first. Which of them the kernel
/// takes is found by trying.
pub(super) fn others(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if let Some(chosen) = words.iter().position(|word| word.starts_with('[')) {
        let rest = words.iter().enumerate().filter(|(at, _)| *at != chosen);
        return rest.map(|(_, word)| (*word).to_owned()).collect();
    }
    if words.is_empty() {
        return ["1", "0", "x"].map(str::to_owned).to_vec();
    }
    let mut found = Vec::new();
    // The last word first: limits come after what they limit.
    for at in (0..words.len()).rev() {
        for other in other_words(words[at]) {
            let mut changed: Vec<&str> = words.clone();
            changed[at] = &other;
            found.push(changed.join(" "));
        }
    }
    if words.len() == 1 {
        found.extend(hexadecimal(words[0]));
    }
    found
}

fn other_words(word: &str) -> Vec<String> {
    if let Ok(number) = word.parse::<i64>() {
        return other_numbers(number);
    }
    match word {
        // Never so little that somebody would be killed for it.
        "max" => ["1099511627776", "1000000"].map(str::to_owned).to_vec(),
        "Y" => vec!["N".to_owned()],
        "N" => vec!["Y".to_owned()],
        "cubic" => vec!["reno".to_owned()],
        "unconfined" => Vec::new(),
        word => vec![format!("{word}x")],
    }
}

fn other_numbers(number: i64) -> Vec<String> {
    let near = [number.wrapping_add(1), number.wrapping_sub(1), number ^ 1];
    // Some are rounded to pages, some are choices between a few.
    let far = [number.wrapping_mul(2), number.wrapping_add(1 << 20), number / 2, 0, 1, 2];
    let mut found: Vec<i64> = Vec::new();
    for other in near.into_iter().chain(far) {
        if other != number && !found.contains(&other) {
            found.push(other);
        }
    }
    found.iter().map(i64::to_string).collect()
}

/// Masks are shown without the `0x` that they are written with.
fn hexadecimal(word: &str) -> Option<String> {
    let mask = u64::from_str_radix(word, 16).ok().filter(|_| word.len() >= 4)?;
    Some(format!("{:#x}", mask ^ 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_value_is_the_one_that_is_there() {
        for text in ["0", "1", "-1", "32768\t60999", "max 100000", "Y", "00000033", "cubic", ""] {
            let plain = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let others = others(text);
            assert!(!others.is_empty() && !others.contains(&plain), "{text}: {others:?}");
        }
    }

    #[test]
    fn the_last_of_several_numbers_changes_first() {
        assert_eq!(others("32768\t60999")[0], "32768 61000");
        assert_eq!(others("[always] madvise never"), ["madvise", "never"]);
        assert!(others("00000033").contains(&"0x32".to_owned()));
    }
}
