//! What the database holds: keys whose names, types, content and lifetimes follow from a number.

use redis::{Cmd, Value};

/// How many keys there are.
pub(crate) const KEYS: u32 = 5000;

/// Where the client keeps what it must remember.
pub(crate) const REMEMBERED: &str = "cryolab:remembered";

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Type of a key, in Redis's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    String,
    /// A hash.
    Hash,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    Zset,
    /// A stream.
    Stream,
}

impl Kind {
    /// All types.
    pub(crate) const ALL: [Kind; 6] =
        [Kind::String, Kind::Hash, Kind::List, Kind::Set, Kind::Zset, Kind::Stream];

    /// The name that TYPE answers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Hash => "hash",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Zset => "zset",
            Kind::Stream => "stream",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    number: u32,
    /// Its type.
    pub(crate) kind: Kind,
}

impl Key {
    /// All keys, in order.
    pub(crate) fn all() -> impl Iterator<Item = Key> {
        (0..KEYS).map(|number| Key { number, kind: Kind::ALL[number as usize % Kind::ALL.len()] })
    }

    /// Its name, such as `hash:17`.
    pub(crate) fn name(self) -> String {
        format!("{}:{}", self.kind.name(), self.number)
    }

    /// When it expires, in milliseconds of Unix time, if the database was filled at that time.
    pub(crate) fn expires_ms(self, filled_ms: u64) -> Option<u64> {
        self.number.is_multiple_of(7).then(|| filled_ms + DAY_MS + u64::from(self.number) * 1000)
    }

    /// The command that writes it.
    pub(crate) fn write(self) -> Vec<Cmd> {
        let name = self.name();
        let content = self.content();
        let one = |verb: &str| redis::cmd(verb).arg(&name).arg(&content).to_owned();
        match self.kind {
            Kind::String => vec![one("SET")],
            Kind::Hash => vec![one("HSET")],
            Kind::List => vec![one("RPUSH")],
            Kind::Set => vec![one("SADD")],
            Kind::Zset => {
                let scored = content.chunks(2).flat_map(|pair| [&pair[1], &pair[0]]);
                let mut add = redis::cmd("ZADD");
                add.arg(&name);
                scored.for_each(|word| {
                    add.arg(word);
                });
                vec![add]
            }
            Kind::Stream => content
                .chunks(3)
                .map(|entry| redis::cmd("XADD").arg(&name).arg(entry).to_owned())
                .collect(),
        }
    }

    /// The command that reads all of it.
    pub(crate) fn read(self) -> Cmd {
        let (verb, range): (_, &[&str]) = match self.kind {
            Kind::String => ("GET", &[]),
            Kind::Hash => ("HGETALL", &[]),
            Kind::List => ("LRANGE", &["0", "-1"]),
            Kind::Set => ("SMEMBERS", &[]),
            Kind::Zset => ("ZRANGE", &["0", "-1", "WITHSCORES"]),
            Kind::Stream => ("XRANGE", &["-", "+"]),
        };
        redis::cmd(verb).arg(self.name()).arg(range).to_owned()
    }

    /// Its content as a list of words: what [`Key::read`] answers, laid flat by [`Key::words`].
    pub(crate) fn content(self) -> Vec<Vec<u8>> {
        let number = self.number;
        let words = |count: u32, word: &dyn Fn(u32) -> Vec<String>| {
            (0..count).flat_map(word).map(String::into_bytes).collect()
        };
        match self.kind {
            Kind::String => vec![bytes(number, 100 + number as usize % 6000)],
            Kind::Hash => words(8, &|at| vec![format!("field:{at}"), format!("{number}-{at}")]),
            Kind::List => words(20, &|at| vec![format!("{number}-element-{at}")]),
            Kind::Set => words(9, &|at| vec![format!("{number}-member-{at}")]),
            Kind::Zset => {
                words(9, &|at| vec![format!("{number}-{at}"), (at * 10 + number).to_string()])
            }
            Kind::Stream => words(5, &|at| {
                vec![format!("{}-{number}", at + 1), "event".to_owned(), format!("{number}/{at}")]
            }),
        }
    }

