//! What one direction of a wire does to the frames on it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::{Rate, Share, UnitError, duration, say_duration};

/// What one direction of a wire does to frames. The default is a clean wire.
///
/// It is written as `delay=100ms,jitter=5ms,loss=20%,duplicate=1%,reorder=5%,rate=10mbit`, with what
/// is not at its default, or as `clean`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shape {
    /// How long each frame takes.
    pub delay: Duration,
    /// How much longer or shorter than `delay` it may take. Frames keep their order all the same.
    pub jitter: Duration,
    /// How many frames never arrive.
    pub loss: Share,
    /// How many frames arrive twice.
    pub duplicate: Share,
    /// How many frames are held back until those after them have overtaken them.
    pub reorder: Share,
    /// How fast frames leave; those that wait stand in a bounded queue, and are dropped at its end.
    pub rate: Option<Rate>,
}

/// A text is no [`Shape`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A property that wires do not have.
    #[error("`{word}` is nothing that a wire has; known are {}", KNOWN.join(", "))]
    Unknown {
        /// The word.
        word: String,
    },
    /// A property without a value.
    #[error("`{word}` needs a value, such as {word}={example}")]
    NoValue {
        /// The property.
        word: &'static str,
        /// What could stand there.
        example: &'static str,
    },
    /// A property that stands there twice.
    #[error("`{word}` is said twice")]
    Twice {
        /// The property.
        word: &'static str,
    },
    /// A value that the property cannot have.
    #[error("{word}: {why}")]
    Value {
        /// The property.
        word: &'static str,
        /// What is wrong with its value.
        why: UnitError,
    },
}

const CLEAN: &str = "clean";
const KNOWN: [&str; 6] = ["delay", "jitter", "loss", "duplicate", "reorder", "rate"];
const EXAMPLES: [&str; 6] = ["100ms", "5ms", "20%", "1%", "5%", "10mbit"];

impl Shape {
    /// Whether frames pass untouched and at once.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Shape::default()
    }

    fn set(&mut self, property: &str, value: &str) -> Result<(), UnitError> {
        match property {
            "delay" => self.delay = duration(value)?,
            "jitter" => self.jitter = duration(value)?,
            "loss" => self.loss = value.parse()?,
            "duplicate" => self.duplicate = value.parse()?,
            "reorder" => self.reorder = value.parse()?,
            _ => self.rate = Some(value.parse()?),
        }
        Ok(())
    }
}

impl FromStr for Shape {
    type Err = ShapeError;

    fn from_str(text: &str) -> Result<Shape, ShapeError> {
        let mut shape = Shape::default();
        let mut said = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if part == CLEAN {
                continue;
            }
            let (word, value) = part.split_once('=').unwrap_or((part, ""));
            let Some(at) = KNOWN.iter().position(|known| *known == word) else {
                return Err(ShapeError::Unknown { word: word.to_owned() });
            };
            let word = KNOWN[at];
            if value.is_empty() {
                return Err(ShapeError::NoValue { word, example: EXAMPLES[at] });
            }
            if said.contains(&word) {
                return Err(ShapeError::Twice { word });
            }
            said.push(word);
            shape.set(word, value).map_err(|why| ShapeError::Value { word, why })?;
        }
        Ok(shape)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Duration| (time > Duration::ZERO).then(|| say_duration(time));
        let share = |share: Share| (share > Share::default()).then(|| share.to_string());
        let values = [
            time(self.delay),
            time(self.jitter),
            share(self.loss),
            share(self.duplicate),
            share(self.reorder),
            self.rate.map(|rate| rate.to_string()),
        ];
        let said = KNOWN.iter().zip(values).filter_map(|(word, value)| Some((word, value?)));
        let said: Vec<_> = said.map(|(word, value)| format!("{word}={value}")).collect();
        if said.is_empty() { f.write_str(CLEAN) } else { f.write_str(&said.join(",")) }
    }
}

impl TryFrom<String> for Shape {
    type Error = ShapeError;

    fn try_from(text: String) -> Result<Shape, ShapeError> {
        text.parse()
    }
}

impl From<Shape> for String {
    fn from(shape: Shape) -> String {
        shape.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn shapes() -> impl Strategy<Value = Shape> {
        let time = || (0..=3_600_000_000_000_u64).prop_map(Duration::from_nanos);
        let share = || (0..=1_000_000_u32).prop_map(Share::per_million);
        let rate = prop::option::of((1..=1_000_000_000_000_u64).prop_map(Rate::bits_per_second));
        (time(), time(), share(), share(), share(), rate).prop_map(
            |(delay, jitter, loss, duplicate, reorder, rate)| Shape {
                delay,
                jitter,
                loss,
                duplicate,
                reorder,
                rate,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_the_same(shape in shapes()) {
            prop_assert_eq!(shape.to_string().parse(), Ok(shape));
        }

        #[test]
        fn no_text_is_too_strange(text in "[a-z=,.%0-9é]{0,40}") {
            let _ = text.parse::<Shape>();
        }
    }

    #[rstest]
    #[case("")]
    #[case("clean")]
    #[case("delay=100ms")]
    #[case("delay=100ms,jitter=5ms,loss=20%,duplicate=1%,reorder=5.5%,rate=10mbit")]
    fn the_text_is_as_people_write_it(#[case] text: &str) {
        let shape: Shape = text.parse().expect(text);
        assert_eq!(shape.to_string(), if text.is_empty() { CLEAN } else { text });
    }

    #[rstest]
    #[case(
        "dely=1ms",
        "`dely` is nothing that a wire has; known are delay, jitter, loss, duplicate, reorder, rate"
    )]
    #[case("loss", "`loss` needs a value, such as loss=20%")]
    #[case("delay=1ms,delay=2ms", "`delay` is said twice")]
    #[case("loss=20", "loss: `20` is no share from 0% to 100%, such as 20% or 0.5%")]
    fn an_error_names_the_word(#[case] text: &str, #[case] message: &str) {
        assert_eq!(text.parse::<Shape>().expect_err(text).to_string(), message);
    }
}