    /// An answer laid flat; what Redis may answer in any order comes sorted.
    pub(crate) fn words(self, answer: Value) -> Vec<Vec<u8>> {
        let mut words = Vec::new();
        lay_flat(answer, &mut words);
        let together = match self.kind {
            Kind::Set => 1,
            Kind::Hash => 2,
            Kind::String | Kind::List | Kind::Zset | Kind::Stream => return words,
        };
        let mut groups: Vec<_> = words.chunks(together).map(<[_]>::to_vec).collect();
        groups.sort();
        groups.concat()
    }
}

fn lay_flat(answer: Value, words: &mut Vec<Vec<u8>>) {
    match answer {
        Value::BulkString(bytes) => words.push(bytes),
        Value::SimpleString(text) => words.push(text.into_bytes()),
        Value::Int(number) => words.push(number.to_string().into_bytes()),
        Value::Array(values) => values.into_iter().for_each(|value| lay_flat(value, words)),
        Value::Nil => {}
        other => words.push(format!("{other:?}").into_bytes()),
    }
}

/// Bytes of every value, zero and line ends among them.
fn bytes(number: u32, count: usize) -> Vec<u8> {
    let mut state = u64::from(number) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;

    #[test]
    fn names_are_unique_and_all_types_are_there() {
        let names: BTreeSet<String> = Key::all().map(Key::name).collect();
        assert_eq!(names.len(), KEYS as usize);
        for kind in Kind::ALL {
            assert!(Key::all().filter(|key| key.kind == kind).count() > 500);
        }
    }

    #[test]
    fn it_is_a_few_mebibytes_and_some_keys_expire() {
        let bytes: usize = Key::all().flat_map(Key::content).map(|word| word.len()).sum();
        assert!((2 << 20..8 << 20).contains(&bytes), "{bytes}");
        let expiring = Key::all().filter_map(|key| key.expires_ms(1000)).count();
        assert!((500..1000).contains(&expiring), "{expiring}");
    }

    /// The answer that a server would give.
    fn answer(key: Key) -> Value {
        let content = key.content();
        let bulk = |word: &Vec<u8>| Value::BulkString(word.clone());
        match key.kind {
            Kind::String => bulk(&content[0]),
            Kind::Hash | Kind::Set => {
                let together = if key.kind == Kind::Hash { 2 } else { 1 };
                let groups = content.chunks(together).rev();
                Value::Array(groups.flatten().map(bulk).collect())
            }
            Kind::List | Kind::Zset => Value::Array(content.iter().map(bulk).collect()),
            Kind::Stream => {
                let entry = |words: &[Vec<u8>]| {
                    let fields = words[1..].iter().map(bulk).collect();
                    Value::Array(vec![bulk(&words[0]), Value::Array(fields)])
                };
                Value::Array(content.chunks(3).map(entry).collect())
            }
        }
    }

    #[rstest]
    fn an_answer_laid_flat_is_the_content(#[values(0, 1, 2, 3, 4, 5)] number: usize) {
        for key in Key::all().skip(number).step_by(60) {
            assert_eq!(key.words(answer(key)), key.content(), "{}", key.name());
        }
    }

    #[test]
    fn a_missing_key_has_no_content() {
        for key in Key::all().take(6) {
            assert!(key.words(Value::Nil).is_empty());
        }
    }

    #[test]
    fn commands_are_what_redis_expects() {
        let zset = Key::all().nth(4).expect("a key").write();
        let packed = String::from_utf8(zset[0].get_packed_command()).expect("text");
        assert!(packed.contains("ZADD\r\n$6\r\nzset:4\r\n$1\r\n4\r\n$3\r\n4-0\r\n"), "{packed}");
        assert_eq!(Key::all().nth(5).expect("a key").write().len(), 5);
    }
}
